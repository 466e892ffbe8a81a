/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files about memfds share: luo_memfd.c of the old kernel,
 * luo_memfd_restore.c of the new one, luo_memcg.c of both.
 */
#ifndef _LUO_MEMFD_H
#define _LUO_MEMFD_H

#include <linux/list.h>
#include <linux/types.h>

#include "luo_internal.h"

#define LUO_MEMFD_PREFIX	"memfd:"

#define LUO_FOLIOS_A_PAGE	(sizeof_field(struct luo_ser_page, entries) / \
				 sizeof(struct luo_ser_folio))

struct folio;
struct mem_cgroup;

/**
 * struct luo_room - room that was taken in a memory cgroup
 * @list: in the list of all
 * @memcg: the group, with a reference; NULL if nothing was taken
 * @pages: pages that are still to be charged
 */
struct luo_room {
	struct list_head list;
	struct mem_cgroup *memcg;
	unsigned long pages;
};

/* luo_memcg.c */
unsigned long luo_room_take(struct luo_room *room, unsigned long pages);
unsigned long luo_room_take_beside(struct luo_room *room, struct folio *folio,
				   unsigned long pages);
void luo_room_used(struct luo_room *room, unsigned long pages);
void luo_room_end(struct luo_room *room);

/* luo_memfd.c */
unsigned long luo_memfd_present(struct inode *inode);

/* luo_memfd_restore.c */
void luo_memfd_size(struct luo_file *lf, u64 *bytes, u64 *pages);
const char *luo_memfd_check(struct luo_file *lf);
int luo_memfd_restore(struct luo_file *lf, struct file **filep);
void luo_memfd_finish(struct luo_file *lf);

static inline struct luo_ser_memfd *luo_memfd_ser(struct luo_file *lf)
{
	return lf->record;
}

#endif /* _LUO_MEMFD_H */
