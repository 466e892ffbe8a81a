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
 * got no new folio is frozen in constant time, however large it is.
 *
 * The walk uses the page cache alone. The file's position belongs to its
 * readers and is only ever copied.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kexec_handover.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include "luo_memfd.h"

/* Folios are pinned in portions of this many pages; a kill is seen in between. */
#define LUO_MEMFD_PORTION	(1UL << (27 - PAGE_SHIFT))

/* So often whoever goes through many folios gives way. */
#define LUO_MEMFD_BATCH		512

/* Room for folios that appear while they are looked for. */
#define LUO_MEMFD_SPARE		1024

/* Somebody's I/O on a page that must move first ends after some moments. */
#define LUO_MEMFD_TRIES		10
#define LUO_MEMFD_TRY_MS	20

/**
 * struct luo_memfd - an outgoing memfd between prepare and cancel
 * @nr_pages: pages pinned so far
 * @tail: pages beyond the end of the file exist, counting tells nothing
 * @kept: the array of the list was handed to kexec handover
 * @folios: the arrays behind the lists of the record
 */
struct luo_memfd {
	unsigned long nr_pages;
	bool tail;
	bool kept[LUO_MEMFD_LISTS];
	struct luo_memfd_folio *folios[LUO_MEMFD_LISTS];
};

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

/* Index of the last page that belongs to the file; the size is not 0. */
static pgoff_t luo_memfd_last(struct inode *inode)
{
	return (i_size_read(inode) - 1) >> PAGE_SHIFT;
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

/**
 * struct luo_memfd_walk - a walk over what must be pinned
 * @inode: the file
 * @from: where to go on
 * @known: folios to leave out, in the order of the file
 * @nr_known: their number
 * @dense: there is no hole, nothing has to be looked for
 */
struct luo_memfd_walk {
	struct inode *inode;
	pgoff_t from;
	const struct luo_memfd_folio *known;
	u64 nr_known;
	bool dense;
};

/* The next run of pages that exist, in at most one portion; 0 at the end. */
static unsigned long luo_memfd_next_run(struct luo_memfd_walk *w,
					pgoff_t *start)
{
	XA_STATE(xas, &w->inode->i_mapping->i_pages, w->from);
	pgoff_t index, last = luo_memfd_last(w->inode);
	unsigned long pages, nr = 0;
	void *entry;

	if (w->from > last)
		return 0;
	if (w->dense) {
		*start = w->from;
		return min(last + 1 - w->from, LUO_MEMFD_PORTION);
	}

	rcu_read_lock();
	xas_for_each(&xas, entry, last) {
		if (xas_retry(&xas, entry))
			continue;
		pages = 1UL << xas_get_order(&xas);
		index = round_down(xas.xa_index, pages);
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}

		while (w->nr_known && w->known->index < index) {
			w->known++;
			w->nr_known--;
		}
		if (w->nr_known && w->known->index == index) {
			if (nr)
				break;
			continue;
		}

		index = max(index, w->from);
		if (!nr)
			*start = index;
		else if (index != *start + nr)
			break;
		nr = min(round_down(index, pages) + pages, last + 1) - *start;
		if (nr >= LUO_MEMFD_PORTION)
			break;
	}
	rcu_read_unlock();
	return min(nr, LUO_MEMFD_PORTION);
}

/*
 * Pinning brings pages in from swap and moves them out of memory that cannot
 * be kept. That fails while somebody does I/O straight to one of them.
 */
static long luo_memfd_pin_run(struct file *file, pgoff_t start,
			      unsigned long nr, struct folio **folios)
{
	loff_t end = min_t(loff_t, ((loff_t)start + nr) << PAGE_SHIFT,
			   i_size_read(file_inode(file))) - 1;
	pgoff_t offset;
	int tries;
	long n;

	for (tries = 0; tries < LUO_MEMFD_TRIES; tries++) {
		n = memfd_pin_folios(file, (loff_t)start << PAGE_SHIFT, end,
				     folios, nr, &offset);
		if (n != -ENOMEM && n != -EBUSY)
			return n;
		if (fatal_signal_pending(current))
			return -EINTR;
		msleep(LUO_MEMFD_TRY_MS);
	}
	return n;
}

