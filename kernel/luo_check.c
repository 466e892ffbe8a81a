// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: What arrives is checked
 *
 * Before anything that came is used, each of its fields is held against its
 * range and against the room around it. Each function returns NULL if what it
 * looks at can be read, else in words why not. They read nothing beyond the
 * length that they are told and what struct luo_check lets them have, and they
 * come to an end whatever the bytes say.
 */
#ifdef __KERNEL__
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/stddef.h>
#include <linux/string.h>
#else
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#endif

#include "luo_check.h"

/* F_SEAL_SEAL to F_SEAL_EXEC. */
#define LUO_SEALS		0x3fU
#define LUO_PERMISSIONS		07777U
#define LUO_NOBODY		0xffffffffU
#define LUO_FILE_MAX		0x7fffffffffffffffULL

static bool luo_ends(const char *text, __u64 room)
{
	return strnlen(text, room) < room;
}

/* From the end of a checksum that stands in the middle, as if that were 0. */
static __u32 luo_crc_around(const struct luo_check *c, const void *bytes,
			    __u64 at, __u64 len)
{
	static const __u32 nothing;
	__u32 crc = c->crc(~0U, bytes, at);

	crc = c->crc(crc, &nothing, sizeof(nothing));
	at += sizeof(nothing);
	return ~c->crc(crc, (const char *)bytes + at, len - at);
}

/**
 * luo_page_crc - the checksum of one page of a chain
 * @c: the machine
 * @page: the page, whose number of entries fits
 * @entry_size: bytes of one entry; 0: entries have checksums of their own
 *
 * Return: what its crc should be.
 */
__u32 luo_page_crc(const struct luo_check *c, const struct luo_ser_page *page,
		   __u32 entry_size)
{
	return luo_crc_around(c, page, offsetof(struct luo_ser_page, crc),
			      offsetof(struct luo_ser_page, entries) +
			      (__u64)page->nr * entry_size);
}

/**
 * luo_root_crc - the checksum of the root
 * @c: the machine
 * @root: the root, with as many bytes as its head says
 *
 * Return: what its crc should be.
 */
__u32 luo_root_crc(const struct luo_check *c, const struct luo_ser_root *root)
{
	const __u64 at = offsetof(struct luo_ser_root, nr_files);
	__u32 crc = c->crc(~0U, root, offsetof(struct luo_ser_root, mark));

	return ~c->crc(crc, (const char *)root + at, root->head.size - at);
}

/**
 * luo_file_crc - the checksum of a file's record
 * @c: the machine
 * @file: the record, with as many bytes as its head says
 *
 * Return: what its crc should be.
 */
__u32 luo_file_crc(const struct luo_check *c, const struct luo_ser_file *file)
{
	return luo_crc_around(c, file, offsetof(struct luo_ser_file, crc),
			      file->head.size);
}

/**
 * luo_pci_crc - the checksum of the record of PCI devices
 * @c: the machine
 * @pci: the record, with as many bytes as its head says
 *
 * Return: what its crc should be.
 */
__u32 luo_pci_crc(const struct luo_check *c, const struct luo_ser_pci *pci)
{
	return luo_crc_around(c, pci, offsetof(struct luo_ser_pci, crc),
			      pci->head.size);
}

static const char *luo_check_head(const struct luo_ser_head *head, __u64 least,
				  __u64 len, unsigned int version,
				  unsigned int reads)
{
	if (head->needs > head->version)
		return "its versions contradict each other";
	if (head->needs > version)
		return "it needs a newer reader";
	if (head->version < reads)
		return "it is older than what is read here";
	if (head->size < least || head->size > len)
		return "its size is not possible";
	return NULL;
}

/* Look at a page of a chain of which @left entries are still to come. */
static const char *luo_check_page(const struct luo_check *c, __u64 phys,
				  __u64 left, __u32 entry_size, bool entries,
				  const struct luo_ser_page **found)
{
	const struct luo_ser_page *page;
	__u32 room = sizeof(page->entries) / entry_size;

	*found = NULL;
	if (!phys || phys % LUO_SER_PAGE)
		return "a page of its list has no possible address";
	page = c->at(phys, sizeof(*page));
	if (!page)
		return "a page of its list is not in memory";
	if (!page->nr || page->nr > room || page->nr > left)
		return "a page of its list has an impossible number of entries";
	if (page->crc != luo_page_crc(c, page, entries ? entry_size : 0))
		return "a page of its list is damaged";
	if (page->next ? page->nr == left || page->nr < room : page->nr < left)
		return "its list has another length than it says";
	*found = page;
	return NULL;
}

/**
 * luo_check_root - can the root be read?
 * @c: the machine
 * @bytes: where it is
 * @len: bytes that are there
 *
 * The list behind it is not looked at.
 *
 * Return: NULL, or why not.
 */
