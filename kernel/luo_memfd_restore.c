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
 * little room the restore is refused before the first page is touched, and
 * charging never calls the OOM killer.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kexec_handover.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/page_counter.h>
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
 * @broken: a list could not be read; there is nothing to try again
 * @have: the lists were taken out of kexec handover
 * @areas: what the lists lie in
 * @folios: the lists
 * @l: the list to go on with
 * @i: the entry to go on with
 * @folio: taken out for that entry, but not in the file yet
 */
struct luo_memfd_in {
	struct file *file;
	bool broken;
	bool have;
	struct luo_area areas[LUO_MEMFD_LISTS];
	struct luo_memfd_folio *folios[LUO_MEMFD_LISTS];
	int l;
	u64 i;
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
		*pages = luo_memfd_ser(lf)->nr_pages;
	}
}

#ifdef CONFIG_MEMCG
/* Clean cache of the group itself that charging can push out. */
static unsigned long luo_memcg_cache(struct mem_cgroup *memcg)
{
	unsigned long nr = 0;
	int nid, zone;

	for_each_node_state(nid, N_MEMORY) {
		struct lruvec *lruvec = mem_cgroup_lruvec(memcg, NODE_DATA(nid));

		for (zone = 0; zone < MAX_NR_ZONES; zone++) {
			nr += mem_cgroup_get_zone_lru_size(lruvec,
							   LRU_INACTIVE_FILE,
							   zone);
			nr += mem_cgroup_get_zone_lru_size(lruvec,
							   LRU_ACTIVE_FILE,
							   zone);
		}
	}
	return nr;
}

/* Is there room for so many pages in all memory cgroups of the caller? */
static bool luo_memcg_has_room(unsigned long pages)
{
	struct mem_cgroup *memcg, *m;
	unsigned long cache;
	bool room = true;

	if (mem_cgroup_disabled())
		return true;

	memcg = get_mem_cgroup_from_mm(current->mm);
	cache = luo_memcg_cache(memcg);
	for (m = memcg; m && !mem_cgroup_is_root(m); m = parent_mem_cgroup(m)) {
		unsigned long max = READ_ONCE(m->memory.max);
		unsigned long used = page_counter_read(&m->memory);

		used -= min(used, cache);
		if (used > max || pages > max - used) {
			room = false;
			break;
		}
	}
	mem_cgroup_put(memcg);
	return room;
}
#else
static bool luo_memcg_has_room(unsigned long pages)
{
	return true;
}
#endif

static int luo_memfd_list_own(struct luo_memfd_list *list, struct luo_area *area)
{
	int err = luo_area_map(area, &list->area);

	if (err)
		return err;
	if (list->nr > (u64)area->nr_pages * PAGE_SIZE /
		       sizeof(struct luo_memfd_folio))
		err = -EIO;
	else
		err = luo_area_own(area, &list->area);
	if (err)
		luo_area_drop(area);
	return err;
}

/* Take the lists out of kexec handover; only want of memory can pass. */
static int luo_memfd_lists(struct luo_file *lf, struct luo_memfd_in *in)
{
	struct luo_memfd_ser *ser = luo_memfd_ser(lf);
	int l, err;

	if (in->broken)
		return -EIO;
	if (in->have)
		return 0;

	for (l = 0; l < LUO_MEMFD_LISTS; l++) {
		struct luo_memfd_list *list = &ser->lists[l];

		if (in->folios[l])
			continue;
		if (!list->area.first.phys) {
			if (!l)
				in->folios[l] = ser->few;
			list->nr = l ? 0 : min(list->nr, LUO_MEMFD_FEW);
			continue;
		}

		err = luo_memfd_list_own(list, &in->areas[l]);
		if (err == -ENOMEM)
			return err;
		if (err) {
			pr_err("token %llu: its list of pages cannot be read, its contents are lost\n",
			       lf->token);
			in->broken = true;
			return err;
		}
		in->folios[l] = in->areas[l].addr;
	}
	in->have = true;
	return 0;
}

