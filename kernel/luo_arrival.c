// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Taking what came
 *
 * Leads what luo_kho.c found to those it is for. What needs memory is done first
 * and can be undone; the handover itself is taken once, when nothing can fail any
 * more.
 */
#define pr_fmt(fmt) "luo: " fmt

#include "luo_internal.h"

/**
 * luo_arrival_list - make resources of what luo_kho_peek() found
 *
 * Changes nothing that came; luo_incoming_unlist() undoes it.
 *
 * Context: state lock held, handlers are there.
 * Return: 0, or -ENOMEM: another load of this module can try again then.
 */
int luo_arrival_list(void)
{
	const struct luo_ser_root *root = luo_kho_in();
	int err;

	lockdep_assert_held_write(&luo_lock);

	if (!root || root->mark != LUO_SER_MARK)
		return 0;

	err = luo_kho_each(luo_incoming_list);
	if (err) {
		luo_incoming_unlist();
		pr_err("no memory for the %llu resources that came: nothing is lost, load this module again\n",
		       root->nr_files);
	}
	return err;
}

static unsigned long luo_arrival_freed;

static int luo_arrival_discard(struct luo_ser_file *ser, u32 len)
{
	luo_arrival_freed += luo_incoming_discard(ser, len);
	return 0;
}

/**
 * luo_arrival_take - take over what came, once
 *
 * A handover that luo_kho_peek() found incomplete is given back here. Nothing
 * can fail any more: luo_arrival_list() was done.
 *
 * Context: state lock held.
 * Return: true if there is now something to finish.
 */
bool luo_arrival_take(void)
{
	const struct luo_ser_root *root = luo_kho_in();
	unsigned long i;

	lockdep_assert_held_write(&luo_lock);

	if (!root)
		return false;

	luo_kho_consume();
	if (root->mark != LUO_SER_MARK) {
		luo_kho_each(luo_arrival_discard);
		pr_err("handover refused: it was never frozen; %lu of its %llu resources were whole and their memory is free again\n",
		       luo_arrival_freed, root->nr_files);
		luo_kho_finish();
		return false;
	}

	luo_incoming_show();
	for (i = 0; i < root->nr_subsystems; i++)
		luo_subsystems_take(&root->subsystems[i]);

	pr_info("took over %llu files and %u subsystems from %s\n",
		root->nr_files, root->nr_subsystems, luo_from_release);
	return true;
}
