// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: What crosses the kexec
 *
 * One page, the root, hangs in the tree of kexec handover under a name of
 * our own. It leads to a list with one record for each descriptor, and the
 * records lead to whatever their handlers keep; luo_abi.h has all of it.
 *
 * The tree is live: whatever is in it at the moment of the jump arrives. So
 * the root is added empty, each record is declared ready when it is whole,
 * and the mark is the last word written. A new kernel that finds no mark
 * knows that the update was never frozen; it gives back what the ready
 * records own and refuses the rest.
 *
 * In the new kernel the root stays where it is until the next kexec drops
 * it. The tree that came in cannot be changed: it would lead a second load
 * of this module to the same page, so that page must remain, and say that
 * its contents have been taken.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/err.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "luo_internal.h"

static_assert(sizeof(struct luo_ser_root) <= LUO_SER_PAGE);
static_assert(sizeof(struct luo_ser_page) == LUO_SER_PAGE);
static_assert(sizeof(struct luo_ser_root) >= LUO_ROOT_LEAST);
static_assert(sizeof(struct luo_ser_file) >= LUO_FILE_LEAST);
static_assert(sizeof(struct luo_ser_file) % 8 == 0);
static_assert(offsetof(struct luo_ser_file, data) % 8 == 0);
static_assert(LUO_COMM_LEN == TASK_COMM_LEN);

#define LUO_RECORDS_A_PAGE	(sizeof_field(struct luo_ser_page, entries) / \
				 sizeof(struct luo_ser_file))

/* Outgoing: from prepare to cancel or jump, and the page that records go to. */
static struct luo_ser_root *luo_out;
static struct luo_ser_page *luo_out_page;

/* Incoming: the root for ever, its records until finish. */
static struct luo_ser_root *luo_in;

/**
 * luo_kho_begin - start the record of an update
 *
 * Return: 0 or an error, with nothing left behind.
 */
int luo_kho_begin(void)
{
	struct luo_ser_root *root;
	int err;

	root = kho_alloc_preserve(sizeof(*root));
	if (IS_ERR(root))
		return PTR_ERR(root);

	strscpy(root->compatible, LUO_COMPATIBLE);
	root->head = (struct luo_ser_head) {
		.size = sizeof(*root),
		.version = LUO_ROOT_VERSION,
		.needs = LUO_ROOT_NEEDS,
	};
	strscpy(root->release, init_utsname()->release);
	root->file_size = sizeof(struct luo_ser_file);
	root->times = luo_times;
	root->crc = luo_root_crc(&luo_here, root);

	err = kho_add_subtree(LUO_KHO_SUBTREE, root, sizeof(*root));
	if (err) {
		kho_unpreserve_free(root);
		return err;
	}
	luo_out_page = NULL;
	luo_out = root;
	return 0;
}

/**
 * luo_kho_record - get a record for one more outgoing descriptor
 *
 * Return: the record, empty but for its head, or an error.
 */
struct luo_ser_file *luo_kho_record(void)
{
	struct luo_ser_page *page = luo_out_page;
	struct luo_ser_file *ser;

	if (!page || page->nr == LUO_RECORDS_A_PAGE) {
		page = luo_chain_grow(&luo_out->files, page);
		if (IS_ERR(page))
			return ERR_CAST(page);
		luo_out_page = page;
	}
	ser = (void *)(page->entries + page->nr++ * sizeof(*ser));
	memset(ser, 0, sizeof(*ser));
	ser->head = (struct luo_ser_head) {
		.size = sizeof(*ser),
		.version = LUO_FILE_VERSION,
		.needs = LUO_FILE_NEEDS,
	};
	luo_out->nr_files++;
	return ser;
}

/**
 * luo_kho_seal_record - a record is as it shall arrive
 * @ser: the record
 */
void luo_kho_seal_record(struct luo_ser_file *ser)
{
	ser->crc = luo_file_crc(&luo_here, ser);
}

/**
 * luo_kho_seal - root and list of records are as they shall arrive
 */
void luo_kho_seal(void)
{
	struct luo_ser_page *page;
	u64 phys;

	for (phys = luo_out->files; phys; phys = page->next) {
		page = phys_to_virt(phys);
		page->crc = luo_page_crc(&luo_here, page, 0);
	}
	luo_out->crc = luo_root_crc(&luo_here, luo_out);
}

/**
 * luo_kho_spare - get pages for what may come after the freeze
 *
 * Return: 0 or an error, after which there may be some.
 */
int luo_kho_spare(void)
{
	return luo_spare_get(luo_out);
}

/**
 * luo_kho_committed - is what crosses complete?
 *
 * Context: any.
 * Return: true between luo_kho_commit() and luo_kho_abort(), or the jump.
 */
bool luo_kho_committed(void)
{
	struct luo_ser_root *root = READ_ONCE(luo_out);

	return root && root->mark == LUO_SER_MARK;
}

