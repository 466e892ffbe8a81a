// SPDX-License-Identifier: MIT
/*
 * What arrives is checked, tried outside a kernel: a whole handover is made, one
 * thing or some are changed in it, and the checks of kernel/luo_check.c look at it,
 * under the compiler's sanitizers. Each page of memory is an allocation of its own,
 * so that one byte too far is seen. What passes is then gone through as luo.ko does
 * it, and every assumption that is made there is held against the bytes.
 *
 * Half of the changes leave the checksums as they were: none of these may pass. For
 * the other half they are made right again, so that the checks behind them count.
 *
 *     mutate NUMBER SEED
 *
 * Built as a module (Kbuild beside it) it does the same in a kernel, under KASAN.
 */
#ifdef __KERNEL__
#include "kernel.h"
#else
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#define cond_resched()
#endif

#include "luo_check.h"

#define PAGES 24
#define BASE 0x40000000ULL
#define MEMORY (1ULL << 36) /* folios may lie anywhere below */
#define FILES 9
#define DEVICES 3
#define MAX_ORDER 10

#define MUST(x) do { if (!(x)) { \
	printf("mutate: FAILED line %d: %s (turn %lu)\n", __LINE__, #x, turn); \
	exit(1); } } while (0)

static unsigned long turn;
static uint8_t *page[PAGES];
static uint8_t whole[PAGES][LUO_SER_PAGE];
static int used;
static size_t covered[PAGES]; /* by checksums, from the begin of a page */
static uint64_t seed;
static uint64_t root_len = sizeof(struct luo_ser_root);
static uint64_t pci_at;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Four bytes at a time; the sanitizers would make it the most of the work. */
__attribute__((no_sanitize("address", "undefined")))
static __u32 crc32c(__u32 crc, const void *bytes, __u64 len)
{
	static __u32 table[4][256];
	const uint8_t *p = bytes;
	uint32_t v;
	int i, j;

	if (!table[0][1]) {
		for (i = 0; i < 256; i++) {
			v = i;
			for (j = 0; j < 8; j++)
				v = v & 1 ? v >> 1 ^ 0x82f63b78 : v >> 1;
			table[0][i] = v;
		}
		for (i = 0; i < 256; i++) {
			for (j = 1; j < 4; j++)
				table[j][i] = table[0][table[j - 1][i] & 0xff] ^
					      table[j - 1][i] >> 8;
		}
	}
	for (; len >= 4; len -= 4, p += 4) {
		memcpy(&v, p, 4);
		v ^= crc;
		crc = table[3][v & 0xff] ^ table[2][v >> 8 & 0xff] ^
		      table[1][v >> 16 & 0xff] ^ table[0][v >> 24];
	}
	while (len--)
		crc = table[0][(crc ^ *p++) & 0xff] ^ crc >> 8;
	return crc;
}

/* Pages do not follow each other, so only what lies in one can be had. */
static const void *at(__u64 phys, __u64 len)
{
	__u64 off = phys % LUO_SER_PAGE;

	if (phys < BASE || phys >= BASE + used * LUO_SER_PAGE || !len ||
	    len > LUO_SER_PAGE - off)
		return NULL;
	return page[(phys - BASE) / LUO_SER_PAGE] + off;
}

static bool is_memory(__u64 phys, __u64 len)
{
	return phys + len > phys && phys + len <= MEMORY;
}

static const struct luo_check c = {
	.at = at, .is_memory = is_memory, .crc = crc32c, .max_order = MAX_ORDER,
};

static uint64_t take(void)
{
	MUST(used < PAGES);
	return BASE + (uint64_t)used++ * LUO_SER_PAGE;
}

static void *mem(uint64_t phys)
{
	return (void *)at(phys, 1);
}

static struct luo_ser_root *root(void)
{
	return (void *)page[0];
}

static struct luo_ser_head head(uint32_t size)
{
	return (struct luo_ser_head){ .size = size, .version = 1, .needs = 1 };
}

/* A list of folios that are told apart by their address. */
static void folios(struct luo_ser_memfd *m, unsigned int nr)
{
	struct luo_ser_page *p = NULL;
	struct luo_ser_folio *f;
	uint64_t phys = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		unsigned int order = i % 7 == 6 ? 9 : 0;

		if (nr <= LUO_MEMFD_FEW) {
			f = &m->few[i];
		} else {
			if (!p || p->nr == sizeof(p->entries) / sizeof(*f)) {
				phys = take();
				if (p)
					p->next = phys;
				else
					m->folios = phys;
				p = mem(phys);
				covered[used - 1] = offsetof(struct luo_ser_page, entries);
			}
			f = (struct luo_ser_folio *)p->entries + p->nr++;
			covered[(phys - BASE) / LUO_SER_PAGE] += sizeof(*f);
		}
		f->where = 0x80000000ULL + ((uint64_t)i << 21) + order;
		f->at = (uint64_t)i << 21;
		m->present += (uint64_t)LUO_SER_PAGE << order;
		m->nr_folios++;
	}
	m->size = ((uint64_t)nr << 21) + 77;
}

