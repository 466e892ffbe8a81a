// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Preserved descriptors
 *
 * The life of a descriptor::
 *
 *      PRESERVE   a token, a reference to the file, a device in the class
 *      PREPARE    contents pinned and recorded         } once for each update,
 *      FREEZE     record brought up to date            } undone by CANCEL
 *      --- kexec ---
 *      (load)     a device in the class, nothing else is touched yet
 *      RESTORE    a file again, its contents moved over, given to the caller
 *      FINISH     device gone; contents freed if nobody restored it
 *
 * Two lists hold what goes out with the next update and what came with the
 * last one. Tokens are never used twice in the life of what they stand for:
 * new ones begin above the highest that came.
 *
 * PREPARE and FREEZE go through the list in the order of preservation,
 * everything that undoes them in reverse.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "luo_internal.h"

static LIST_HEAD(luo_outgoing);
static LIST_HEAD(luo_incoming);
static unsigned long luo_nr_outgoing;
static unsigned long luo_nr_unrestored;
static u64 luo_next_token;

/* token -> resource, outgoing and incoming */
static DEFINE_XARRAY(luo_by_token);
/* address of an inode -> outgoing resource */
static DEFINE_XARRAY(luo_by_inode);

static const struct luo_file_handler * const luo_handlers[] = {
	&luo_memfd_handler,
};

static const struct luo_file_handler *luo_handler_for(struct file *file)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(luo_handlers); i++) {
		if (luo_handlers[i]->ops->can_preserve(file))
			return luo_handlers[i];
	}
	return NULL;
}

static const struct luo_file_handler *luo_handler_named(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(luo_handlers); i++) {
		if (!strncmp(luo_handlers[i]->compatible, name,
			     LUO_COMPATIBLE_LEN))
			return luo_handlers[i];
	}
	return NULL;
}

static unsigned long luo_inode_key(struct file *file)
{
	return (unsigned long)file_inode(file);
}

/* Readers of the attributes are gone before the file goes. */
static void luo_resource_drop(struct luo_resource *res)
{
	struct file *file = res->file;

	luo_device_del(res);
	if (file)
		fput(file);
	put_device(&res->dev);
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
	const struct luo_file_handler *handler;
	struct luo_resource *res;
	int err;

	handler = luo_handler_for(file);
	if (!handler)
		return -ENOENT;
	if (xa_load(&luo_by_inode, luo_inode_key(file)))
		return -EEXIST;
	if (!try_module_get(handler->owner))
		return -ENOENT;

	res = luo_device_alloc(luo_next_token);
	if (!res) {
		err = -ENOMEM;
		goto err_module;
	}
	res->handler = handler;
	res->state = LUO_RES_PRESERVED;
	res->file = get_file(file);
	res->pid = task_tgid_nr(current);
	get_task_comm(res->comm, current);
	handler->ops->name(file, res->name);

	err = xa_err(xa_store(&luo_by_token, res->token, res, GFP_KERNEL));
	if (err)
		goto err_drop;
	err = xa_err(xa_store(&luo_by_inode, luo_inode_key(file), res,
			      GFP_KERNEL));
	if (err)
		goto err_token;
	err = luo_device_add(res);
	if (err)
		goto err_inode;

	list_add_tail(&res->node, &luo_outgoing);
	luo_nr_outgoing++;
	luo_next_token++;
	/* One for each preserved file: unloading is refused by this alone. */
	__module_get(THIS_MODULE);
	*token = res->token;
	return 0;

err_inode:
	xa_erase(&luo_by_inode, luo_inode_key(file));
err_token:
	xa_erase(&luo_by_token, res->token);
err_drop:
	luo_resource_drop(res);
err_module:
	module_put(handler->owner);
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
	struct luo_resource *res = xa_load(&luo_by_token, token);
	struct module *owner;

	if (!res || res->state != LUO_RES_PRESERVED)
		return -ENOENT;

	owner = res->handler->owner;
	xa_erase(&luo_by_token, token);
	xa_erase(&luo_by_inode, luo_inode_key(res->file));
	list_del(&res->node);
	luo_nr_outgoing--;
	luo_resource_drop(res);
	module_put(owner);
	module_put(THIS_MODULE);
	return 0;
}

static void luo_files_cancel_one(struct luo_resource *res)
{
	res->ser->ready = 0;
	res->handler->ops->cancel(res);
	res->ser = NULL;
}

/**
 * luo_files_prepare - pin and record all outgoing files
 *
 * Context: state lock held, luo_kho_begin() done.
 * Return: 0, or the error of the file that refused; everything is undone
 * then.
 */
int luo_files_prepare(void)
{
	struct luo_resource *res;
	struct luo_ser_file *ser;
	unsigned long i = 0;
	int err;

	list_for_each_entry(res, &luo_outgoing, node) {
		ser = luo_kho_record(i++);
		strscpy(ser->handler, res->handler->compatible);
		ser->token = res->token;
		ser->pid = res->pid;
		strscpy(ser->comm, res->comm);
		strscpy(ser->name, res->name);
		res->ser = ser;

		err = res->handler->ops->prepare(res);
		if (err)
			goto err_cancel;
		ser->ready = 1;
	}
	return 0;

err_cancel:
	pr_warn("prepare refused (%d) by token %llu, %s '%*pE' of %*pE[%d]\n",
		err, res->token, res->handler->kind,
		(int)strlen(res->name), res->name,
		(int)strlen(res->comm), res->comm, res->pid);
	luo_files_cancel_one(res);
	list_for_each_entry_continue_reverse(res, &luo_outgoing, node)
		luo_files_cancel_one(res);
	return err;
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

	list_for_each_entry(res, &luo_outgoing, node) {
		err = res->handler->ops->freeze(res);
		if (err) {
			pr_warn("freeze refused (%d) by token %llu, %s '%*pE' of %*pE[%d]\n",
				err, res->token, res->handler->kind,
				(int)strlen(res->name), res->name,
				(int)strlen(res->comm), res->comm, res->pid);
			return err;
		}
	}
	return 0;
}

