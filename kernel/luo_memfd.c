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

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kprobes.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "luo_memfd.h"

static_assert(sizeof(struct luo_ser_memfd) >= LUO_MEMFD_LEAST);
static_assert(sizeof(struct luo_ser_memfd) <= LUO_FILE_RECORD_LEN);

/* So many folios are pinned at once; whoever is killed gives up in between. */
#define LUO_MEMFD_BATCH		512

/* Somebody's I/O on a page that must move first ends after some moments. */
#define LUO_MEMFD_TRIES		10
#define LUO_MEMFD_TRY_MS	20

/**
 * struct luo_run - pages that follow each other and are all pinned
 * @start: the first
 * @end: the one behind the last
 */
struct luo_run {
	pgoff_t start;
	pgoff_t end;
};

/**
 * struct luo_runs - all that is pinned of a file, in its order
 * @run: the runs
 * @nr: their number
 * @room: for how many there is room
 */
struct luo_runs {
	struct luo_run *run;
	unsigned long nr;
	unsigned long room;
};

/**
 * struct luo_memfd - an outgoing memfd between prepare and cancel
 * @nr_pages: pages pinned so far
 * @tail: pages beyond the end of the file exist, counting tells nothing
 * @poison: how often memory of this machine had failed before they were pinned
 * @runs: where they are
 * @page: the last page of the list; NULL if the list is in the record
 * @unsealed: address of the first page of the list that needs a checksum
 * @batch: folios that are being pinned
 * @room: taken for what is in swap
 */
struct luo_memfd {
	unsigned long nr_pages;
	bool tail;
	int poison;
	struct luo_runs runs;
	struct luo_ser_page *page;
	u64 unsealed;
	struct folio **batch;
	struct luo_room room;
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

/* How often memory failed; whether that can be seen at all. */
static atomic_t luo_poison_nr;
static bool luo_poison_seen;

#if defined(CONFIG_KPROBES) && defined(CONFIG_MEMORY_FAILURE)

static int luo_poison_pre(struct kprobe *p, struct pt_regs *regs)
{
	atomic_inc(&luo_poison_nr);
	return 0;
}
NOKPROBE_SYMBOL(luo_poison_pre);

static struct kprobe luo_poison_probe = {
	.symbol_name = "memory_failure",
	.pre_handler = luo_poison_pre,
};

/**
 * luo_memfd_init - see memory fail from now on
 *
 * Where that is not possible FREEZE looks at every folio.
 */
void luo_memfd_init(void)
{
	luo_poison_seen = !register_kprobe(&luo_poison_probe);
}

/**
 * luo_memfd_exit - undo luo_memfd_init()
 */
void luo_memfd_exit(void)
{
	if (luo_poison_seen)
		unregister_kprobe(&luo_poison_probe);
}

#else

void luo_memfd_init(void)
{
	luo_poison_seen = !IS_ENABLED(CONFIG_MEMORY_FAILURE);
}

void luo_memfd_exit(void)
{
}

#endif

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

/**
 * luo_memfd_next - the next pages that exist
 * @inode: the file
 * @from: where to go on
 * @end: where to stop
 * @start: where the first of them goes
 * @swapped: they are in swap
 *
 * Return: how many follow each other, in at most one batch of folios; 0 if there
 * is none.
 */
static unsigned long luo_memfd_next(struct inode *inode, pgoff_t from,
				    pgoff_t end, pgoff_t *start, bool *swapped)
{
	XA_STATE(xas, &inode->i_mapping->i_pages, from);
	unsigned long pages, nr = 0, folios = 0;
	pgoff_t index;
	void *entry;

	if (from >= end)
		return 0;
	rcu_read_lock();
	xas_for_each(&xas, entry, end - 1) {
		if (xas_retry(&xas, entry))
			continue;
		pages = 1UL << xas_get_order(&xas);
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
		if (++folios == LUO_MEMFD_BATCH)
			break;
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

/* One more page of the list; at the very last moment only a spare one. */
static struct luo_ser_page *luo_memfd_page(struct luo_ser_memfd *ser,
					   struct luo_ser_page *last, bool late)
{
	struct luo_ser_page *page;

	if (!late)
		return luo_chain_grow(&ser->folios, last);
	page = luo_kho_spare_take();
	if (!page)
		return ERR_PTR(-ENOMEM);
	memset(page, 0, sizeof(*page));
	if (last)
		last->next = virt_to_phys(page);
	else
		ser->folios = virt_to_phys(page);
	return page;
}

/* The place for one more folio in the list. */
static struct luo_ser_folio *luo_memfd_slot(struct luo_file *lf, bool late)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_memfd *m = lf->private;
	struct luo_ser_page *page = m->page;

	if (!page && ser->nr_folios < LUO_MEMFD_FEW)
		return &ser->few[ser->nr_folios];

	if (!page || page->nr == LUO_FOLIOS_A_PAGE) {
		page = luo_memfd_page(ser, page, late);
		if (IS_ERR(page))
			return ERR_CAST(page);
		if (!m->page) {
			memcpy(page->entries, ser->few, sizeof(ser->few));
			memset(ser->few, 0, sizeof(ser->few));
			page->nr = LUO_MEMFD_FEW;
			m->unsealed = ser->folios;
		}
		m->page = page;
	}
	return (struct luo_ser_folio *)page->entries + page->nr;
}

/* One more folio is on the list. */
static void luo_memfd_write(struct luo_file *lf, struct luo_ser_folio *slot,
			    u64 phys, unsigned int order, pgoff_t index)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_memfd *m = lf->private;

	slot->where = phys | (order + PAGE_SHIFT - ilog2(LUO_SER_PAGE));
	slot->at = (u64)index << PAGE_SHIFT;
	if (m->page)
		m->page->nr++;
	ser->nr_folios++;
	ser->present += PAGE_SIZE << order;
	m->nr_pages += 1UL << order;
}

/* Hand a pinned folio to kexec handover, and put it on the list. */
static int luo_memfd_put(struct luo_file *lf, struct folio *folio)
{
	struct luo_ser_folio *slot = luo_memfd_slot(lf, false);
	int err;

	/* A page of the list without an entry does not arrive: PREPARE fails. */
	if (IS_ERR(slot))
		return PTR_ERR(slot);
	err = luo_memfd_keep(folio);
	if (err)
		return err;

	luo_memfd_write(lf, slot, PFN_PHYS(folio_pfn(folio)), folio_order(folio),
			folio->index);
	return 0;
}

/* The pages of the list are as they shall arrive. */
static void luo_memfd_seal(struct luo_file *lf)
{
	struct luo_memfd *m = lf->private;
	struct luo_ser_page *page;
	u64 phys;

	for (phys = m->unsealed; phys; phys = page->next) {
		page = phys_to_virt(phys);
		page->crc = luo_page_crc(&luo_here, page,
					 sizeof(struct luo_ser_folio));
		m->unsealed = phys;
	}
}

static void luo_memfd_unput(const struct luo_ser_folio *list, unsigned long nr)
{
	struct folio *folio;

	while (nr) {
		folio = pfn_folio(PHYS_PFN(list[--nr].where));
		kho_unpreserve_folio(folio);
		unpin_folio(folio);
	}
	cond_resched();
}

/* Take back all that is on the list, and the list. */
static void luo_memfd_unpin(struct luo_file *lf)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_ser_page *page;
	u64 phys;

