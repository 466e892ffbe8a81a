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
	page = luo_spare_take();
	if (!page)
		return ERR_PTR(-ENOMEM);
	luo_chain_add(&ser->folios, last, page);
	return page;
}

/**
 * luo_memfd_slots - places for more folios in the list
 * @lf: the file
 * @late: it is the very last moment: nothing can be allocated any more
 * @room: where it goes how many places there are, at least one
 *
 * Return: the places, of which the first ones are on the list with
 * luo_memfd_wrote(), or an error.
 */
struct luo_ser_folio *luo_memfd_slots(struct luo_file *lf, bool late,
				      unsigned long *room)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_memfd *m = lf->private;
	struct luo_ser_page *page = m->page;

	if (!page && ser->nr_folios < LUO_MEMFD_FEW) {
		*room = LUO_MEMFD_FEW - ser->nr_folios;
		return &ser->few[ser->nr_folios];
	}

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
	*room = LUO_FOLIOS_A_PAGE - page->nr;
	return (struct luo_ser_folio *)page->entries + page->nr;
}

/**
 * luo_memfd_wrote - more folios are on the list
 * @lf: the file
 * @nr: how many of the places that luo_memfd_slots() gave are filled
 * @pages: pages of them together
 */
void luo_memfd_wrote(struct luo_file *lf, unsigned long nr, unsigned long pages)
{
	struct luo_ser_memfd *ser = luo_memfd_ser(lf);
	struct luo_memfd *m = lf->private;

	if (m->page)
		m->page->nr += nr;
	ser->nr_folios += nr;
	ser->present += (u64)pages << PAGE_SHIFT;
	m->nr_pages += pages;
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
