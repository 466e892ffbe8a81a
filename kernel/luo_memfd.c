// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: memfds in the old kernel
 *
 * The contents of a memfd are not copied: its folios are pinned, so that
 * they stay where they are, and handed to kexec handover, which keeps them
 * for the new kernel.
 *
 * PREPARE takes the file's size for good: neither truncating nor punching is
 * possible from then on, until CANCEL. It pins what is there and nothing
 * else: a hole costs nothing and arrives as a hole. Processes go on writing.
 * A write to a pinned folio arrives by itself, one into a hole makes a new
 * folio, which FREEZE finds by counting pages and then pins too. A file that
 * got no new folio is frozen in constant time, however large it is; for one
 * that did FREEZE looks at what were holes, and at nothing else.
 *
 * What is in swap is brought in for the old kernel's account, whose limits hold:
 * if the owner's memory cgroup or the machine has no room for it PREPARE is
 * refused, and nobody is killed for it.
 *
 * The walk uses the page cache alone. The file's position belongs to its
 * readers and is only ever copied.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/err.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "luo_memfd_out.h"

static bool luo_memfd_can_preserve(struct file *file)
{
	/*
	 * Shared memory of other kinds lives on the same kernel mount, and a
	 * tmpfs can hold an unlinked file of any name: only both together
	 * tell a memfd.
	 */
	return shmem_file(file) && !file_inode(file)->i_nlink &&
	       (file_inode(file)->i_sb->s_flags & SB_KERNMOUNT) &&
	       str_has_prefix(file->f_path.dentry->d_name.name,
			      LUO_MEMFD_PREFIX);
}

static void luo_memfd_name(struct file *file, char *name, size_t len)
{
	strscpy(name, file->f_path.dentry->d_name.name +
		strlen(LUO_MEMFD_PREFIX), len);
}

/**
 * luo_memfd_present - how many pages a memfd has
 * @inode: the file
 *
 * Return: their number, those in swap included.
 */
unsigned long luo_memfd_present(struct inode *inode)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	unsigned long nr;

	spin_lock(&info->lock);
	nr = inode->i_mapping->nrpages + info->swapped;
	spin_unlock(&info->lock);
	return nr;
}

/* Did fallocate() reserve pages beyond the end? They are not carried. */
static bool luo_memfd_has_tail(struct inode *inode)
{
	unsigned long index = 0;

	if (i_size_read(inode))
		index = luo_memfd_last(inode) + 1;
	return xa_find(&inode->i_mapping->i_pages, &index, ULONG_MAX,
		       XA_PRESENT);
}

static void luo_memfd_describe(struct file *file, struct luo_ser_memfd *ser)
{
	struct inode *inode = file_inode(file);

	ser->head = (struct luo_ser_head) {
		.size = sizeof(*ser),
		.version = LUO_MEMFD_VERSION,
		.needs = LUO_MEMFD_NEEDS,
	};
	ser->size = i_size_read(inode);
	ser->pos = READ_ONCE(file->f_pos);
	ser->seals = READ_ONCE(SHMEM_I(inode)->seals);
	ser->mode = inode->i_mode;
	ser->uid = from_kuid(&init_user_ns, inode->i_uid);
	ser->gid = from_kgid(&init_user_ns, inode->i_gid);
	ser->f_flags = file->f_flags & (O_APPEND | O_NONBLOCK);
}

static int luo_memfd_prepare(struct luo_file *lf)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m;
	int err;

	m = kzalloc_obj(*m, GFP_KERNEL);
	if (!m)
		return -ENOMEM;
	lf->private = m;
	m->poison = luo_memfd_poison_now();

	/*
	 * Whoever truncates or punches now has finished when the lock is
	 * ours, and nobody can begin after. Pinning needs the lock no longer,
	 * so writers are not held up by it.
	 */
	inode_lock(inode);
	shmem_freeze(inode, true);
	inode_unlock(inode);

	luo_memfd_describe(lf->file, luo_memfd_ser(lf));
	err = luo_memfd_pin(lf);
	if (err)
		return err;

	m->tail = luo_memfd_has_tail(inode);
	return 0;
}