static struct luo_memfd_folio *luo_memfd_current(struct luo_file *lf,
						 struct luo_memfd_in *in)
{
	while (in->l < LUO_MEMFD_LISTS) {
		if (in->folios[in->l] &&
		    in->i < luo_memfd_ser(lf)->lists[in->l].nr)
			return &in->folios[in->l][in->i];
		in->l++;
		in->i = 0;
	}
	return NULL;
}

/* A file of the size that will be charged for, which commits that much. */
static struct file *luo_memfd_create(struct luo_file *lf)
{
	struct luo_memfd_ser *ser = luo_memfd_ser(lf);
	struct file *file;
	char *name;

	name = kasprintf(GFP_KERNEL, LUO_MEMFD_PREFIX "%s", lf->name);
	if (!name)
		return ERR_PTR(-ENOMEM);

	file = shmem_file_setup(name, (loff_t)ser->nr_pages << PAGE_SHIFT,
				EMPTY_VMA_FLAGS);
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

static int luo_memfd_fill(struct luo_file *lf, struct luo_memfd_in *in)
{
	struct luo_memfd_folio *f;
	long pages, done = 0;
	int err = 0;

	while ((f = luo_memfd_current(lf, in))) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		if (!in->folio)
			in->folio = kho_restore_folio(PFN_PHYS(f->pfn));
		if (!in->folio) {
			pr_err("token %llu: page %llu did not arrive, its contents are lost\n",
			       lf->token, f->index);
			in->broken = true;
			err = -EIO;
			break;
		}

		pages = folio_nr_pages(in->folio);
		err = luo_memfd_add(in->file, in->folio, f->index);
		if (err)
			break;
		done += pages;
		in->folio = NULL;
		in->i++;
		cond_resched();
	}
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
static void luo_memfd_dress(struct file *file, struct luo_memfd_ser *ser)
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
	struct luo_memfd_in *in = lf->private;
	int l;

	for (l = 0; l < LUO_MEMFD_LISTS; l++)
		luo_area_drop(&in->areas[l]);
	lf->private = NULL;
	kfree(in);
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
	struct luo_memfd_ser *ser = luo_memfd_ser(lf);
	struct luo_memfd_in *in = lf->private;
	struct file *file;
	int err;

	if (!in) {
		in = kzalloc_obj(*in, GFP_KERNEL);
		if (!in)
			return -ENOMEM;
		lf->private = in;
	}

	if (!in->file) {
		if (!luo_memcg_has_room(ser->nr_pages))
			return -ENOMEM;
		file = luo_memfd_create(lf);
		if (IS_ERR(file))
			return PTR_ERR(file);
		in->file = file;
	}

	err = luo_memfd_lists(lf, in);
	if (err)
		return err;
	err = luo_memfd_fill(lf, in);
	if (err)
		return err;

	luo_memfd_dress(in->file, ser);
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
	struct luo_memfd_in *in = lf->private;
	struct luo_memfd_folio *f;
	struct folio *folio;

	/* Restored: the contents live and die with the file. */
	if (lf->file)
		return;

	if (!in) {
		in = kzalloc_obj(*in, GFP_KERNEL);
		if (!in)
			goto lost;
		lf->private = in;
	}

	if (luo_memfd_lists(lf, in) && !in->broken)
		goto lost;

	while ((f = luo_memfd_current(lf, in))) {
		folio = in->folio ?: kho_restore_folio(PFN_PHYS(f->pfn));
		in->folio = NULL;
		if (folio)
			folio_put(folio);
		in->i++;
		cond_resched();
	}
	if (in->file)
		fput(in->file);
	luo_memfd_free(lf);
	return;

lost:
	pr_err("token %llu: no memory to free its %llu pages, they stay in use until the next kexec\n",
	       lf->token, luo_memfd_ser(lf)->nr_pages);
}
