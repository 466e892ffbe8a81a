// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: memfds in the new kernel
 *
 * RESTORE makes a new memfd and moves the folios that came into its page
 * cache, where they are: nothing is copied, holes stay holes.
 *
 * A folio can be taken out of kexec handover only once. So a restore that
 * cannot go on keeps what it has, file and all, and goes on there when it is
 * tried again; nothing that arrived is lost before FINISH.
 *
 * The pages are charged to whoever restores. If its memory cgroup has too
 * little room, beside what others are charging to it, the restore is refused
 * before the first page is touched, and charging never calls the OOM killer.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/folio_batch.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <uapi/linux/fcntl.h>

#include "luo_memfd.h"

/*
 * The page cache adds a folio to the list of anonymous or of file memory by
 * its swapbacked flag, and shmem sets that before. A kernel with DEBUG_VM
 * refuses to add such a folio from here. There it is set after, and the folios
 * take the way over the unevictable list, where the flag does not matter.
 */
#define LUO_MEMFD_SWAPBACKED_LATE	IS_ENABLED(CONFIG_DEBUG_VM)

/**
 * struct luo_memfd_in - a memfd that is being restored
 * @file: the new file, not given out yet
 * @broken: a folio did not arrive; there is nothing to try again
 * @page: the page of the list to go on with; NULL if the list is in the record
 * @i: the entry in it to go on with
 * @pages: how many pages are in the file
 * @folio: taken out for that entry, but not in the file yet
 */
struct luo_memfd_in {
	struct file *file;
	bool broken;
	struct luo_ser_page *page;
	u64 i;
	unsigned long pages;
	struct folio *folio;
};

/**
 * luo_memfd_size - size of a memfd, wherever it is in its life
 * @lf: the file
 * @bytes: where its size goes
 * @pages: where the number of its pages goes
 */
void luo_memfd_size(struct luo_file *lf, u64 *bytes, u64 *pages)
{
	struct file *file = READ_ONCE(lf->file);

	if (file) {
		*bytes = i_size_read(file_inode(file));
		*pages = luo_memfd_present(file_inode(file));
	} else {
		*bytes = luo_memfd_ser(lf)->size;
		*pages = luo_memfd_ser(lf)->present >> PAGE_SHIFT;
	}
}

/**
 * luo_memfd_check - can what came be read?
 * @lf: the file
 *
 * Return: NULL, or why not.
 */
const char *luo_memfd_check(struct luo_file *lf)
{
	const char *why = luo_check_memfd(&luo_here, lf->record,
					  LUO_FILE_RECORD_LEN);

	if (why)
		return why;
	/* What a page is here may be larger than where it was written. */
	if (!PAGE_ALIGNED(luo_memfd_ser(lf)->present))
		return "its pages have another size here";
	lf->lost = luo_memfd_ser(lf)->lost;
	return NULL;
}

static struct luo_memfd_in *luo_memfd_in(struct luo_file *lf)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_memfd_in *in = lf->private;

	if (in)
		return in;
	in = kzalloc_obj(*in, GFP_KERNEL);
	if (!in)
		return NULL;
	if (ser->folios)
		in->page = phys_to_virt(ser->folios);
	lf->private = in;
	return in;
}

static const struct luo_ser_folio *luo_memfd_current(struct luo_file *lf,
						     struct luo_memfd_in *in)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);

	if (!ser->folios)
		return in->i < ser->nr_folios ? &ser->few[in->i] : NULL;
	if (in->i == in->page->nr) {
		if (!in->page->next)
			return NULL;
		in->page = phys_to_virt(in->page->next);
		in->i = 0;
	}
	return (const struct luo_ser_folio *)in->page->entries + in->i;
}

static unsigned int luo_memfd_order(const struct luo_ser_folio *f)
{
	return (f->where & LUO_SER_ORDER) + ilog2(LUO_SER_PAGE) - PAGE_SHIFT;
}

/* Take a folio out of kexec handover, which can be done once. */
static struct folio *luo_memfd_take(const struct luo_ser_folio *f)
{
	struct folio *folio = kho_restore_folio(f->where & ~LUO_SER_ORDER);

	if (folio && folio_order(folio) != luo_memfd_order(f)) {
		folio_put(folio);
		return NULL;
	}
	return folio;
}

static bool luo_memfd_is_spare(const struct luo_ser_folio *f)
{
	return luo_spare_holds(f->where & ~LUO_SER_ORDER,
			       PAGE_SIZE << luo_memfd_order(f));
}