static struct luo_ser_memfd *memfd(struct luo_ser_file *f)
{
	return (void *)f->data;
}

static void build(void)
{
	struct luo_ser_page *p = NULL;
	struct luo_ser_file *f;
	struct luo_ser_pci *pci;
	uint64_t phys;
	int i, in = 0;

	take();
	covered[0] = sizeof(struct luo_ser_root);
	strcpy(root()->compatible, LUO_COMPATIBLE);
	root()->head = (struct luo_ser_head){
		.size = sizeof(struct luo_ser_root),
		.version = LUO_ROOT_VERSION,
		.needs = LUO_ROOT_NEEDS,
	};
	root()->mark = LUO_SER_MARK;
	root()->file_size = sizeof(*f);
	strcpy(root()->release, "7.3.4-mutate");
	for (i = 0; i < FILES; i++) {
		if (!p || p->nr == sizeof(p->entries) / sizeof(*f)) {
			phys = take();
			if (p)
				p->next = phys;
			else
				root()->files = phys;
			p = mem(phys);
			in = used - 1;
			covered[in] = offsetof(struct luo_ser_page, entries);
		}
		f = (struct luo_ser_file *)p->entries + p->nr++;
		covered[in] += sizeof(*f);
		f->head = head(sizeof(*f));
		f->ready = 1;
		f->token = i;
		f->pid = 100 + i;
		strcpy(f->handler, LUO_MEMFD_COMPATIBLE);
		strcpy(f->comm, "mutate");
		sprintf(f->name, "file-%d", i);
		memfd(f)->head = head(sizeof(struct luo_ser_memfd));
		memfd(f)->mode = S_IFREG | 0600;
		memfd(f)->seals = i & 0x3f;
		memfd(f)->f_flags = i & 1 ? O_APPEND : 0;
		folios(memfd(f), i < 7 ? i : i * 45);
		root()->nr_files++;
	}
	/* Two pages that are there, of which something came in, and one block that is not. */
	for (i = 0; i < 3; i++)
		root()->spare[i] = i < 2 ? take() : 0x90000000 + 9;
	root()->nr_spare = 3;
	root()->spare_used = 2 * LUO_SER_PAGE;

	pci_at = take();
	pci = mem(pci_at);
	pci->nr = DEVICES;
	pci->device_size = sizeof(pci->devices[0]);
	pci->head = head(sizeof(*pci) + DEVICES * pci->device_size);
	covered[used - 1] = pci->head.size;
	for (i = 0; i < DEVICES; i++) {
		strcpy(pci->devices[i].compatible, "edu-v1");
		strcpy(pci->devices[i].driver, "luo_edu");
		pci->devices[i].slot = i << 3;
	}
	strcpy(root()->subsystems[0].name, LUO_PCI_SUBSYSTEM);
	root()->subsystems[0].data = pci_at;
	root()->nr_subsystems = 1;
}

/*
 * Make checksums right, as far as the bytes still lead there. What has no
 * possible size has no checksum.
 */
static void seal(void)
{
	struct luo_ser_root *r = root();
	struct luo_ser_page *p, *q;
	struct luo_ser_pci *pci = mem(pci_at);
	struct luo_ser_file *f;
	uint64_t phys, list;
	unsigned int i;
	int left = PAGES, more;

	for (phys = r->files; left-- && (p = (void *)at(phys, LUO_SER_PAGE)); phys = p->next) {
		for (i = 0; i < p->nr && r->file_size >= sizeof(*f) && r->file_size % 8 == 0 &&
		     (i + 1ULL) * r->file_size <= sizeof(p->entries); i++) {
			f = (void *)(p->entries + (uint64_t)i * r->file_size);
			more = PAGES;
			for (list = memfd(f)->folios;
			     more-- && list != phys && (q = (void *)at(list, LUO_SER_PAGE));
			     list = q->next) {
				if (q->nr <= sizeof(q->entries) / sizeof(struct luo_ser_folio))
					q->crc = luo_page_crc(&c, q, sizeof(struct luo_ser_folio));
			}
			if (f->head.size >= sizeof(*f) && f->head.size <= r->file_size)
				f->crc = luo_file_crc(&c, f);
		}
		p->crc = luo_page_crc(&c, p, 0);
	}
	if (pci->head.size >= sizeof(*pci) && pci->head.size <= LUO_SER_PAGE)
		pci->crc = luo_pci_crc(&c, pci);
	if (r->head.size >= sizeof(*r) && r->head.size <= root_len)
		r->crc = luo_root_crc(&c, r);
}

static void ends(const char *text, size_t room)
{
	MUST(memchr(text, 0, room));
}

