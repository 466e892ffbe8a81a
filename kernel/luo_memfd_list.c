// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: The folios of an outgoing memfd
 *
 * The list that crosses: a few folios stand in the file's record, more of them in
 * a chain of preserved pages, whose number goes with that of the folios.
 */
#include <linux/err.h>
#include <linux/io.h>
#include <linux/string.h>

#include "luo_memfd_out.h"

static_assert(sizeof(struct luo_ser_memfd) >= LUO_MEMFD_LEAST);
static_assert(sizeof(struct luo_ser_memfd) <= LUO_FILE_RECORD_LEN);

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

/**
 * luo_memfd_slot - the place for one more folio in the list
 * @lf: the file
 * @late: it is the very last moment: nothing can be allocated any more
 *
 * Return: the place, which is on the list with luo_memfd_write(), or an error.
 */
struct luo_ser_folio *luo_memfd_slot(struct luo_file *lf, bool late)
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

/**
 * luo_memfd_write - one more folio is on the list
 * @lf: the file
 * @slot: the place for it
 * @phys: where its memory is
 * @order: how large it is
 * @index: its first page in the file
 */
void luo_memfd_write(struct luo_file *lf, struct luo_ser_folio *slot, u64 phys,
		     unsigned int order, pgoff_t index)
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

/**
 * luo_memfd_seal - the pages of the list are as they shall arrive
 * @lf: the file
 */
void luo_memfd_seal(struct luo_file *lf)
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

/**
 * luo_memfd_each - go through the list
 * @lf: the file
 * @use: called for some folios at a time; an error ends it
 *
 * Return: 0, or the error.
 */
int luo_memfd_each(struct luo_file *lf,
		   int (*use)(const struct luo_ser_folio *list, unsigned long nr))
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_ser_page *page;
	int err;
	u64 phys;

	err = ser->folios ? 0 : use(ser->few, ser->nr_folios);
	for (phys = ser->folios; !err && phys; phys = page->next) {
		page = phys_to_virt(phys);
		err = use((void *)page->entries, page->nr);
	}
	return err;
}

/**
 * luo_memfd_empty - take the list back
 * @lf: the file, of whose folios none is preserved any more
 */
void luo_memfd_empty(struct luo_file *lf)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);

	luo_chain_free(&ser->folios);
	ser->nr_folios = 0;
	ser->present = 0;
}