/* What came in a spare page is copied; reclaim may help, the OOM killer must not. */
static struct folio *luo_memfd_take_spare(const struct luo_ser_folio *f,
					  struct address_space *mapping)
{
	struct folio *folio = folio_alloc(mapping_gfp_mask(mapping) |
					  __GFP_RETRY_MAYFAIL | __GFP_NOWARN,
					  luo_memfd_order(f));

	if (!folio)
		return ERR_PTR(-ENOMEM);
	memcpy(folio_address(folio), phys_to_virt(f->where & ~LUO_SER_ORDER),
	       folio_size(folio));
	return folio;
}

/* A file of the size that will be charged for, which commits that much. */
static struct file *luo_memfd_create(struct luo_file *lf)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct file *file;
	char *name;

	name = kasprintf(GFP_KERNEL, LUO_MEMFD_PREFIX "%s", lf->name);
	if (!name)
		return ERR_PTR(-ENOMEM);

	file = shmem_file_setup(name, ser->present, EMPTY_VMA_FLAGS);
	kfree(name);
	/* That is what shmem says when there is no memory for an inode. */
	if (file == ERR_PTR(-ENOSPC))
		return ERR_PTR(-ENOMEM);
	if (IS_ERR(file))
		return file;

	file->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
	file->f_flags |= O_LARGEFILE;
	/* Until they are shmem's, reclaim must not look at them. */
	if (LUO_MEMFD_SWAPBACKED_LATE)
		mapping_set_unevictable(file->f_mapping);
	return file;
}

static int luo_memfd_add(struct file *file, struct folio *folio, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	long nr = folio_nr_pages(folio);
	int err;

	if (folio_test_large(folio))
		folio_set_large_rmappable(folio);
	if (!LUO_MEMFD_SWAPBACKED_LATE)
		folio_set_swapbacked(folio);

	/* Reclaim may help, the OOM killer must not. */
	err = filemap_add_folio(mapping, folio, index,
				mapping_gfp_mask(mapping) |
				__GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (err)
		return err;

	/* It came in as a page of a file system, and becomes one of shmem. */
	if (LUO_MEMFD_SWAPBACKED_LATE)
		folio_set_swapbacked(folio);
	lruvec_stat_mod_folio(folio, NR_SHMEM, nr);
	if (folio_test_pmd_mappable(folio)) {
		lruvec_stat_mod_folio(folio, NR_FILE_THPS, -nr);
		lruvec_stat_mod_folio(folio, NR_SHMEM_THPS, nr);
	}

	folio_mark_uptodate(folio);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	folio_put(folio);
	return 0;
}

/* Tell the file of pages that are in its cache now. */
static void luo_memfd_account(struct file *file, long pages)
{
	struct inode *inode = file_inode(file);
	struct shmem_inode_info *info = SHMEM_I(inode);

	spin_lock(&info->lock);
	info->alloced += pages;
	spin_unlock(&info->lock);
	inode_add_bytes(inode, (loff_t)pages << PAGE_SHIFT);
}

static int luo_memfd_fill(struct luo_file *lf, struct luo_memfd_in *in,
			  struct luo_room *room)
{
	const struct luo_ser_folio *f;
	long pages, done = 0;
	int err = 0;

	while ((f = luo_memfd_current(lf, in))) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		if (!in->folio)
			in->folio = luo_memfd_is_spare(f) ?
				    luo_memfd_take_spare(f, in->file->f_mapping) :
				    luo_memfd_take(f);
		if (!in->folio) {
			err = -EIO;
			goto broken;
		}
		if (IS_ERR(in->folio)) {
			err = PTR_ERR(in->folio);
			in->folio = NULL;
			break;
		}

		pages = folio_nr_pages(in->folio);
		err = luo_memfd_add(in->file, in->folio, f->at >> PAGE_SHIFT);
		/* Two for the same place: one of them is not the file's. */
		if (err == -EEXIST)
			goto broken;
		if (err)
			break;
		done += pages;
		luo_room_used(room, pages);
		in->folio = NULL;
		in->i++;
		cond_resched();
	}
	goto out;

broken:
	pr_err("token %llu: what belongs at %llu did not arrive, its contents are lost\n",
	       lf->token, f->at);
	in->broken = true;
	err = -EIO;
out:
	in->pages += done;
	luo_memfd_account(in->file, done);
	return err;
}