	if (!ser->folios)
		luo_memfd_unput(ser->few, ser->nr_folios);
	for (phys = ser->folios; phys; phys = page->next) {
		page = phys_to_virt(phys);
		luo_memfd_unput((void *)page->entries, page->nr);
	}
	luo_chain_free(&ser->folios);
	ser->nr_folios = 0;
	ser->present = 0;
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
	pgoff_t next = 0;
	long i;
	int err = 0;

	for (i = 0; !err && i < n; i++) {
		next = folio_next_index(m->batch[i]);
		err = luo_memfd_put(lf, m->batch[i]);
	}
	if (!err)
		return next;
	/* Those on the list are cancel's to unpin. */
	unpin_folios(m->batch + i - 1, n - i + 1);
	return err;
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

/*
 * Pin what is there and not pinned yet. What is pinned cannot go, so only
 * what were holes need be looked at. Processes write meanwhile.
 */
static int luo_memfd_pin(struct luo_file *lf)
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

/* Has memory failed that was good when it was pinned? */
static int luo_memfd_look(const struct luo_ser_folio *list, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (folio_contain_hwpoisoned_page(pfn_folio(PHYS_PFN(list[i].where))))
			return -EHWPOISON;
	}
	cond_resched();
	return 0;
}

static int luo_memfd_poisoned(struct luo_file *lf)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_memfd *m = lf->private;
	struct luo_ser_page *page;
	int err, nr = atomic_read(&luo_poison_nr);
	u64 phys;

	if (luo_poison_seen && nr == m->poison)
		return 0;
	err = ser->folios ? 0 : luo_memfd_look(ser->few, ser->nr_folios);
	for (phys = ser->folios; !err && phys; phys = page->next) {
		page = phys_to_virt(phys);
		err = luo_memfd_look((void *)page->entries, page->nr);
	}
	m->poison = nr;
	return err;
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
	m->poison = atomic_read(&luo_poison_nr);

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
	struct luo_ser_page *copy = luo_kho_spare_take();
	struct luo_ser_folio *slot;

	if (!copy)
		return false;
	slot = luo_memfd_slot(lf, true);
	if (IS_ERR(slot)) {
		luo_kho_spare_give(copy);
		return false;
	}
	copy_page(copy, page_address(from));
	luo_memfd_write(lf, slot, virt_to_phys(copy), 0, index);
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
	luo_runs_free(&m->runs);

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
