// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Pinning a memfd
 *
 * Finds the pages that exist, brings in those that are in swap within the room
 * that their owner has, pins them, hands them to kexec handover, and notes where
 * they are in the file.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/memfd.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "luo_memfd_out.h"

/* So many folios are pinned at once; whoever is killed gives up in between. */
#define LUO_MEMFD_BATCH		512

/* Somebody's I/O on a page that must move first ends after some moments. */
#define LUO_MEMFD_TRIES		10
#define LUO_MEMFD_TRY_MS	20

/* Behind all others, or as part of the last one. */
static int luo_runs_add(struct luo_runs *runs, pgoff_t start, pgoff_t end)
{
	struct luo_run *more;
	unsigned long room;

	if (runs->nr && runs->run[runs->nr - 1].end == start) {
		runs->run[runs->nr - 1].end = end;
		return 0;
	}
	if (runs->nr == runs->room) {
		room = runs->room ? 2 * runs->room : 4;
		more = kvrealloc(runs->run, array_size(room, sizeof(*more)),
				 GFP_KERNEL | __GFP_NOWARN);
		if (!more)
			return -ENOMEM;
		runs->run = more;
		runs->room = room;
	}
	runs->run[runs->nr++] = (struct luo_run) { start, end };
	return 0;
}

static void luo_runs_free(struct luo_runs *runs)
{
	kvfree(runs->run);
	memset(runs, 0, sizeof(*runs));
}

/* At the first entry of a node with a page for each place, and none in swap? */
static bool luo_memfd_full(const struct xa_state *xas)
{
	const struct xa_node *node = xas->xa_node;

	return node && !node->shift && !xas->xa_offset &&
	       READ_ONCE(node->count) == XA_CHUNK_SIZE &&
	       !READ_ONCE(node->nr_values);
}

/*
 * The next pages that exist: where the first of them is, whether they are in swap,
 * and how many follow each other, in at most one batch of folios; 0 if there is none.
 */
static unsigned long luo_memfd_next(struct inode *inode, pgoff_t from,
				    pgoff_t end, pgoff_t *start, bool *swapped)
{
	XA_STATE(xas, &inode->i_mapping->i_pages, from);
	unsigned long pages, nr = 0, folios = 0;
	pgoff_t index;
	void *entry;
	bool full;

	if (from >= end)
		return 0;
	rcu_read_lock();
	xas_for_each(&xas, entry, end - 1) {
		if (xas_retry(&xas, entry))
			continue;
		/* As a rule all is there: then one look tells of a whole node. */
		full = luo_memfd_full(&xas);
		pages = full ? XA_CHUNK_SIZE : 1UL << xas_get_order(&xas);
		index = max(round_down(xas.xa_index, pages), from);
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}

		if (!nr) {
			*start = index;
			*swapped = xa_is_value(entry);
		} else if (index != *start + nr ||
			   *swapped != xa_is_value(entry)) {
			break;
		}
		nr = min(round_down(index, pages) + pages, end) - *start;
		folios += full ? pages : 1;
		if (folios >= LUO_MEMFD_BATCH)
			break;
		if (full)
			xas_set(&xas, index + pages);
	}
	rcu_read_unlock();
	/* What was one entry in swap may come back as many folios. */
	return *swapped ? min(nr, LUO_MEMFD_BATCH) : nr;
}

/*
 * Is there room for all that is in swap? Asked once, with the first page that
 * was brought in: whose it is tells who will be charged.
 */
static int luo_memfd_swap_room(struct luo_file *lf, struct folio *first)
{
	struct shmem_inode_info *info = SHMEM_I(file_inode(lf->file));
	unsigned long swapped = READ_ONCE(info->swapped), lacks;
	struct luo_memfd *m = lf->private;
	long free = si_mem_available();

	lacks = luo_room_take_beside(&m->room, first, swapped);
	lacks = max(lacks, swapped - min(swapped, max(free, 0L)));
	if (!lacks)
		return 0;
	luo_room_end(&m->room);
	lf->shortage = (u64)lacks << PAGE_SHIFT;
	pr_warn("token %llu: %lu KiB of it are in swap, there are %lu KiB too few to bring them in\n",
		lf->token, swapped << (PAGE_SHIFT - 10),
		lacks << (PAGE_SHIFT - 10));
	return -ENOMEM;
}

