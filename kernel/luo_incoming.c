// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Files that came with the last update
 *
 * Each stands in the class until FINISH, whether it was restored or not, and
 * so long luo.ko holds a reference to it: a restorer that crashed can ask for
 * it again, which gives out the same open file. One whose handler is not
 * loaded waits for it; without a handler nobody knows what belongs to it, and
 * FINISH cannot give its memory back.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/string.h>

#include "luo_internal.h"

static LIST_HEAD(luo_incoming);
static unsigned long luo_nr_unrestored;

static struct luo_resource *luo_incoming_alloc(struct luo_ser_file *ser)
{
	struct luo_resource *res = luo_resource_alloc(ser->token);

	if (!res)
		return NULL;
	res->handler = luo_handler_get_named(ser->handler);
	res->state = LUO_RES_INCOMING;
	res->ser = ser;
	res->lf.record = ser->data;
	res->pid = ser->pid;
	strscpy(res->comm, ser->comm);
	strscpy(res->name, ser->name);
	return res;
}

/**
 * luo_incoming_take - let a record that came be a resource here
 * @ser: the record, which must stay until luo_incoming_finish()
 *
 * What cannot even be listed is lost; what cannot be shown in the class can
 * still be restored.
 *
 * Context: state lock held.
 * Return: 0 or an error, which was reported.
 */
int luo_incoming_take(struct luo_ser_file *ser)
{
	struct luo_resource *res = luo_incoming_alloc(ser);
	int err;

	if (!res) {
		pr_err("token %llu is lost: no memory to list it\n",
		       ser->token);
		return -ENOMEM;
	}

	err = luo_token_insert(res);
	if (err) {
		pr_err("token %llu is lost (%d)\n", ser->token, err);
		luo_resource_drop(res);
		return err;
	}
	list_add_tail(&res->list, &luo_incoming);
	luo_nr_unrestored++;
	if (!res->handler)
		pr_warn("token %llu waits for a handler of '%*pE'\n",
			ser->token,
			(int)strnlen(ser->handler, LUO_COMPATIBLE_LEN),
			ser->handler);

	err = luo_node_add(&res->node);
	if (err)
		pr_warn("token %llu came over but has no device (%d)\n",
			ser->token, err);
	return 0;
}

/**
 * luo_incoming_discard - free the contents that a record stands for
 * @ser: a whole record of a handover that is refused
 */
void luo_incoming_discard(struct luo_ser_file *ser)
{
	struct luo_resource *res = luo_incoming_alloc(ser);

	if (!res)
		return;
	if (res->handler)
		res->handler->ops->finish(&res->lf);
	luo_resource_drop(res);
}

/**
 * luo_incoming_adopt - give a new handler the files that waited for it
 * @handler: the handler
 *
 * Context: state lock held.
 */
void luo_incoming_adopt(struct luo_file_handler *handler)
{
	struct luo_resource *res;

	list_for_each_entry(res, &luo_incoming, list) {
		if (res->handler || res->broken || res->lf.file)
			continue;
		WRITE_ONCE(res->handler,
			   luo_handler_get_named(res->ser->handler));
		if (res->handler)
			luo_node_changed(&res->node);
	}
}

/**
 * luo_incoming_give_back - a handler goes, what came waits for another
 * @handler: the handler
 *
 * A restored file needs it no longer. What a restore that failed has left
 * behind is the handler's own, and nobody else can go on with it.
 *
 * Context: state lock held.
 */
void luo_incoming_give_back(struct luo_file_handler *handler)
{
	struct luo_resource *res;

	list_for_each_entry(res, &luo_incoming, list) {
		if (res->handler != handler)
			continue;
		if (!res->lf.file && res->lf.private) {
			pr_err("token %llu is lost: its handler goes in the middle of its restore\n",
			       res->lf.token);
			res->broken = true;
		}
		if (res->lf.file || res->broken)
			handler->ops->finish(&res->lf);
		luo_resource_forget_handler(res);
		luo_node_changed(&res->node);
	}
}

/**
 * luo_incoming_restore - make a file of what came
 * @token: which
 * @file: where the file goes, with a reference for the caller
 *
 * The file does not count as restored before luo_incoming_restored(). Until
 * FINISH the same file is given out as often as it is asked for.
 *
 * Context: state lock held, state updated.
 * Return: 0, -ENOENT for an unknown token, -EOPNOTSUPP if its handler is not
 * loaded, or why it cannot be done now.
 */
int luo_incoming_restore(u64 token, struct file **file)
{
	struct luo_resource *res = luo_token_find(token);
	struct file *restored;
	int err;

	if (!res || res->state == LUO_RES_PRESERVED)
		return -ENOENT;

	if (!res->lf.file) {
		if (res->broken)
			return -EIO;
		if (!res->handler)
			return -EOPNOTSUPP;
		err = res->handler->ops->restore(&res->lf, &restored);
		if (err) {
			luo_counts[LUO_COUNT_RESTORE_FAILED]++;
			pr_warn("restore of token %llu failed (%d)\n", token,
				err);
			return err;
		}
		WRITE_ONCE(res->lf.file, restored);
	}
	*file = get_file(res->lf.file);
	return 0;
}

/**
 * luo_incoming_restored - the file was given out
 * @token: which
 *
 * Context: state lock held since luo_incoming_restore().
 */
void luo_incoming_restored(u64 token)
{
	struct luo_resource *res = luo_token_find(token);

	if (res->state != LUO_RES_RESTORED) {
		WRITE_ONCE(res->state, LUO_RES_RESTORED);
		luo_nr_unrestored--;
	}
	luo_counts[LUO_COUNT_RESTORE]++;
	luo_node_changed(&res->node);
}

/**
 * luo_incoming_finish - let go of all that came
 *
 * Context: state lock held.
 */
void luo_incoming_finish(void)
{
	struct luo_resource *res, *tmp;

	list_for_each_entry_safe_reverse(res, tmp, &luo_incoming, list) {
		luo_token_erase(res->lf.token);
		list_del(&res->list);
		luo_node_del(&res->node);
		if (res->handler)
			res->handler->ops->finish(&res->lf);
		else if (!res->lf.file && !res->broken)
			pr_err("token %llu: no handler, its memory stays in use until the next kexec\n",
			       res->lf.token);
		luo_resource_drop(res);
	}
	luo_nr_unrestored = 0;
}

/**
 * luo_incoming_unrestored - how many files came and were not given out yet
 *
 * Context: state lock held.
 * Return: their number.
 */
unsigned long luo_incoming_unrestored(void)
{
	return luo_nr_unrestored;
}

/**
 * luo_incoming_lost - how many files end with FINISH
 *
 * Context: state lock held.
 * Return: the number of those that nobody but luo.ko holds.
 */
unsigned long luo_incoming_lost(void)
{
	struct luo_resource *res;
	unsigned long lost = 0;

	list_for_each_entry(res, &luo_incoming, list)
		lost += !luo_resource_held(res);
	return lost;
}
