// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Handlers of kinds of files
 *
 * A handler stays while a file of its kind is preserved or came: its module
 * is pinned by each of them. What came before its handler was loaded waits
 * for it. A module whose init fails goes in spite of the pins: files that
 * came are given back then and wait again.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/module.h>
#include <linux/string.h>

#include "luo_internal.h"

static LIST_HEAD(luo_handlers);

static struct luo_file_handler *luo_handler_get(struct luo_file_handler *h)
{
	return try_module_get(h->owner) ? h : NULL;
}

/**
 * luo_handler_get_for - find who handles a file
 * @file: the file
 *
 * Context: state lock held.
 * Return: the handler, to be given back by luo_handler_put(), or NULL.
 */
struct luo_file_handler *luo_handler_get_for(struct file *file)
{
	struct luo_file_handler *h;

	list_for_each_entry(h, &luo_handlers, node) {
		if (h->ops->can_preserve(file))
			return luo_handler_get(h);
	}
	return NULL;
}

/**
 * luo_handler_get_named - find who reads a record
 * @compatible: what the record says
 *
 * Context: state lock held.
 * Return: the handler, to be given back by luo_handler_put(), or NULL.
 */
struct luo_file_handler *luo_handler_get_named(const char *compatible)
{
	struct luo_file_handler *h;

	list_for_each_entry(h, &luo_handlers, node) {
		if (!strncmp(h->compatible, compatible, LUO_COMPATIBLE_LEN))
			return luo_handler_get(h);
	}
	return NULL;
}

/**
 * luo_handler_put - a file needs its handler no longer
 * @handler: the handler
 *
 * Context: state lock held.
 */
void luo_handler_put(struct luo_file_handler *handler)
{
	module_put(handler->owner);
}

/**
 * luo_handler_register_locked - luo_register_file_handler() from luo.ko
 * @handler: the handler
 *
 * Context: state lock held.
 * Return: as luo_register_file_handler().
 */
int luo_handler_register_locked(struct luo_file_handler *handler)
{
	const struct luo_file_ops *ops = handler->ops;
	struct luo_file_handler *h;

	if (!ops || !ops->can_preserve || !ops->size || !ops->prepare ||
	    !ops->cancel || !ops->restore || !ops->finish || !handler->kind ||
	    !handler->compatible || !*handler->compatible ||
	    strlen(handler->compatible) >= LUO_COMPATIBLE_LEN)
		return -EINVAL;

	list_for_each_entry(h, &luo_handlers, node) {
		if (!strcmp(h->compatible, handler->compatible))
			return -EEXIST;
	}
	list_add_tail(&handler->node, &luo_handlers);
	luo_incoming_adopt(handler);
	return 0;
}

/**
 * luo_register_file_handler - handle a kind of files from now on
 * @handler: the handler, which must stay until it is unregistered
 *
 * Files of its kind that came with the last update can be restored from now
 * on. Handlers are asked in the order in which they were registered.
 *
 * Context: may sleep; not from a callback.
 * Return: 0; -EINVAL if something is missing or too long; -EEXIST if there is
 * a handler for the same records.
 */
int luo_register_file_handler(struct luo_file_handler *handler)
{
	int err;

	luo_state_lock_always();
	err = luo_handler_register_locked(handler);
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_register_file_handler);

/**
 * luo_unregister_file_handler - no longer handle a kind of files
 * @handler: the handler
 *
 * Files that came are given back and wait for another handler. From the exit
 * of its own module this cannot fail: every preserved file pins it. Nor from
 * its failing init, if nobody could get at such a file before: let nothing
 * fail after what they are preserved from has appeared. Files that came can be
 * restored from the moment of registering, so register late.
 *
 * Context: may sleep; not from a callback.
 * Return: 0, or -EBUSY while a file of this kind is preserved.
 */
int luo_unregister_file_handler(struct luo_file_handler *handler)
{
	int err = 0;

	luo_state_lock_always();
	if (luo_files_use(handler)) {
		err = -EBUSY;
	} else {
		list_del(&handler->node);
		luo_incoming_give_back(handler);
	}
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_unregister_file_handler);