/**
 * luo_files_cancel - undo prepare and freeze of all files
 *
 * Context: state lock held, all prepared.
 */
void luo_files_cancel(void)
{
	struct luo_resource *res;

	list_for_each_entry_reverse(res, &luo_outgoing, node)
		luo_files_cancel_one(res);
}

/**
 * luo_files_restore - make a file of what came
 * @token: which
 * @file: where the file goes, with a reference for the caller
 *
 * The file does not count as restored before luo_files_restored(): until
 * then it can be asked for again.
 *
 * Context: state lock held, state updated.
 * Return: 0, -ENOENT for an unknown token, -EINVAL if it was restored
 * already, or why it cannot be done now.
 */
int luo_files_restore(u64 token, struct file **file)
{
	struct luo_resource *res = xa_load(&luo_by_token, token);
	struct file *restored;
	int err;

	if (!res || res->state == LUO_RES_PRESERVED)
		return -ENOENT;
	if (res->state == LUO_RES_RESTORED)
		return -EINVAL;

	if (!res->file) {
		err = res->handler->ops->restore(res, &restored);
		if (err) {
			pr_warn("restore of token %llu failed (%d)\n", token,
				err);
			return err;
		}
		WRITE_ONCE(res->file, restored);
	}
	*file = get_file(res->file);
	return 0;
}

/**
 * luo_files_restored - the file was given out
 * @token: which
 *
 * Context: state lock held since luo_files_restore().
 */
void luo_files_restored(u64 token)
{
	struct luo_resource *res = xa_load(&luo_by_token, token);

	WRITE_ONCE(res->state, LUO_RES_RESTORED);
	luo_nr_unrestored--;
	luo_device_changed(res);
}

static struct luo_resource *luo_files_incoming(struct luo_ser_file *ser)
{
	struct luo_resource *res;

	res = luo_device_alloc(ser->token);
	if (!res)
		return NULL;
	res->handler = luo_handler_named(ser->handler);
	if (!res->handler) {
		put_device(&res->dev);
		return NULL;
	}
	res->state = LUO_RES_INCOMING;
	res->ser = ser;
	res->pid = ser->pid;
	strscpy(res->comm, ser->comm);
	strscpy(res->name, ser->name);
	return res;
}

/**
 * luo_files_take - let a record that came be a resource here
 * @ser: the record, which must stay until luo_files_finish()
 *
 * What cannot even be listed is lost; what cannot be shown in the class can
 * still be restored.
 *
 * Context: state lock held.
 * Return: 0 or an error, which was reported.
 */
int luo_files_take(struct luo_ser_file *ser)
{
	struct luo_resource *res = luo_files_incoming(ser);
	int err;

	luo_next_token = max(luo_next_token, ser->token + 1);
	if (!res) {
		pr_err("token %llu is lost: no memory, or no handler for '%.*s'\n",
		       ser->token, LUO_COMPATIBLE_LEN, ser->handler);
		return -ENOMEM;
	}

	err = xa_insert(&luo_by_token, res->token, res, GFP_KERNEL);
	if (err) {
		pr_err("token %llu is lost (%d)\n", ser->token, err);
		put_device(&res->dev);
		return err;
	}
	list_add_tail(&res->node, &luo_incoming);
	luo_nr_unrestored++;

	err = luo_device_add(res);
	if (err)
		pr_warn("token %llu came over but has no device (%d)\n",
			ser->token, err);
	return 0;
}

/**
 * luo_files_discard - free the contents that a record stands for
 * @ser: a whole record of a handover that is refused
 */
void luo_files_discard(struct luo_ser_file *ser)
{
	struct luo_resource *res = luo_files_incoming(ser);

	if (!res)
		return;
	res->handler->ops->finish(res);
	put_device(&res->dev);
}

/**
 * luo_files_finish - let go of all that came
 *
 * Context: state lock held.
 */
void luo_files_finish(void)
{
	struct luo_resource *res, *tmp;

	list_for_each_entry_safe(res, tmp, &luo_incoming, node) {
		xa_erase(&luo_by_token, res->token);
		list_del(&res->node);
		luo_device_del(res);
		res->handler->ops->finish(res);
		luo_resource_drop(res);
	}
	luo_nr_unrestored = 0;
}

/**
 * luo_files_outgoing - how many files would go with the next update
 *
 * Context: state lock held.
 * Return: their number.
 */
unsigned long luo_files_outgoing(void)
{
	return luo_nr_outgoing;
}

/**
 * luo_files_unrestored - how many files came and were not given out yet
 *
 * Context: state lock held.
 * Return: their number.
 */
unsigned long luo_files_unrestored(void)
{
	return luo_nr_unrestored;
}
