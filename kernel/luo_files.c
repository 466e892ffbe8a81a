// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Preserved files
 *
 * The life of a file::
 *
 *      PRESERVE   a token, a reference to the file, a device in the class
 *      PREPARE    contents pinned and recorded         } once for each update,
 *      FREEZE     record brought up to date            } undone by CANCEL
 *      --- kexec ---
 *      (load)     a device in the class, nothing else is touched yet
 *      RESTORE    a file again, its contents moved over, given to the caller
 *      FINISH     device gone; contents freed if nobody else holds it
 *
 * This file has what goes out with the next update; luo_incoming.c has what
 * came with the last one.
 *
 * PREPARE and FREEZE go through the list in the order of preservation,
 * everything that undoes them in reverse.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "luo_internal.h"

static LIST_HEAD(luo_outgoing);
static unsigned long luo_nr_outgoing;

/* what makes a file the same -> outgoing resource */
static DEFINE_XARRAY(luo_by_id);

static unsigned long luo_file_id(const struct luo_file_handler *handler,
				 struct file *file)
{
	if (handler->ops->id)
		return handler->ops->id(file);
	return (unsigned long)file_inode(file);
}

/**
 * luo_files_preserve - keep a file for the next update
 * @file: the file; a reference of our own is taken
 * @token: where its token goes
 *
 * Context: state lock held, state normal or updated.
 * Return: 0, -ENOENT if nothing here can preserve such a file, -EEXIST if it
 * is preserved already, or another error.
 */
int luo_files_preserve(struct file *file, u64 *token)
{
	struct luo_file_handler *handler = luo_handler_get_for(file);
	struct luo_resource *res;
	unsigned long id;
	int err;

	lockdep_assert_held_write(&luo_lock);

	if (!handler)
		return -ENOENT;
	id = luo_file_id(handler, file);
	if (xa_load(&luo_by_id, id)) {
		luo_handler_put(handler);
		return -EEXIST;
	}

	res = luo_resource_alloc(luo_token_next());
	if (!res) {
		luo_handler_put(handler);
		return -ENOMEM;
	}
	res->handler = handler;
	res->state = LUO_RES_PRESERVED;
	res->lf.file = get_file(file);
	res->pid = task_tgid_nr(current);
	get_task_comm(res->comm, current);
	if (handler->ops->name)
		handler->ops->name(file, res->name, sizeof(res->name));

	err = luo_token_insert(res);
	if (err)
		goto err_drop;
	err = xa_err(xa_store(&luo_by_id, id, res, GFP_KERNEL));
	if (err)
		goto err_token;
	if (handler->ops->preserve) {
		err = handler->ops->preserve(&res->lf);
		if (err)
			goto err_id;
	}
	err = luo_node_add(&res->node);
	if (err)
		goto err_unpreserve;

	list_add_tail(&res->list, &luo_outgoing);
	luo_nr_outgoing++;
	luo_token_pass(res->lf.token);
	luo_count(LUO_COUNT_PRESERVE);
	/* One for each preserved file: unloading is refused by this alone. */
	__module_get(THIS_MODULE);
	*token = res->lf.token;
	return 0;

err_unpreserve:
	if (handler->ops->unpreserve)
		handler->ops->unpreserve(&res->lf);
err_id:
	xa_erase(&luo_by_id, id);
err_token:
	luo_token_erase(res->lf.token);
err_drop:
	luo_resource_drop(res);
	return err;
}

/**
 * luo_files_unpreserve - no longer keep a file
 * @token: its token
 *
 * Context: state lock held, state normal or updated.
 * Return: 0, or -ENOENT if no outgoing file has this token.
 */
int luo_files_unpreserve(u64 token)
{
	struct luo_resource *res = luo_token_find(token);

	lockdep_assert_held_write(&luo_lock);

	if (!res || res->state != LUO_RES_PRESERVED)
		return -ENOENT;

	if (res->handler->ops->unpreserve)
		res->handler->ops->unpreserve(&res->lf);
	luo_token_erase(token);
	xa_erase(&luo_by_id, luo_file_id(res->handler, res->lf.file));
	list_del(&res->list);
	luo_nr_outgoing--;
	luo_count(LUO_COUNT_UNPRESERVE);
	luo_resource_drop(res);
	module_put(THIS_MODULE);
	return 0;
}

