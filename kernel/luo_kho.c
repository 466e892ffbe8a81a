// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: What crosses the kexec
 *
 * One page, the root, hangs in the tree of kexec handover under a name of
 * our own. It points to a table with one record for each descriptor, and the
 * records point to whatever their handlers keep::
 *
 *      KHO tree -> root -> table -> record -> folios
 *                  mark            ready
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
#include <linux/vmalloc.h>

#include "luo_internal.h"

/* Outgoing: from prepare to cancel or jump. */
static struct luo_ser_root *luo_out;
static struct luo_ser_file *luo_out_files;

/* Incoming: the root for ever, the table until finish. */
static struct luo_ser_root *luo_in;
static struct luo_area luo_in_table;
static struct luo_ser_file *luo_in_files;

/**
 * luo_kho_begin - start the record of an update
 * @nr_files: how many descriptors it will hold
 *
 * Return: 0 or an error, with nothing left behind.
 */
int luo_kho_begin(unsigned long nr_files)
{
	struct luo_ser_root *root;
	int err;

	root = kho_alloc_preserve(sizeof(*root));
	if (IS_ERR(root))
		return PTR_ERR(root);

	strscpy(root->compatible, LUO_COMPATIBLE);
	strscpy(root->release, init_utsname()->release);
	root->times = luo_times;

	if (nr_files) {
		luo_out_files = __vmalloc(array_size(nr_files,
						     sizeof(*luo_out_files)),
					  GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
		if (!luo_out_files) {
			err = -ENOMEM;
			goto err_root;
		}
		err = kho_preserve_vmalloc(luo_out_files, &root->files);
		if (err)
			goto err_files;
		root->nr_files = nr_files;
	}

	err = kho_add_subtree(LUO_KHO_SUBTREE, root, sizeof(*root));
	if (err)
		goto err_unpreserve;

	luo_out = root;
	return 0;

err_unpreserve:
	if (nr_files)
		kho_unpreserve_vmalloc(&root->files);
err_files:
	vfree(luo_out_files);
	luo_out_files = NULL;
err_root:
	kho_unpreserve_free(root);
	return err;
}

/**
 * luo_kho_record - the record of one outgoing descriptor
 * @i: its number, below what luo_kho_begin() was told
 *
 * Return: the record, empty at first.
 */
struct luo_ser_file *luo_kho_record(unsigned long i)
{
	return &luo_out_files[i];
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
	root->mark = 0;
	kho_remove_subtree(root);
	if (root->nr_files)
		kho_unpreserve_vmalloc(&root->files);
	vfree(luo_out_files);
	luo_out_files = NULL;
	kho_unpreserve_free(root);
}

/**
 * luo_kho_peek - did a handover come that can be taken?
 *
 * Changes nothing but what is known about the past.
 *
 * Return: true if a complete one waits for luo_kho_take().
 */
bool luo_kho_peek(void)
{
	struct luo_ser_root *root;
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
	if (size != sizeof(*root) ||
	    root->nr_subsystems > LUO_MAX_SUBSYSTEMS ||
	    root->nr_files > (u64)root->files.total_pages * PAGE_SIZE /
			     sizeof(struct luo_ser_file)) {
		pr_err("handover refused: its sizes contradict each other\n");
		return false;
	}

	luo_in = root;
	if (root->mark == LUO_SER_MARK) {
		luo_times = root->times;
		strscpy(luo_from_release, root->release);
	}
	return root->mark == LUO_SER_MARK && !root->consumed;
}

static void luo_kho_discard_half(void)
{
	unsigned long i, freed = 0;

	for (i = 0; i < luo_in->nr_files; i++) {
		if (!luo_in_files[i].ready)
			continue;
		luo_incoming_discard(&luo_in_files[i]);
		freed++;
	}
	luo_kho_finish();
	pr_err("handover refused: it was never frozen; %lu of its %llu resources were whole and their memory is free again\n",
	       freed, luo_in->nr_files);
}

/**
 * luo_kho_map - get ready to take over what luo_kho_peek() found
 *
 * Changes nothing that came. luo_kho_finish() undoes it.
 *
 * Return: 0, also if what came cannot be read, or -ENOMEM: another load of this
 * module can try again then.
 */
int luo_kho_map(void)
{
	int err;

	if (!luo_in || luo_in->consumed || !luo_in->nr_files)
		return 0;

	err = luo_area_map(&luo_in_table, &luo_in->files);
	luo_in_files = luo_in_table.addr;
	if (err != -ENOMEM)
		return 0;
	pr_err("no memory to map the table of %llu resources that came: nothing is lost, load this module again\n",
	       luo_in->nr_files);
	return err;
}

/**
 * luo_kho_take - take over what came, once
 *
 * A handover that luo_kho_peek() found incomplete is given back here. Nothing
 * can fail any more for want of memory: luo_kho_map() was done.
 *
 * Return: true if there is now something to finish.
 */
bool luo_kho_take(void)
{
	unsigned long i;

	if (!luo_in || luo_in->consumed)
		return false;

	luo_in->consumed = 1;
	if (luo_in->nr_files &&
	    (!luo_in_files || luo_area_own(&luo_in_table, &luo_in->files))) {
		luo_kho_finish();
		pr_err("handover refused: the table of its %llu resources is broken\n",
		       luo_in->nr_files);
		return false;
	}

	if (luo_in->mark != LUO_SER_MARK) {
		luo_kho_discard_half();
		return false;
	}

	luo_times.arrived = luo_cycles();
	luo_in->times.arrived = luo_times.arrived;

	for (i = 0; i < luo_in->nr_files; i++)
		luo_incoming_take(&luo_in_files[i]);
	for (i = 0; i < luo_in->nr_subsystems; i++)
		luo_subsystems_take(&luo_in->subsystems[i]);

	pr_info("took over %llu files and %llu subsystems from %s\n",
		luo_in->nr_files, luo_in->nr_subsystems, luo_from_release);
	return true;
}

/**
 * luo_kho_finish - drop the table of what came
 */
void luo_kho_finish(void)
{
	luo_in_files = NULL;
	luo_area_drop(&luo_in_table);
}
