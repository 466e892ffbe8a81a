// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Arrays that came through kexec handover
 *
 * kho_restore_vmalloc() takes the pages of an area out of kexec handover before
 * it maps them, and cannot be called again if that fails. Here they are mapped
 * first, which may fail as often as it likes; taking them out needs no memory.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "luo_internal.h"

/* The pages of an area that came, without a change to any of them. */
static int luo_area_pages(const struct kho_vmalloc *from, struct page **pages)
{
	const struct kho_vmalloc_chunk *chunk = KHOSER_LOAD_PTR(from->first);
	unsigned int nr = 1U << from->order, idx = 0, i, j;
	unsigned long pfn;

	while (chunk) {
		for (i = 0; i < ARRAY_SIZE(chunk->phys) && chunk->phys[i]; i++) {
			if (nr > from->total_pages - idx)
				return -EIO;
			pfn = PHYS_PFN(chunk->phys[i]);
			for (j = 0; j < nr; j++, pfn++) {
				if (!pfn_valid(pfn))
					return -EIO;
				pages[idx++] = pfn_to_page(pfn);
			}
		}
		/* Only a full one is followed by another: there is an end. */
		chunk = KHOSER_LOAD_PTR(chunk->hdr.next);
		if (chunk && i < ARRAY_SIZE(chunk->phys))
			return -EIO;
	}
	return idx == from->total_pages ? 0 : -EIO;
}

/**
 * luo_area_map - look at an area that came
 * @area: where it goes, all zero
 * @from: what came
 *
 * Changes nothing that came: until luo_area_own() it can be dropped and mapped
 * anew.
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM, or -EIO if it cannot be read; @area is all zero then.
 */
int luo_area_map(struct luo_area *area, const struct kho_vmalloc *from)
{
	int err;

	/* No memory would ever be enough for so many. */
	if (from->order > MAX_PAGE_ORDER || !from->total_pages ||
	    from->total_pages > totalram_pages())
		return -EIO;
	area->nr_pages = from->total_pages;
	area->pages = kvmalloc_array(area->nr_pages, sizeof(*area->pages),
				     GFP_KERNEL | __GFP_NOWARN);
	if (!area->pages) {
		err = -ENOMEM;
		goto err_drop;
	}

	err = luo_area_pages(from, area->pages);
	if (err)
		goto err_drop;
	area->addr = vmap(area->pages, area->nr_pages, VM_MAP, PAGE_KERNEL);
	if (area->addr)
		return 0;
	err = -ENOMEM;

err_drop:
	luo_area_drop(area);
	return err;
}

/**
 * luo_area_own - take a mapped area out of kexec handover, once
 * @area: the area
 * @from: what it was mapped from
 *
 * Context: may sleep.
 * Return: 0, or -EIO if not all of it came; what came of it is lost then.
 */
int luo_area_own(struct luo_area *area, const struct kho_vmalloc *from)
{
	struct kho_vmalloc_chunk *chunk = KHOSER_LOAD_PTR(from->first), *next;
	unsigned int i;

	for (; chunk; chunk = next) {
		for (i = 0; i < ARRAY_SIZE(chunk->phys) && chunk->phys[i]; i++) {
			if (!kho_restore_pages(chunk->phys[i], 1UL << from->order))
				return -EIO;
		}
		next = KHOSER_LOAD_PTR(chunk->hdr.next);
		if (!kho_restore_pages(virt_to_phys(chunk), 1))
			return -EIO;
		__free_page(virt_to_page(chunk));
		cond_resched();
	}
	area->owned = true;
	return 0;
}

/**
 * luo_area_drop - no longer use an area
 * @area: the area; nothing happens if it is all zero, which it is afterwards
 *
 * Its memory is free then, if luo_area_own() took it.
 *
 * Context: may sleep.
 */
void luo_area_drop(struct luo_area *area)
{
	unsigned int i;

	vunmap(area->addr);
	for (i = 0; area->owned && i < area->nr_pages; i++) {
		__free_page(area->pages[i]);
		cond_resched();
	}
	kvfree(area->pages);
	memset(area, 0, sizeof(*area));
}