const char *luo_check_root(const struct luo_check *c, const void *bytes,
			   __u64 len)
{
	const struct luo_ser_root *root = bytes;
	const char *why;
	__u32 i;

	if (len < LUO_ROOT_LEAST)
		return "it is cut";
	if (!luo_ends(root->compatible, sizeof(root->compatible)))
		return "it does not say what it is";
	if (strcmp(root->compatible, LUO_COMPATIBLE))
		return "it is of another kind";
	why = luo_check_head(&root->head, LUO_ROOT_LEAST, len, LUO_ROOT_VERSION,
			     LUO_ROOT_READS);
	if (why)
		return why;
	if (root->crc != luo_root_crc(c, root))
		return "it is damaged";
	if (!luo_ends(root->release, sizeof(root->release)))
		return "the name of its kernel has no end";
	if (root->nr_subsystems > LUO_MAX_SUBSYSTEMS)
		return "it has more subsystems than there can be";
	for (i = 0; i < root->nr_subsystems; i++) {
		if (!luo_ends(root->subsystems[i].name, LUO_COMPATIBLE_LEN))
			return "the name of a subsystem has no end";
	}

	if (!root->nr_files != !root->files)
		return "its list of files contradicts their number";
	if (root->file_size < LUO_FILE_LEAST ||
	    root->file_size > sizeof(((struct luo_ser_page *)NULL)->entries) ||
	    root->file_size % 8)
		return "its records have an impossible size";
	return NULL;
}

/* A block has to be memory, and what is used of it memory that can be read. */
static const char *luo_check_block(const struct luo_check *c, __u64 block,
				   __u64 *used)
{
	unsigned int order = block & LUO_SER_ORDER;
	__u64 phys = block & ~LUO_SER_ORDER;
	__u64 len;

	if (order > c->max_order)
		return "a block of spare pages is larger than there can be";
	len = (__u64)LUO_SER_PAGE << order;
	if (!phys || phys % len || !c->is_memory(phys, len))
		return "a block of spare pages has no possible address";
	if (*used && !c->at(phys, *used < len ? *used : len))
		return "a block of spare pages is not in memory";
	*used -= *used < len ? *used : len;
	return NULL;
}

static const char *luo_check_spare(const struct luo_check *c,
				   const struct luo_ser_root *root)
{
	__u64 used = root->spare_used, i;
	const char *why = NULL;

	if (root->nr_spare > LUO_SPARE_BLOCKS || used % LUO_SER_PAGE)
		return "its spare pages have an impossible number";
	for (i = 0; !why && i < root->nr_spare; i++)
		why = luo_check_block(c, root->spare[i], &used);
	if (!why && used)
		why = "of its spare pages more are used than there are";
	return why;
}

/**
 * luo_check_records - can the lists of records and of spare pages be gone through?
 * @c: the machine
 * @root: a root that can be read
 *
 * The records themselves are not looked at.
 *
 * Return: NULL, or why not.
 */
const char *luo_check_records(const struct luo_check *c,
			      const struct luo_ser_root *root)
{
	__u64 left = root->nr_files, next;
	const struct luo_ser_page *page;
	const char *why;

	for (next = root->files; next; next = page->next) {
		why = luo_check_page(c, next, left, root->file_size, false,
				     &page);
		if (why)
			return why;
		left -= page->nr;
	}
	return luo_check_spare(c, root);
}

/**
 * luo_check_file - can the record of a file be read?
 * @c: the machine
 * @bytes: where it is
 * @len: bytes that are there
 *
 * What its handler wrote is not looked at.
 *
 * Return: NULL, or why not.
 */
const char *luo_check_file(const struct luo_check *c, const void *bytes,
			   __u64 len)
{
	const struct luo_ser_file *file = bytes;
	const char *why;

	if (len < LUO_FILE_LEAST)
		return "it is cut";
	why = luo_check_head(&file->head, LUO_FILE_LEAST, len, LUO_FILE_VERSION,
			     LUO_FILE_READS);
	if (why)
		return why;
	if (file->crc != luo_file_crc(c, file))
		return "it is damaged";
	if (!file->handler[0] || !luo_ends(file->handler, sizeof(file->handler)))
		return "the name of its handler has no end";
	if (!luo_ends(file->comm, sizeof(file->comm)) ||
	    !luo_ends(file->name, sizeof(file->name)))
		return "a name has no end";
	/* Every token is below the next one, which needs a value, too. */
	if (file->token >= ~0UL)
		return "its token is not possible";
	return NULL;
}