static int luo_memfd_freeze(struct luo_file *lf)
{
	struct luo_memfd *m = lf->private;
	int err;

	luo_memfd_describe(lf->file, luo_memfd_ser(lf));

	err = luo_memfd_poisoned(lf);
	if (err)
		return err;
	/* Pinned pages cannot go, so the same number means the same pages. */
	if (!m->tail && luo_memfd_present(file_inode(lf->file)) == m->nr_pages)
		return 0;
	return luo_memfd_pin(lf);
}

/* Copy one page that nobody pinned into one that arrives. */
static bool luo_memfd_copy(struct luo_file *lf, struct page *from, pgoff_t index)
{
	struct luo_ser_folio *slot;
	unsigned long room;
	void *copy;

	slot = luo_memfd_slots(lf, true, &room);
	if (IS_ERR(slot))
		return false;
	copy = luo_spare_take();
	if (!copy)
		return false;
	copy_page(copy, page_address(from));
	*slot = luo_ser_folio_of(virt_to_phys(copy), 0, index);
	luo_memfd_wrote(lf, 1, 1);
	return true;
}

/* All between two places that nobody pinned. */
static void luo_memfd_late_between(struct luo_file *lf, pgoff_t from, pgoff_t end)
{
	XA_STATE(xas, &file_inode(lf->file)->i_mapping->i_pages, from);
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	pgoff_t index, last;
	struct folio *folio;
	unsigned long nr;
	void *entry;

	if (from >= end)
		return;
	rcu_read_lock();
	xas_for_each(&xas, entry, end - 1) {
		if (xas_retry(&xas, entry))
			continue;
		nr = 1UL << xas_get_order(&xas);
		if (xa_is_value(entry)) {
			ser->lost += nr << PAGE_SHIFT;
			continue;
		}
		folio = entry;
		/* Nobody has written into one that is not whole yet. */
		if (!folio_test_uptodate(folio))
			continue;
		/* What lies behind the end of the file is not the file's. */
		last = min(folio->index + nr, end);
		for (index = folio->index; index < last; index++) {
			if (!luo_memfd_copy(lf, folio_file_page(folio, index),
					    index))
				ser->lost += PAGE_SIZE;
		}
	}
	rcu_read_unlock();
}

/*
 * Processes ran until a moment ago. What they wrote into pages that were pinned
 * arrives by itself; for others there are spare pages, as long as they last.
 */
static bool luo_memfd_late(struct luo_file *lf)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m = lf->private;
	unsigned long i, present;
	pgoff_t from = 0;

	present = READ_ONCE(inode->i_mapping->nrpages) +
		  READ_ONCE(SHMEM_I(inode)->swapped);
	if (!i_size_read(inode) || (!m->tail && present == m->nr_pages))
		return false;

	for (i = 0; i < m->runs.nr; i++) {
		luo_memfd_late_between(lf, from, m->runs.run[i].start);
		from = m->runs.run[i].end;
	}
	luo_memfd_late_between(lf, from, luo_memfd_last(inode) + 1);
	luo_memfd_seal(lf);
	return true;
}

static void luo_memfd_cancel(struct luo_file *lf)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m = lf->private;

	/* PREPARE did not get far enough to do anything. */
	if (!m)
		return;

	luo_memfd_unpin(lf);

	inode_lock(inode);
	shmem_freeze(inode, false);
	inode_unlock(inode);

	lf->private = NULL;
	kfree(m);
}

static const struct luo_file_ops luo_memfd_ops = {
	.can_preserve = luo_memfd_can_preserve,
	.name = luo_memfd_name,
	.size = luo_memfd_size,
	.prepare = luo_memfd_prepare,
	.freeze = luo_memfd_freeze,
	.late = luo_memfd_late,
	.cancel = luo_memfd_cancel,
	.check = luo_memfd_check,
	.restore = luo_memfd_restore,
	.finish = luo_memfd_finish,
};

struct luo_file_handler luo_memfd_handler = {
	.compatible = LUO_MEMFD_COMPATIBLE,
	.kind = "memfd",
	.owner = THIS_MODULE,
	.ops = &luo_memfd_ops,
};
