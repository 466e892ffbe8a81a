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

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/string.h>

#include "luo_internal.h"

static LIST_HEAD(luo_incoming);
/* Restores run side by side. */
static atomic_long_t luo_nr_unrestored;

/* Can its handler read what came? Asked once, before it does anything else. */
static void luo_incoming_check(struct luo_resource *res)
{
	const char *why = NULL;

	if (res->handler && res->handler->ops->check)
		why = res->handler->ops->check(&res->lf);
	if (why)
		pr_err("token %llu cannot be restored: %s\n", res->lf.token,
		       why);
	else if (res->lf.lost)
		pr_err("token %llu: %llu bytes that were written after the freeze did not come along\n",
		       res->lf.token, res->lf.lost);
	res->broken = why;
	WRITE_ONCE(res->result, why ? -EIO : 0);
}

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
	luo_incoming_check(res);
	return res;
}

/**
 * luo_incoming_list - make a resource of a record that came
 * @ser: the record, which must stay until luo_incoming_finish()
 * @len: bytes that are there
 *
 * A record that cannot be read is lost, and nothing else suffers.
 *
 * Context: state lock held.
 * Return: 0, or -ENOMEM with nothing changed.
 */
int luo_incoming_list(struct luo_ser_file *ser, u32 len)
{
	const char *why = luo_check_file(&luo_here, ser, len);
	struct luo_resource *res;
	int err;

	lockdep_assert_held_write(&luo_lock);

	if (!why && luo_token_find(ser->token))
		why = "its token came twice";
	if (why) {
		pr_err("a file that came is lost, its record cannot be read: %s\n",
		       why);
		return 0;
	}

	res = luo_incoming_alloc(ser);
	if (!res)
		return -ENOMEM;
	err = luo_token_insert(res);
	if (err) {
		luo_resource_drop(res);
		return err;
	}
	luo_token_pass(res->lf.token);
	list_add_tail(&res->list, &luo_incoming);
	atomic_long_inc(&luo_nr_unrestored);
	return 0;
}

/**
 * luo_incoming_unlist - forget what was listed and not shown yet
 *
 * Context: state lock held.
 */
void luo_incoming_unlist(void)
{
	struct luo_resource *res, *tmp;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry_safe(res, tmp, &luo_incoming, list) {
		luo_token_erase(res->lf.token);
		list_del(&res->list);
		luo_resource_drop(res);
	}
	atomic_long_set(&luo_nr_unrestored, 0);
}

/**
 * luo_incoming_show - show what was listed in the class
 *
 * What cannot be shown can still be restored.
 *
 * Context: state lock held.
 */
void luo_incoming_show(void)
{
	struct luo_resource *res;
	int err;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_incoming, list) {
		if (!res->handler)
			pr_warn("token %llu waits for a handler of '%*pE'\n",
				res->lf.token, (int)strlen(res->ser->handler),
				res->ser->handler);
		err = luo_node_add(&res->node);
		if (err)
			pr_warn("token %llu came over but has no device (%d)\n",
				res->lf.token, err);
	}
}

/**
 * luo_incoming_discard - free the contents that a record stands for
 * @ser: a record of a handover that is refused
 * @len: bytes that are there
 *
 * Return: true if it was whole, and its contents are free.
 */
bool luo_incoming_discard(struct luo_ser_file *ser, u32 len)
{
	struct luo_resource *res;
	bool whole;

	if (luo_check_file(&luo_here, ser, len) || !ser->ready)
		return false;
	res = luo_incoming_alloc(ser);
	if (!res)
		return false;
	whole = res->handler && !res->broken;
	if (whole)
		res->handler->ops->finish(&res->lf);
	luo_resource_drop(res);
	return whole;
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

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_incoming, list) {
		if (res->handler || res->broken || res->lf.file)
			continue;
		WRITE_ONCE(res->handler,
			   luo_handler_get_named(res->ser->handler));
		if (!res->handler)
			continue;
		luo_incoming_check(res);
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

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_incoming, list) {
		if (res->handler != handler)
			continue;
		if (!res->lf.file && res->lf.private) {
			pr_err("token %llu is lost: its handler goes in the middle of its restore\n",
			       res->lf.token);
			res->broken = true;
		}
		/* One that could not even be read has left nothing behind. */
		if (res->lf.file || res->lf.private)
			handler->ops->finish(&res->lf);
		luo_resource_forget_handler(res);
		luo_node_changed(&res->node);
	}
}

static int luo_incoming_restore_locked(struct luo_resource *res)
{
	struct file *restored;
	int err;

	if (res->lf.file)
		return 0;
	if (res->broken)
		return -EIO;
	if (!res->handler)
		return -EOPNOTSUPP;

	err = res->handler->ops->restore(&res->lf, &restored);
	if (err) {
		luo_count(LUO_COUNT_RESTORE_FAILED);
		pr_warn("restore of token %llu failed (%d)\n", res->lf.token,
			err);
		return err;
	}
	WRITE_ONCE(res->lf.file, restored);
	return 0;
}

/**
 * luo_incoming_restore - make a file of what came
 * @token: which
 * @file: where the file goes, with a reference for the caller
 *
 * The file does not count as restored before luo_incoming_restored(). Until
 * FINISH the same file is given out as often as it is asked for.
 *
 * Context: state lock shared, state updated.
 * Return: 0, -ENOENT for an unknown token, -EOPNOTSUPP if its handler is not
 * loaded, -EINTR if the caller is being killed, or why it cannot be done now.
 */
int luo_incoming_restore(u64 token, struct file **file)
{
	struct luo_resource *res = luo_token_find(token);
	int err;

	lockdep_assert_held(&luo_lock);

	if (!res || res->state == LUO_RES_PRESERVED)
		return -ENOENT;

	if (mutex_lock_killable(&res->lock))
		return -EINTR;
	err = luo_incoming_restore_locked(res);
	if (!err)
		*file = get_file(res->lf.file);
	mutex_unlock(&res->lock);
	return err;
}

/**
 * luo_incoming_restored - the file was given out
 * @token: which
 *
 * Context: state lock shared since luo_incoming_restore().
 */
void luo_incoming_restored(u64 token)
{
	struct luo_resource *res = luo_token_find(token);

	lockdep_assert_held(&luo_lock);

	mutex_lock(&res->lock);
	if (res->state != LUO_RES_RESTORED) {
		WRITE_ONCE(res->state, LUO_RES_RESTORED);
		atomic_long_dec(&luo_nr_unrestored);
	}
	mutex_unlock(&res->lock);
	luo_count(LUO_COUNT_RESTORE);
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

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry_safe_reverse(res, tmp, &luo_incoming, list) {
		luo_token_erase(res->lf.token);
		list_del(&res->list);
		luo_node_del(&res->node);
		if (res->handler && !res->broken)
			res->handler->ops->finish(&res->lf);
		else if (!res->lf.file)
			pr_err("token %llu: %s, its memory stays in use until the next kexec\n",
			       res->lf.token,
			       res->broken ? "it cannot be read" : "no handler");
		luo_resource_drop(res);
	}
	atomic_long_set(&luo_nr_unrestored, 0);
}

/**
 * luo_incoming_unrestored - how many files came and were not given out yet
 *
 * Context: state lock held.
 * Return: their number.
 */
unsigned long luo_incoming_unrestored(void)
{
	lockdep_assert_held_write(&luo_lock);

	return atomic_long_read(&luo_nr_unrestored);
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

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_incoming, list)
		lost += !luo_resource_held(res);
	return lost;
}
