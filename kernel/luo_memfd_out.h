/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files about outgoing memfds share: luo_memfd.c with the calls of a
 * handler, luo_memfd_pin.c, luo_memfd_list.c, luo_memfd_poison.c.
 */
#ifndef _LUO_MEMFD_OUT_H
#define _LUO_MEMFD_OUT_H

#include <linux/fs.h>
#include <linux/log2.h>

#include "luo_memfd.h"

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

/* Index of the last page that belongs to the file; the size is not 0. */
static inline pgoff_t luo_memfd_last(struct inode *inode)
{
	return (i_size_read(inode) - 1) >> PAGE_SHIFT;
}

/**
 * luo_ser_folio_of - what the list says of a folio
 * @phys: where its memory is
 * @order: how large it is
 * @index: its first page in the file
 *
 * Return: its entry.
 */
static inline struct luo_ser_folio luo_ser_folio_of(u64 phys, unsigned int order,
						    pgoff_t index)
{
	return (struct luo_ser_folio) {
		.where = phys | (order + PAGE_SHIFT - ilog2(LUO_SER_PAGE)),
		.at = (u64)index << PAGE_SHIFT,
	};
}

/* luo_memfd_list.c */
struct luo_ser_folio *luo_memfd_slots(struct luo_file *lf, bool late,
				      unsigned long *room);
void luo_memfd_wrote(struct luo_file *lf, unsigned long nr, unsigned long pages);
void luo_memfd_seal(struct luo_file *lf);
int luo_memfd_each(struct luo_file *lf,
		   int (*use)(const struct luo_ser_folio *list, unsigned long nr));
void luo_memfd_empty(struct luo_file *lf);

/* luo_memfd_pin.c */
int luo_memfd_pin(struct luo_file *lf);
void luo_memfd_unpin(struct luo_file *lf);

/* luo_memfd_poison.c */
int luo_memfd_poison_now(void);
int luo_memfd_poisoned(struct luo_file *lf);

#endif /* _LUO_MEMFD_OUT_H */
