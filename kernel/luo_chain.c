// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Lists that cross the kexec
 *
 * A list is a chain of single pages, each preserved by itself: it grows while
 * it is written, a page can be had however the memory is fragmented, and the
 * new kernel reads it where it lies, without memory of its own.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/crc32.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kexec_handover.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "luo_internal.h"

static bool luo_is_memory(u64 phys, u64 len)
{
	/* All of it is in one section of memory, which is there or is not. */
	return phys + len > phys && pfn_to_online_page(PHYS_PFN(phys)) &&
	       pfn_to_online_page(PHYS_PFN(phys + len - 1));
}

static const void *luo_at(u64 phys, u64 len)
{
	u64 pfn, last = PHYS_PFN(phys + len - 1);

	if (phys + len <= phys)
		return NULL;
	for (pfn = PHYS_PFN(phys); pfn <= last; pfn++) {
		if (!page_is_ram(pfn) || !pfn_to_online_page(pfn))
			return NULL;
	}
	return phys_to_virt(phys);
}

static u32 luo_crc(u32 crc, const void *bytes, u64 len)
{
	return crc32c(crc, bytes, len);
}

/* This machine, for luo_check.c. */
const struct luo_check luo_here = {
	.at = luo_at,
	.is_memory = luo_is_memory,
	.crc = luo_crc,
	.max_order = MAX_PAGE_ORDER,
};

/**
 * luo_chain_add - put a page behind the last one
 * @first: where the address of the first page stands
 * @last: the last page; NULL if there is none
 * @page: the page, preserved, with anything in it
 *
 * It has no entries; what lies where they go stays: each is written as a whole.
 */
void luo_chain_add(__u64 *first, struct luo_ser_page *last,
		   struct luo_ser_page *page)
{
	page->next = 0;
	page->nr = 0;
	page->crc = 0;
	if (last)
		last->next = virt_to_phys(page);
	else
		*first = virt_to_phys(page);
}

/**
 * luo_chain_grow - get a page behind the last one
 * @first: where the address of the first page stands
 * @last: the last page; NULL if there is none
 *
 * Return: the page, preserved, as luo_chain_add() left it; or an error.
 */
struct luo_ser_page *luo_chain_grow(__u64 *first, struct luo_ser_page *last)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	int err;

	BUILD_BUG_ON(sizeof(struct luo_ser_page) > PAGE_SIZE);
	if (!folio)
		return ERR_PTR(-ENOMEM);
	err = kho_preserve_folio(folio);
	if (err) {
		folio_put(folio);
		return ERR_PTR(err);
	}
	luo_chain_add(first, last, folio_address(folio));
	return folio_address(folio);
}

/**
 * luo_chain_free - give a chain back that was made here
 * @first: where the address of the first page stands; 0 afterwards
 */
void luo_chain_free(__u64 *first)
{
	struct luo_ser_page *page;
	u64 phys = *first;

	*first = 0;
	while (phys) {
		page = phys_to_virt(phys);
		phys = page->next;
		kho_unpreserve_free(page);
		cond_resched();
	}
}

/**
 * luo_chain_release - give a chain back that came, and was found to be whole
 * @first: the address of its first page; 0: there is none
 */
void luo_chain_release(u64 first)
{
	struct luo_ser_page *page;
	u64 phys;

	while (first) {
		page = phys_to_virt(first);
		phys = first;
		first = page->next;
		/* What lies in a spare page goes with that. */
		if (!luo_spare_holds(phys, sizeof(*page)))
			kho_restore_free(page);
		cond_resched();
	}
}
