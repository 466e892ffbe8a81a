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

	lockdep_assert_held_write(&luo_lock);

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

	lockdep_assert_held_write(&luo_lock);

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
	lockdep_assert_held_write(&luo_lock);

	module_put(handler->owner);
}

/**
 * luo_handler_add - ask a handler too from now on
 * @handler: the handler
 *
 * Context: state lock held.
 * Return: 0; -EINVAL if something is missing or too long; -EEXIST if there is
 * a handler for the same records.
 */
int luo_handler_add(struct luo_file_handler *handler)
{
	const struct luo_file_ops *ops = handler->ops;
	struct luo_file_handler *h;

	lockdep_assert_held_write(&luo_lock);

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
	return 0;
}

/**
 * luo_handler_del - ask a handler no longer
 * @handler: the handler
 *
 * Context: state lock held.
 */
void luo_handler_del(struct luo_file_handler *handler)
{
	lockdep_assert_held_write(&luo_lock);

	list_del(&handler->node);
}
