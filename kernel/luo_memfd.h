/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record of a memfd, written by luo_memfd.c in the old kernel and read by
 * luo_memfd_restore.c in the new one.
 */
#ifndef _LUO_MEMFD_H
#define _LUO_MEMFD_H

#include <linux/kho/abi/kexec_handover.h>
#include <linux/types.h>

#include "luo_internal.h"

#define LUO_MEMFD_COMPATIBLE	"memfd-v1"

#define LUO_MEMFD_PREFIX	"memfd:"

/**
 * struct luo_memfd_folio - one folio of a memfd
 * @pfn: where it is
 * @index: where it belongs in the file, in pages
 */
struct luo_memfd_folio {
	u64 pfn;
	u64 index;
};

/**
 * struct luo_memfd_list - folios that were pinned together
 * @area: vmalloc area with an array of struct luo_memfd_folio; if there is
 *	none, the array is in the record itself
 * @nr: number of entries
 */
struct luo_memfd_list {
	struct kho_vmalloc area;
	u64 nr;
};

/* Pinned by PREPARE; found on top of that by FREEZE. */
#define LUO_MEMFD_LISTS		2

/* So many folios need no area of their own: there may be many small files. */
#define LUO_MEMFD_FEW		4

/**
 * struct luo_memfd_ser - all of a memfd but its folios and its name
 * @size: in bytes
 * @pos: file position
 * @nr_pages: pages in all lists together
 * @seals: F_SEAL_...
 * @mode: type and permissions
 * @uid: owner, in the initial user namespace
 * @gid: group, likewise
 * @f_flags: O_APPEND and O_NONBLOCK
 * @reserved: 0
 * @lists: the folios
 * @few: the array of the first list if that is short
 */
struct luo_memfd_ser {
	u64 size;
	u64 pos;
	u64 nr_pages;
	u32 seals;
	u32 mode;
	u32 uid;
	u32 gid;
	u32 f_flags;
	u32 reserved;
	struct luo_memfd_list lists[LUO_MEMFD_LISTS];
	struct luo_memfd_folio few[LUO_MEMFD_FEW];
};

static_assert(sizeof(struct luo_memfd_ser) <= LUO_FILE_RECORD_LEN);

/* luo_memfd.c */
unsigned long luo_memfd_present(struct inode *inode);

/* luo_memfd_restore.c */
void luo_memfd_size(struct luo_file *lf, u64 *bytes, u64 *pages);
int luo_memfd_restore(struct luo_file *lf, struct file **filep);
void luo_memfd_finish(struct luo_file *lf);

static inline struct luo_memfd_ser *luo_memfd_ser(struct luo_file *lf)
{
	return lf->record;
}

#endif /* _LUO_MEMFD_H */