static int luo_memfd_keep(struct folio *folio)
{
	int err;

	if (folio_contain_hwpoisoned_page(folio))
		return -EHWPOISON;

	err = kho_preserve_folio(folio);
	if (err)
		return err;

	folio_lock(folio);
	/* Allocated, but never written: the old contents are not the file's. */
	if (!folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	/* A mapping may write at any time later, so the new kernel assumes so. */
	folio_mark_dirty(folio);
	folio_unlock(folio);
	return 0;
}

static void luo_memfd_unpin(struct luo_file *lf, int l)
{
	struct luo_memfd_list *list = &luo_memfd_ser(lf)->lists[l];
	struct luo_memfd *m = lf->private;

	while (list->nr) {
		struct folio *folio = pfn_folio(m->folios[l][--list->nr].pfn);

		m->nr_pages -= folio_nr_pages(folio);
		kho_unpreserve_folio(folio);
		unpin_folio(folio);
		if (!(list->nr % LUO_MEMFD_BATCH))
			cond_resched();
	}
	if (m->kept[l])
		kho_unpreserve_vmalloc(&list->area);
	if (m->folios[l] != luo_memfd_ser(lf)->few)
		vfree(m->folios[l]);

	m->kept[l] = false;
	m->folios[l] = NULL;
	memset(list, 0, sizeof(*list));
}

/* An array for @max folios that the new kernel will find. */
static int luo_memfd_array(struct luo_file *lf, int l, unsigned long max)
{
	struct luo_memfd_ser *ser = luo_memfd_ser(lf);
	struct luo_memfd *m = lf->private;
	int err;

	if (!l && max <= LUO_MEMFD_FEW) {
		m->folios[l] = ser->few;
		return 0;
	}

	/* vmalloc() of too much would dump the stack. */
	m->folios[l] = __vmalloc(array_size(max, sizeof(*m->folios[l])),
				 GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
	if (!m->folios[l])
		return -ENOMEM;

	err = kho_preserve_vmalloc(m->folios[l], &ser->lists[l].area);
	if (err) {
		/* What it filled in already stands for nothing. */
		memset(&ser->lists[l].area, 0, sizeof(ser->lists[l].area));
		return err;
	}
	m->kept[l] = true;
	return 0;
}

/*
 * Pin what is there and not known yet. Processes write meanwhile; if there
 * are more than @max folios in the end it is -E2BIG. Either all are pinned or none.
 */
static long luo_memfd_collect(struct file *file, struct luo_memfd_walk *w,
			      struct folio **folios, unsigned long max)
{
	unsigned long nr, got = 0;
	pgoff_t start;
	long n;

	while ((nr = luo_memfd_next_run(w, &start))) {
		/* A page can appear behind those that fill the array exactly. */
		if (got == max) {
			n = -E2BIG;
			goto err_unpin;
		}
		/* What it finds are folios, of which there are fewer than pages. */
		n = luo_memfd_pin_run(file, start, min(nr, max - got),
				      folios + got);
		if (n <= 0)
			goto err_unpin;
		got += n;
		w->from = folio_next_index(folios[got - 1]);
	}
	return got;

err_unpin:
	unpin_folios(folios, got);
	return n ?: -EIO;
}

/* Room for all folios that are there and more, and the folios in it, pinned. */
static long luo_memfd_collect_all(struct luo_file *lf, int l,
				  struct folio ***folios)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m = lf->private;
	unsigned long max, spare = LUO_MEMFD_SPARE;
	int tries;
	long n;

	for (tries = 0; tries < LUO_MEMFD_TRIES; tries++) {
		struct luo_memfd_walk w = { .inode = inode };

		max = luo_memfd_present(inode);
		if (l) {
			w.known = m->folios[0];
			w.nr_known = luo_memfd_ser(lf)->lists[0].nr;
			max -= min(max, m->nr_pages);
		} else if (!luo_memfd_has_tail(inode)) {
			w.dense = max > luo_memfd_last(inode);
		}
		max += spare;
		spare *= 4;

		*folios = kvmalloc_array(max, sizeof(**folios),
					 GFP_KERNEL | __GFP_NOWARN);
		if (!*folios)
			return -ENOMEM;
		n = luo_memfd_collect(lf->file, &w, *folios, max);
		if (n >= 0)
			return n;
		kvfree(*folios);
		if (n != -E2BIG)
			return n;
	}
	return -EBUSY;
}

/* Pin what is new, hand it to kexec handover, and put it on list @l. */
static int luo_memfd_pin(struct luo_file *lf, int l)
{
	struct luo_memfd_list *list = &luo_memfd_ser(lf)->lists[l];
	struct luo_memfd *m = lf->private;
	struct folio **folios;
	long n, i;
	int err;

	if (!i_size_read(file_inode(lf->file)))
		return 0;

	n = luo_memfd_collect_all(lf, l, &folios);
	if (n < 0)
		return n;

	err = n ? luo_memfd_array(lf, l, n) : 0;
	for (i = 0; !err && i < n; i++) {
		err = luo_memfd_keep(folios[i]);
		if (err)
			break;
		m->folios[l][i] = (struct luo_memfd_folio) {
			.pfn = folio_pfn(folios[i]),
			.index = folios[i]->index,
		};
		m->nr_pages += folio_nr_pages(folios[i]);
		list->nr = i + 1;
		if (!(i % LUO_MEMFD_BATCH))
			cond_resched();
	}
	/* Those on the list are cancel's to unpin. */
	unpin_folios(folios + i, n - i);
	kvfree(folios);
	return err;
}

static void luo_memfd_describe(struct file *file, struct luo_memfd_ser *ser)
{
	struct inode *inode = file_inode(file);

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

	/*
	 * Whoever truncates or punches now has finished when the lock is
	 * ours, and nobody can begin after. Pinning needs the lock no longer,
	 * so writers are not held up by it.
	 */
	inode_lock(inode);
	shmem_freeze(inode, true);
	inode_unlock(inode);

	luo_memfd_describe(lf->file, luo_memfd_ser(lf));
	err = luo_memfd_pin(lf, 0);
	if (err)
		return err;

	m->tail = luo_memfd_has_tail(inode);
	luo_memfd_ser(lf)->nr_pages = m->nr_pages;
	return 0;
}

static int luo_memfd_freeze(struct luo_file *lf)
{
	struct luo_memfd *m = lf->private;
	int err;

	luo_memfd_describe(lf->file, luo_memfd_ser(lf));

	/* Pinned pages cannot go, so the same number means the same pages. */
	if (!m->tail && luo_memfd_present(file_inode(lf->file)) == m->nr_pages)
		return 0;

	err = luo_memfd_pin(lf, 1);
	if (err)
		return err;
	luo_memfd_ser(lf)->nr_pages = m->nr_pages;
	return 0;
}

static void luo_memfd_cancel(struct luo_file *lf)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m = lf->private;
	int l;

	/* PREPARE did not get far enough to do anything. */
	if (!m)
		return;

	for (l = LUO_MEMFD_LISTS - 1; l >= 0; l--)
		luo_memfd_unpin(lf, l);

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
	.cancel = luo_memfd_cancel,
	.restore = luo_memfd_restore,
	.finish = luo_memfd_finish,
};

struct luo_file_handler luo_memfd_handler = {
	.compatible = LUO_MEMFD_COMPATIBLE,
	.kind = "memfd",
	.owner = THIS_MODULE,
	.ops = &luo_memfd_ops,
};