/* Bring pages in from swap, and keep a reference to each of their folios. */
static long luo_memfd_swap_in(struct luo_file *lf, pgoff_t start,
			      unsigned long nr, struct folio **folios)
{
	struct address_space *mapping = lf->file->f_mapping;
	gfp_t gfp = mapping_gfp_mask(mapping) | __GFP_RETRY_MAYFAIL |
		    __GFP_NOWARN;
	struct luo_memfd *m = lf->private;
	unsigned long i = 0, n = 0;
	struct folio *folio;
	unsigned int flags;
	int err = 0;

	/* What is pinned for long must not be where it could not stay. */
	flags = memalloc_pin_save();
	while (!err && i < nr) {
		folio = shmem_read_folio_gfp(mapping, start + i, gfp);
		if (IS_ERR(folio)) {
			err = PTR_ERR(folio);
			break;
		}
		folios[n++] = folio;
		if (!m->room.memcg)
			err = luo_memfd_swap_room(lf, folio);
		luo_room_used(&m->room, folio_nr_pages(folio));
		i = folio_next_index(folio) - start;
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	memalloc_pin_restore(flags);
	if (!err)
		return n;
	while (n)
		folio_put(folios[--n]);
	return err;
}

/*
 * Pinning moves pages out of memory that cannot be kept. That fails while
 * somebody does I/O straight to one of them.
 */
static long luo_memfd_pin_run(struct file *file, pgoff_t start,
			      unsigned long nr, struct folio **folios, int tries)
{
	loff_t end = min_t(loff_t, ((loff_t)start + nr) << PAGE_SHIFT,
			   i_size_read(file_inode(file))) - 1;
	pgoff_t offset;
	long n;

	for (;;) {
		n = memfd_pin_folios(file, (loff_t)start << PAGE_SHIFT, end,
				     folios, LUO_MEMFD_BATCH, &offset);
		if ((n != -ENOMEM && n != -EBUSY) || !--tries)
			return n;
		if (fatal_signal_pending(current))
			return -EINTR;
		msleep(LUO_MEMFD_TRY_MS);
	}
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

/*
 * Hand pinned folios to kexec handover, and put them on the list, as many as there
 * are places at its end; returns how many, of @nr.
 */
static long luo_memfd_put(struct luo_file *lf, struct folio **folios, long nr)
{
	unsigned long room, pages = 0;
	struct luo_ser_folio *slots;
	struct folio *folio;
	unsigned int order;
	int err = 0;
	long i;

	slots = luo_memfd_slots(lf, false, &room);
	/* A page of the list without an entry does not arrive: PREPARE fails. */
	if (IS_ERR(slots))
		return PTR_ERR(slots);
	nr = min_t(long, nr, room);
	for (i = 0; i < nr; i++) {
		folio = folios[i];
		err = luo_memfd_keep(folio);
		if (err)
			break;
		order = folio_order(folio);
		slots[i] = luo_ser_folio_of(PFN_PHYS(folio_pfn(folio)), order,
					    folio->index);
		pages += 1UL << order;
	}
	luo_memfd_wrote(lf, i, pages);
	return i ?: err;
}

static int luo_memfd_unput(const struct luo_ser_folio *list, unsigned long nr)
{
	struct folio *folio;

	while (nr) {
		folio = pfn_folio(PHYS_PFN(list[--nr].where));
		kho_unpreserve_folio(folio);
		unpin_folio(folio);
	}
	cond_resched();
	return 0;
}

/**
 * luo_memfd_unpin - take back all that is on the list, and the list
 * @lf: the file
 */
void luo_memfd_unpin(struct luo_file *lf)
{
	struct luo_memfd *m = lf->private;

	luo_memfd_each(lf, luo_memfd_unput);
	luo_memfd_empty(lf);
	luo_runs_free(&m->runs);
}

/*
 * What comes from swap is held until it is pinned, lest it goes again; what has
 * to move first can do so only if nobody holds it.
 */
static long luo_memfd_pin_swapped(struct luo_file *lf, pgoff_t start,
				  unsigned long nr)
{
	struct luo_memfd *m = lf->private;
	struct folio **held = m->batch + LUO_MEMFD_BATCH;
	long n, in = luo_memfd_swap_in(lf, start, nr, held);

	if (in < 0)
		return in;
	n = luo_memfd_pin_run(lf->file, start, nr, m->batch, 1);
	while (in)
		folio_put(held[--in]);
	if (n != -ENOMEM && n != -EBUSY)
		return n;
	return luo_memfd_pin_run(lf->file, start, nr, m->batch,
				 LUO_MEMFD_TRIES);
}

/* Put the first @n folios of the batch on the list; returns where they end. */
static long luo_memfd_put_batch(struct luo_file *lf, long n)
{
	struct luo_memfd *m = lf->private;
	pgoff_t next = folio_next_index(m->batch[n - 1]);
	long i, put;

	for (i = 0; i < n; i += put) {
		put = luo_memfd_put(lf, m->batch + i, n - i);
		if (put < 0) {
			/* Those on the list are cancel's to unpin. */
			unpin_folios(m->batch + i, n - i);
			return put;
		}
	}
	return next;
}

/* Pin what exists between two places, and note it. */
static int luo_memfd_pin_between(struct luo_file *lf, pgoff_t from, pgoff_t end,
				 struct luo_runs *runs)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m = lf->private;
	unsigned long nr;
	bool swapped;
	pgoff_t start;
	long n, next;
	int err;

	swapped = false;
	while ((nr = luo_memfd_next(inode, from, end, &start, &swapped))) {
		n = swapped ? luo_memfd_pin_swapped(lf, start, nr) :
			      luo_memfd_pin_run(lf->file, start, nr, m->batch,
						LUO_MEMFD_TRIES);
		if (n <= 0)
			return n ?: -EIO;
		next = luo_memfd_put_batch(lf, n);
		if (next < 0)
			return next;
		err = luo_runs_add(runs, start, next);
		if (err)
			return err;
		from = next;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * luo_memfd_pin - pin what is there and not pinned yet
 * @lf: the file
 *
 * What is pinned cannot go, so only what were holes need be looked at. Processes
 * write meanwhile.
 *
 * Return: 0 or an error, after which luo_memfd_unpin() gives back what is pinned.
 */
int luo_memfd_pin(struct luo_file *lf)
{
	struct inode *inode = file_inode(lf->file);
	struct luo_memfd *m = lf->private;
	struct luo_runs now = {};
	unsigned long i;
	pgoff_t from = 0, end;
	int err = 0;

	if (!i_size_read(inode))
		return 0;

	m->batch = kmalloc_array(2 * LUO_MEMFD_BATCH, sizeof(*m->batch),
				 GFP_KERNEL);
	if (!m->batch)
		return -ENOMEM;

	end = luo_memfd_last(inode) + 1;
	for (i = 0; !err && i < m->runs.nr; i++) {
		err = luo_memfd_pin_between(lf, from, m->runs.run[i].start,
					    &now) ?:
		      luo_runs_add(&now, m->runs.run[i].start,
				   m->runs.run[i].end);
		from = m->runs.run[i].end;
	}
	if (!err)
		err = luo_memfd_pin_between(lf, from, end, &now);

	if (!err)
		swap(m->runs, now);
	luo_runs_free(&now);
	luo_room_end(&m->room);
	kfree(m->batch);
	m->batch = NULL;
	luo_memfd_seal(lf);
	return err;
}
