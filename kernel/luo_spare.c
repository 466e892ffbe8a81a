// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Spare pages
 *
 * Memory that is preserved before anybody needs it, for what processes write for
 * the first time between the freeze and the moment at which they stand still:
 * then nothing can be allocated or preserved any more. A few large blocks of it,
 * so that they cost next to nothing where none of it is needed, as is the rule.
 *
 * Its pages are taken from the front. The new kernel gives the blocks back at
 * once if none was; otherwise they stay until FINISH, and whoever finds one of
 * their pages in a list copies it: a block comes, and goes, as a whole.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "luo_internal.h"

/* 4 MiB. */
#define LUO_SPARE_BYTES		(4UL << 20)

/* Outgoing and incoming: the root that has the list of blocks. */
static struct luo_ser_root *luo_spare_out;
static const struct luo_ser_root *luo_spare_in;

static u64 luo_block_len(u64 block)
{
	return (u64)LUO_SER_PAGE << (block & LUO_SER_ORDER);
}

static u64 luo_block_at(u64 block)
{
	return block & ~LUO_SER_ORDER;
}

/* What is large must be had easily; for what is small reclaim works, but nobody is killed. */
static struct folio *luo_spare_folio(unsigned int order)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;

	gfp |= order > PAGE_ALLOC_COSTLY_ORDER ? __GFP_NORETRY :
						 __GFP_RETRY_MAYFAIL;
	return folio_alloc(gfp, order);
}

/**
 * luo_spare_get - get spare pages
 * @root: the root of what goes out
 *
 * Where memory is in small pieces there are fewer of them.
 *
 * Return: 0 or an error, after which luo_spare_drop() gives back what there is.
 */
int luo_spare_get(struct luo_ser_root *root)
{
	unsigned int order = min(MAX_PAGE_ORDER, get_order(LUO_SPARE_BYTES));
	struct folio *folio;
	u64 bytes = 0;
	int err;

	luo_spare_out = root;
	while (bytes < LUO_SPARE_BYTES && root->nr_spare < LUO_SPARE_BLOCKS) {
		while (!(folio = luo_spare_folio(order)) &&
		       order > PAGE_ALLOC_COSTLY_ORDER)
			order--;
		if (!folio)
			return -ENOMEM;
		err = kho_preserve_folio(folio);
		if (err) {
			folio_put(folio);
			return err;
		}
		bytes += folio_size(folio);
		root->spare[root->nr_spare++] =
			PFN_PHYS(folio_pfn(folio)) |
			(order + PAGE_SHIFT - ilog2(LUO_SER_PAGE));
	}
	return 0;
}

/**
 * luo_spare_drop - give spare pages back that are not needed any more
 * @root: the root of what does not go out after all
 */
void luo_spare_drop(struct luo_ser_root *root)
{
	struct folio *folio;

	luo_spare_out = NULL;
	while (root->nr_spare) {
		folio = pfn_folio(PHYS_PFN(root->spare[--root->nr_spare]));
		kho_unpreserve_folio(folio);
		folio_put(folio);
	}
}

/**
 * luo_spare_take - take a page when none can be allocated any more
 *
 * Context: any, with all other CPUs stopped.
 * Return: the page, preserved, with anything in it; NULL if there is none left.
 */
void *luo_spare_take(void)
{
	struct luo_ser_root *root = luo_spare_out;
	u64 i, off = root->spare_used;

	for (i = 0; i < root->nr_spare; i++) {
		if (off < luo_block_len(root->spare[i])) {
			root->spare_used += PAGE_SIZE;
			return phys_to_virt(luo_block_at(root->spare[i]) + off);
		}
		off -= luo_block_len(root->spare[i]);
	}
	return NULL;
}

/**
 * luo_spare_give - give the page back that was taken last
 *
 * Context: as luo_spare_take().
 */
void luo_spare_give(void)
{
	luo_spare_out->spare_used -= PAGE_SIZE;
}

/**
 * luo_spare_arrive - spare pages have come
 * @root: the root of what came, found to be whole; it stays
 */
void luo_spare_arrive(const struct luo_ser_root *root)
{
	luo_spare_in = root;
	if (!root->spare_used)
		luo_spare_release();
}

/**
 * luo_spare_holds - did something come in a spare page?
 * @phys: its address
 * @len: its bytes
 *
 * Return: whether all of it lies in spare pages that were used, and are still there.
 */
bool luo_spare_holds(u64 phys, u64 len)
{
	const struct luo_ser_root *root = luo_spare_in;
	u64 i, at, used, left;

	if (!root)
		return false;
	left = root->spare_used;
	for (i = 0; left && i < root->nr_spare; i++) {
		at = luo_block_at(root->spare[i]);
		used = min(left, luo_block_len(root->spare[i]));
		if (phys >= at && phys - at < used)
			return len <= used - (phys - at);
		left -= used;
	}
	return false;
}

/**
 * luo_spare_release - give spare pages back that came, if they are still there
 */
void luo_spare_release(void)
{
	const struct luo_ser_root *root = luo_spare_in;
	struct folio *folio;
	u64 i;

	luo_spare_in = NULL;
	for (i = 0; root && i < root->nr_spare; i++) {
		folio = kho_restore_folio(luo_block_at(root->spare[i]));
		if (folio)
			folio_put(folio);
		else
			pr_err("a block of spare pages did not arrive\n");
	}
}