static void luo_files_cancel_one(struct luo_resource *res)
{
	if (!res->ser)
		return;
	res->ser->ready = 0;
	res->handler->ops->cancel(&res->lf);
	res->lf.record = NULL;
	res->ser = NULL;
}

static void luo_files_refused(struct luo_resource *res, const char *move)
{
	/* Whose it is, root finds in the class: the log may be everybody's. */
	pr_warn("%s refused (%d) by token %llu, %s\n",
		move, res->result, res->lf.token, res->handler->kind);
	luo_node_changed(&res->node);
}

/**
 * luo_files_prepare - pin and record all outgoing files
 *
 * Context: state lock held, luo_kho_begin() done.
 * Return: 0, or the error of the file that refused; luo_files_cancel() undoes
 * what was done.
 */
int luo_files_prepare(void)
{
	struct luo_resource *res;
	struct luo_ser_file *ser;
	int err;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_outgoing, list)
		WRITE_ONCE(res->result, 0);

	list_for_each_entry(res, &luo_outgoing, list) {
		ser = luo_kho_record();
		if (IS_ERR(ser)) {
			err = PTR_ERR(ser);
			WRITE_ONCE(res->result, err);
			luo_files_refused(res, "prepare");
			return err;
		}
		strscpy(ser->handler, res->handler->compatible);
		ser->token = res->lf.token;
		ser->pid = res->pid;
		strscpy(ser->comm, res->comm);
		strscpy(ser->name, res->name);
		res->ser = ser;
		res->lf.record = ser->data;
		WRITE_ONCE(res->lf.shortage, 0);

		err = res->handler->ops->prepare(&res->lf);
		WRITE_ONCE(res->result, err);
		if (err) {
			luo_files_refused(res, "prepare");
			return err;
		}
		ser->ready = 1;
		luo_kho_seal_record(ser);
	}
	luo_kho_seal();
	return 0;
}

/**
 * luo_files_freeze - bring all records up to date
 *
 * Context: state lock held, all prepared.
 * Return: 0, or the error of the file that refused; nothing is undone.
 */
int luo_files_freeze(void)
{
	struct luo_resource *res;
	int err;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_outgoing, list) {
		if (!res->handler->ops->freeze)
			continue;
		err = res->handler->ops->freeze(&res->lf);
		WRITE_ONCE(res->result, err);
		if (err) {
			luo_files_refused(res, "freeze");
			return err;
		}
		luo_kho_seal_record(res->ser);
	}
	return 0;
}

/**
 * luo_files_late - take in what came after the freeze
 *
 * Context: any, with all other CPUs stopped, on the way into the next kernel.
 */
void luo_files_late(void)
{
	struct luo_resource *res;

	list_for_each_entry(res, &luo_outgoing, list) {
		if (res->ser && res->handler->ops->late &&
		    res->handler->ops->late(&res->lf))
			luo_kho_seal_record(res->ser);
	}
}

/**
 * luo_files_cancel - undo prepare and freeze of all files that were prepared
 *
 * Context: state lock held.
 */
void luo_files_cancel(void)
{
	struct luo_resource *res;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry_reverse(res, &luo_outgoing, list)
		luo_files_cancel_one(res);
}

/**
 * luo_files_outgoing - how many files would go with the next update
 *
 * Context: state lock held.
 * Return: their number.
 */
unsigned long luo_files_outgoing(void)
{
	lockdep_assert_held_write(&luo_lock);

	return luo_nr_outgoing;
}

/**
 * luo_files_use - does an outgoing file need a handler?
 * @handler: the handler
 *
 * Context: state lock held.
 * Return: true if so.
 */
bool luo_files_use(const struct luo_file_handler *handler)
{
	struct luo_resource *res;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(res, &luo_outgoing, list) {
		if (res->handler == handler)
			return true;
	}
	return false;
}

/**
 * luo_files_list - what would go with the next update
 *
 * Context: state lock held while the list is used.
 * Return: the list of resources, in the order of preservation.
 */
struct list_head *luo_files_list(void)
{
	lockdep_assert_held_write(&luo_lock);

	return &luo_outgoing;
}