/* Pages that went to the unevictable list go where they belong. */
static void luo_memfd_make_evictable(struct address_space *mapping)
{
	struct folio_batch fbatch;
	pgoff_t next = 0;

	mapping_clear_unevictable(mapping);
	folio_batch_init(&fbatch);
	while (filemap_get_folios(mapping, &next, -1, &fbatch)) {
		check_move_unevictable_folios(&fbatch);
		folio_batch_release(&fbatch);
		cond_resched();
	}
}

/* All contents are in: give the file its true size and its properties. */
static void luo_memfd_dress(struct file *file, const struct luo_ser_memfd *ser)
{
	struct inode *inode = file_inode(file);
	struct shmem_inode_info *info = SHMEM_I(inode);

	/* From here on each page that goes gives back what it had committed. */
	info->flags |= SHMEM_F_NORESERVE;
	i_size_write(inode, ser->size);
	if (LUO_MEMFD_SWAPBACKED_LATE)
		luo_memfd_make_evictable(file->f_mapping);

	inode->i_mode = ser->mode;
	inode->i_uid = make_kuid(&init_user_ns, ser->uid);
	inode->i_gid = make_kgid(&init_user_ns, ser->gid);

	/* Nobody can have mapped the file yet, so this cannot fail. */
	if (ser->seals & F_SEAL_WRITE)
		mapping_deny_writable(file->f_mapping);
	info->seals = ser->seals;

	file->f_pos = ser->pos;
	file->f_flags |= ser->f_flags & (O_APPEND | O_NONBLOCK);
	file->f_iocb_flags = iocb_flags(file);
}

/* What is left over after a restore, or instead of one. */
static void luo_memfd_free(struct luo_file *lf)
{
	kfree(lf->private);
	lf->private = NULL;
	luo_chain_release(luo_memfd_ser(lf)->folios);
	luo_memfd_ser(lf)->folios = 0;
	luo_memfd_ser(lf)->nr_folios = 0;
}

static int luo_memfd_refill(struct luo_file *lf, struct luo_memfd_in *in,
			    struct luo_room *room)
{
	unsigned long pages = luo_memfd_ser(lf)->present >> PAGE_SHIFT;
	unsigned long lacks = luo_room_take(room, pages - in->pages);
	struct file *file;

	if (lacks) {
		WRITE_ONCE(lf->shortage, (u64)lacks << PAGE_SHIFT);
		return -ENOMEM;
	}
	if (!in->file) {
		file = luo_memfd_create(lf);
		if (IS_ERR(file))
			return PTR_ERR(file);
		in->file = file;
	}
	return luo_memfd_fill(lf, in, room);
}

/**
 * luo_memfd_restore - make a memfd of what came
 * @lf: the file
 * @filep: where the file goes
 *
 * Return: 0; -ENOMEM if there is no room for it now; -EINTR if the caller is
 * being killed; -EIO if its contents did not arrive whole.
 */
int luo_memfd_restore(struct luo_file *lf, struct file **filep)
{
	struct luo_memfd_in *in = luo_memfd_in(lf);
	struct luo_room room = {};
	int err;

	if (!in)
		return -ENOMEM;
	if (in->broken)
		return -EIO;

	WRITE_ONCE(lf->shortage, 0);
	err = luo_memfd_refill(lf, in, &room);
	luo_room_end(&room);
	if (err)
		return err;

	luo_memfd_dress(in->file, luo_memfd_ser(lf));
	*filep = in->file;
	luo_memfd_free(lf);
	return 0;
}

/**
 * luo_memfd_finish - free what was not restored
 * @lf: the file
 */
void luo_memfd_finish(struct luo_file *lf)
{
	const struct luo_ser_folio *f;
	struct luo_memfd_in *in;
	struct folio *folio;

	/* Restored: the contents live and die with the file. */
	if (lf->file)
		return;

	in = luo_memfd_in(lf);
	if (!in) {
		pr_err("token %llu: no memory to free its %llu KiB, they stay in use until the next kexec\n",
		       lf->token, luo_memfd_ser(lf)->present >> 10);
		return;
	}
	while ((f = luo_memfd_current(lf, in))) {
		/* One that is broken goes on behind the one that did not arrive. */
		folio = in->folio;
		if (!folio && !in->broken && !luo_memfd_is_spare(f))
			folio = luo_memfd_take(f);
		in->folio = NULL;
		in->broken = false;
		if (folio)
			folio_put(folio);
		in->i++;
		cond_resched();
	}
	if (in->file)
		fput(in->file);
	luo_memfd_free(lf);
}