/* Go through a memfd as a restore does. */
static void use_memfd(const struct luo_ser_memfd *m)
{
	const struct luo_ser_page *p = m->folios ? at(m->folios, LUO_SER_PAGE) : NULL;
	uint64_t sum = 0, i, nr = 0;

	MUST(!m->folios == !p);
	for (;;) {
		const struct luo_ser_folio *f = p ? (const void *)p->entries : m->few;
		uint64_t here = p ? p->nr : m->nr_folios;

		MUST(here <= (p ? sizeof(p->entries) / sizeof(*f) : LUO_MEMFD_FEW));
		for (i = 0; i < here; i++) {
			uint64_t len = (uint64_t)LUO_SER_PAGE << (f[i].where & LUO_SER_ORDER);
			uint64_t phys = f[i].where & ~LUO_SER_ORDER;

			MUST((f[i].where & LUO_SER_ORDER) <= MAX_ORDER);
			MUST(phys && phys % len == 0 && phys + len <= MEMORY);
			MUST(f[i].at % len == 0 && f[i].at < m->size);
			sum += len;
		}
		nr += here;
		if (!p || !p->next)
			break;
		p = at(p->next, LUO_SER_PAGE);
		MUST(p && nr < m->nr_folios);
	}
	MUST(nr == m->nr_folios && sum == m->present);
	MUST((int64_t)m->size >= 0 && (int64_t)m->pos >= 0);
	MUST((m->mode & S_IFMT) == S_IFREG && !(m->seals & ~0x3f));
}

/* How much of what came can be used: the root, files, memfds, and devices. */
static unsigned int use(void)
{
	const struct luo_ser_root *r = root();
	const struct luo_ser_page *p;
	const struct luo_ser_pci *pci;
	uint64_t phys, spare = 0, files = 0;
	unsigned int good = 0, i;

	if (luo_check_root(&c, r, root_len) || luo_check_records(&c, r))
		return 0;
	good++;
	MUST(r->head.size <= root_len && r->nr_subsystems <= LUO_MAX_SUBSYSTEMS);
	ends(r->release, sizeof(r->release));
	for (i = 0; i < r->nr_subsystems; i++)
		ends(r->subsystems[i].name, LUO_COMPATIBLE_LEN);
	for (phys = r->files; phys; phys = p->next) {
		p = at(phys, LUO_SER_PAGE);
		MUST(p && files < r->nr_files);
		files += p->nr;
		for (i = 0; i < p->nr; i++) {
			const struct luo_ser_file *f =
				(const void *)(p->entries + (uint64_t)i * r->file_size);

			MUST((i + 1ULL) * r->file_size <= sizeof(p->entries));
			if (luo_check_file(&c, f, r->file_size))
				continue;
			good++;
			ends(f->handler, sizeof(f->handler));
			ends(f->comm, sizeof(f->comm));
			ends(f->name, sizeof(f->name));
			MUST(f->token + 1 > f->token);
			if (luo_check_memfd(&c, f->data, sizeof(f->data)))
				continue;
			good++;
			use_memfd((const void *)f->data);
		}
	}
	MUST(files == r->nr_files);
	MUST(r->nr_spare <= LUO_SPARE_BLOCKS);
	for (i = 0; i < r->nr_spare; i++) {
		uint64_t len = (uint64_t)LUO_SER_PAGE << (r->spare[i] & LUO_SER_ORDER);

		MUST((r->spare[i] & LUO_SER_ORDER) <= MAX_ORDER);
		MUST((r->spare[i] & ~LUO_SER_ORDER) % len == 0);
		for (phys = 0; phys < len && spare < r->spare_used; phys += LUO_SER_PAGE) {
			MUST(at((r->spare[i] & ~LUO_SER_ORDER) + phys, LUO_SER_PAGE));
			spare += LUO_SER_PAGE;
		}
	}
	MUST(spare == r->spare_used);

	for (i = 0; i < r->nr_subsystems; i++) {
		unsigned int d;

		if (strcmp(r->subsystems[i].name, LUO_PCI_SUBSYSTEM) ||
		    luo_check_pci(&c, r->subsystems[i].data))
			continue;
		pci = at(r->subsystems[i].data, sizeof(*pci));
		MUST(pci && at(r->subsystems[i].data, pci->head.size));
		for (d = 0; d < pci->nr; d++) {
			const struct luo_ser_pci_device *dev = (const void *)
				((const char *)pci->devices + (uint64_t)d * pci->device_size);

			MUST((const char *)(dev + 1) <= (const char *)pci + pci->head.size);
			ends(dev->compatible, sizeof(dev->compatible));
			ends(dev->driver, sizeof(dev->driver));
		}
		good++;
	}
	return good;
}