static const char *luo_check_folio(const struct luo_check *c,
				   const struct luo_ser_memfd *m,
				   const struct luo_ser_folio *folio,
				   __u64 *present)
{
	unsigned int order = folio->where & LUO_SER_ORDER;
	__u64 phys = folio->where & ~LUO_SER_ORDER;
	__u64 len;

	if (order > c->max_order)
		return "a page is larger than there can be";
	len = (__u64)LUO_SER_PAGE << order;
	if (!phys || phys % len || !c->is_memory(phys, len))
		return "a page has no possible address";
	if (folio->at % len || folio->at >= m->size)
		return "a page is not in the file";
	*present += len;
	return NULL;
}

static const char *luo_check_folios(const struct luo_check *c,
				    const struct luo_ser_memfd *m,
				    const struct luo_ser_folio *folios,
				    __u64 nr, __u64 *present)
{
	const char *why = NULL;
	__u64 i;

	for (i = 0; !why && i < nr; i++)
		why = luo_check_folio(c, m, &folios[i], present);
	return why;
}

/**
 * luo_check_memfd - can a memfd's record, and the list of its folios, be read?
 * @c: the machine
 * @bytes: where it is
 * @len: bytes that are there
 *
 * Return: NULL, or why not.
 */
const char *luo_check_memfd(const struct luo_check *c, const void *bytes,
			    __u64 len)
{
	const struct luo_ser_memfd *m = bytes;
	const struct luo_ser_page *page;
	__u64 present = 0, left, next;
	const char *why;

	if (len < LUO_MEMFD_LEAST)
		return "it is cut";
	why = luo_check_head(&m->head, LUO_MEMFD_LEAST, len, LUO_MEMFD_VERSION,
			     LUO_MEMFD_READS);
	if (why)
		return why;
	if (m->size > LUO_FILE_MAX || m->pos > LUO_FILE_MAX)
		return "its size or position is not possible";
	if (m->seals & ~LUO_SEALS)
		return "it has seals that are not known";
	if (!S_ISREG(m->mode) || m->mode & ~(S_IFREG | LUO_PERMISSIONS))
		return "its mode is not that of a file";
	if (m->uid == LUO_NOBODY || m->gid == LUO_NOBODY)
		return "its owner is nobody";
	if (m->f_flags & ~(__u32)(O_APPEND | O_NONBLOCK))
		return "it has flags that are not known";

	left = m->nr_folios;
	if (!m->folios) {
		if (left > LUO_MEMFD_FEW)
			return "its list of pages contradicts their number";
		why = luo_check_folios(c, m, m->few, left, &present);
	} else if (!left) {
		return "its list of pages contradicts their number";
	}
	for (next = m->folios; !why && next; next = page->next) {
		why = luo_check_page(c, next, left, sizeof(struct luo_ser_folio),
				     true, &page);
		if (why)
			return why;
		why = luo_check_folios(c, m, (const void *)page->entries,
				       page->nr, &present);
		left -= page->nr;
	}
	if (!why && present != m->present)
		why = "its pages contradict their sum";
	return why;
}

static const char *luo_check_pci_devices(const struct luo_ser_pci *pci)
{
	const struct luo_ser_pci_device *dev;
	__u32 i;

	for (i = 0; i < pci->nr; i++) {
		dev = (const void *)((const char *)pci->devices +
				     (__u64)i * pci->device_size);
		if (!luo_ends(dev->compatible, sizeof(dev->compatible)) ||
		    !luo_ends(dev->driver, sizeof(dev->driver)))
			return "the name of a driver has no end";
	}
	return NULL;
}

/**
 * luo_check_pci - can the record of PCI devices be read?
 * @c: the machine
 * @phys: where it is said to be
 *
 * Return: NULL, or why not.
 */
const char *luo_check_pci(const struct luo_check *c, __u64 phys)
{
	const struct luo_ser_pci *pci;
	const char *why;
	__u64 len;

	if (!phys || phys % LUO_SER_PAGE)
		return "it has no possible address";
	pci = c->at(phys, LUO_PCI_LEAST);
	if (!pci)
		return "it is not in memory";
	why = luo_check_head(&pci->head, LUO_PCI_LEAST, pci->head.size,
			     LUO_PCI_VERSION, LUO_PCI_READS);
	if (why)
		return why;
	if (pci->nr > LUO_PCI_MAX ||
	    pci->device_size < sizeof(pci->devices[0]) ||
	    pci->device_size > LUO_SER_PAGE || pci->device_size % 8)
		return "it has an impossible number of devices";
	len = sizeof(*pci) + (__u64)pci->nr * pci->device_size;
	if (pci->head.size < len || pci->head.size - len > LUO_SER_PAGE)
		return "its size contradicts the number of its devices";
	if (!c->at(phys, pci->head.size))
		return "it is not in memory as a whole";
	if (pci->crc != luo_pci_crc(c, pci))
		return "it is damaged";
	return luo_check_pci_devices(pci);
}