/**
 * luo_kho_seal_late - the root is as it shall arrive, spare pages taken or not
 *
 * Context: any, with all other CPUs stopped.
 */
void luo_kho_seal_late(void)
{
	luo_out->crc = luo_root_crc(&luo_here, luo_out);
}

/**
 * luo_kho_subsystem - record what a subsystem hands over
 * @name: its name
 * @data: the number
 *
 * There are never more of them than fit.
 */
void luo_kho_subsystem(const char *name, u64 data)
{
	struct luo_ser_subsystem *ser = &luo_out->subsystems[luo_out->nr_subsystems++];

	strscpy(ser->name, name);
	ser->data = data;
}

/**
 * luo_kho_commit - declare the handover complete
 */
void luo_kho_commit(void)
{
	luo_out->times = luo_times;
	luo_kho_seal();
	/* On its way to another kernel nothing may pass the mark. */
	smp_wmb();
	WRITE_ONCE(luo_out->mark, LUO_SER_MARK);
}

/**
 * luo_kho_stamp_jump - note the time of the jump, again as late as possible
 *
 * Context: any, also with all other CPUs stopped.
 */
void luo_kho_stamp_jump(void)
{
	struct luo_ser_root *root = READ_ONCE(luo_out);

	if (root && root->mark == LUO_SER_MARK)
		root->times.jump = luo_cycles();
}

/**
 * luo_kho_abort - take the record of an update back
 */
void luo_kho_abort(void)
{
	struct luo_ser_root *root = luo_out;

	WRITE_ONCE(luo_out, NULL);
	luo_out_page = NULL;
	root->mark = 0;
	kho_remove_subtree(root);
	luo_chain_free(&root->files);
	luo_spare_drop(root);
	kho_unpreserve_free(root);
}

/**
 * luo_kho_peek - did a handover come that can be taken?
 *
 * Changes nothing but what is known about the past.
 *
 * Return: true if a complete one waits to be taken.
 */
bool luo_kho_peek(void)
{
	struct luo_ser_root *root;
	const char *why;
	phys_addr_t phys;
	size_t size;
	int err;

	err = kho_retrieve_subtree(LUO_KHO_SUBTREE, &phys, &size);
	if (err == -ENOENT)
		return false;
	if (err) {
		pr_err("handover refused: its entry in the handover tree is broken (%d)\n",
		       err);
		return false;
	}

	root = phys_to_virt(phys);
	if (size < sizeof(root->compatible) ||
	    strnlen(root->compatible, LUO_COMPATIBLE_LEN) == LUO_COMPATIBLE_LEN) {
		pr_err("handover refused: it does not say what it is\n");
		return false;
	}
	if (strcmp(root->compatible, LUO_COMPATIBLE)) {
		pr_err("handover refused: it is '%*pE', this module reads only '%s'\n",
		       (int)strlen(root->compatible), root->compatible,
		       LUO_COMPATIBLE);
		return false;
	}
	why = luo_check_root(&luo_here, root, size);
	/* The list behind one that was taken may be gone. */
	if (!why && !root->consumed)
		why = luo_check_records(&luo_here, root);
	if (why) {
		pr_err("handover refused: %s\n", why);
		return false;
	}

	if (root->mark == LUO_SER_MARK) {
		luo_times = root->times;
		strscpy(luo_from_release, root->release);
	}
	if (root->consumed)
		return false;
	luo_in = root;
	return root->mark == LUO_SER_MARK;
}

/**
 * luo_kho_in - what luo_kho_peek() found
 *
 * Context: state lock held.
 * Return: its root, until luo_kho_finish(); or NULL.
 */
const struct luo_ser_root *luo_kho_in(void)
{
	return luo_in;
}

/**
 * luo_kho_each - go through the records that came
 * @use: called with each record and its length; an error ends it
 *
 * Context: state lock held, there is something.
 * Return: 0, or the error.
 */
int luo_kho_each(int (*use)(struct luo_ser_file *ser, u32 len))
{
	struct luo_ser_page *page;
	u64 phys;
	int err;
	u32 i;

	for (phys = luo_in->files; phys; phys = page->next) {
		page = phys_to_virt(phys);
		for (i = 0; i < page->nr; i++) {
			err = use((void *)(page->entries + i * luo_in->file_size),
				  luo_in->file_size);
			if (err)
				return err;
		}
	}
	return 0;
}

/**
 * luo_kho_consume - what came is taken, for good
 *
 * Context: state lock held, there is something.
 */
void luo_kho_consume(void)
{
	luo_in->consumed = 1;
	luo_spare_arrive(luo_in);
	if (luo_in->mark != LUO_SER_MARK)
		return;
	luo_times.arrived = luo_cycles();
	luo_in->times.arrived = luo_times.arrived;
}

/**
 * luo_kho_finish - drop the list of what came
 */
void luo_kho_finish(void)
{
	luo_chain_release(luo_in->files);
	luo_spare_release();
	luo_in = NULL;
}