static uint64_t odd_value(void)
{
	static const uint64_t odd[] = {
		0, 1, 2, 7, 8, 0x7f, 0xff, 0x100, 0xfff, 0x1000, 0x1001, 0x7fffffff,
		0x80000000, 0xffffffff, 0x100000000, BASE, BASE + LUO_SER_PAGE, BASE + 8,
		0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000, ~0ULL,
	};

	return odd[rnd() % (sizeof(odd) / sizeof(odd[0]))];
}

/* Change something at one place; any page, but the first ones more often. */
static void mutate(void)
{
	int n = rnd() % 3 ? rnd() % 5 : rnd() % used;
	/* Entries fill the front of a page more often than its end. */
	unsigned int off = rnd() % (rnd() % 2 ? 384 : LUO_SER_PAGE);
	uint8_t *p = page[n];
	uint64_t v, w;
	unsigned int other;

	switch (rnd() % 6) {
	case 0: /* flip */
		p[off] ^= 1 << rnd() % 8;
		break;
	case 1: /* a value of four bytes */
		v = odd_value();
		memcpy(p + off / 4 * 4, &v, 4);
		break;
	case 2: /* of eight */
		v = odd_value();
		memcpy(p + off / 8 * 8, &v, 8);
		break;
	case 3: /* grow or shrink a number */
		memcpy(&v, p + off / 4 * 4, 4);
		v += rnd() % 5 - 2;
		memcpy(p + off / 4 * 4, &v, 4);
		break;
	case 4: /* swap two */
		other = rnd() % LUO_SER_PAGE / 8 * 8;
		memcpy(&v, p + off / 8 * 8, 8);
		memcpy(&w, p + other, 8);
		memcpy(p + other, &v, 8);
		memcpy(p + off / 8 * 8, &w, 8);
		break;
	default: /* fill or cut */
		memset(p + off, rnd() % 2 ? 0xff : 0, LUO_SER_PAGE - off);
		break;
	}
}

/* Has a byte changed for which a checksum stands? */
static bool changed(void)
{
	const size_t from = offsetof(struct luo_ser_root, mark);
	const size_t to = offsetof(struct luo_ser_root, crc);
	int i;

	if (memcmp(page[0], whole[0], from) ||
	    memcmp(page[0] + to, whole[0] + to, covered[0] - to))
		return true;
	for (i = 1; i < used; i++) {
		if (memcmp(page[i], whole[i], covered[i]))
			return true;
	}
	return false;
}

static void restore(void)
{
	int i;

	for (i = 0; i < used; i++) {
		if (memcmp(page[i], whole[i], LUO_SER_PAGE))
			memcpy(page[i], whole[i], LUO_SER_PAGE);
	}
	root_len = sizeof(struct luo_ser_root);
}

static void run(unsigned long turns, unsigned long first)
{
	unsigned long passed = 0, partly = 0, refused = 0;
	unsigned int all, good;
	int i, n;

	seed = first * 2654435761u + 1;
	for (i = 0; i < PAGES; i++) {
		page[i] = calloc(1, LUO_SER_PAGE);
		MUST(page[i]);
	}
	build();
	seal();
	all = use();
	MUST(all == 1 + 2 * FILES + 1);
	for (i = 0; i < used; i++)
		memcpy(whole[i], page[i], LUO_SER_PAGE);

	for (turn = 1; turn <= turns; turn++) {
		bool sealed = rnd() % 2;

		n = 1 + rnd() % 3;
		for (i = 0; i < n; i++)
			mutate();
		if (rnd() % 64 == 0)
			root_len = rnd() % (sizeof(struct luo_ser_root) + 9);
		if (sealed)
			seal();
		good = use();
		if (good == all)
			passed++;
		else if (good)
			partly++;
		else
			refused++;
		MUST(sealed || root_len < covered[0] || changed() == (good != all));
		restore();
		cond_resched();
	}
	printf("mutate: %lu turns: %lu refused, %lu read in part, %lu read whole\n", turns,
	       refused, partly, passed);
	MUST(refused > turns / 10 && partly > turns / 10);
	for (i = 0; i < PAGES; i++)
		free(page[i]);
}

#ifdef __KERNEL__

static unsigned long turns_wanted = 10000;
module_param_named(turns, turns_wanted, ulong, 0);
static unsigned long first_seed = 1;
module_param_named(seed, first_seed, ulong, 0);

static int __init mutate_init(void)
{
	run(turns_wanted, first_seed);
	return 0;
}
module_init(mutate_init);

static void __exit mutate_exit(void)
{
}
module_exit(mutate_exit);

MODULE_DESCRIPTION("Tries the checks of luo.ko with damaged bytes");
MODULE_LICENSE("Dual MIT/GPL");

#else

int main(int argc, char **argv)
{
	run(argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000,
	    argc > 2 ? strtoul(argv[2], NULL, 0) : 0);
	return 0;
}

#endif
