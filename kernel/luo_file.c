// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Files as a participant
 *
 * Of all who take part files are the first. This file stands above those that
 * know one thing each: luo_files.c what goes out with the next update,
 * luo_incoming.c what came with the last one, and below both luo_resource.c the
 * entries and their tokens, luo_handlers.c who handles which kind.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/limits.h>
#include <linux/module.h>

#include "luo_internal.h"

static int luo_file_prepare(struct luo_participant *p)
{
	int err = luo_files_outgoing() ? luo_kho_spare() : 0;

	return err ?: luo_files_prepare();
}

static int luo_file_freeze(struct luo_participant *p)
{
	return luo_files_freeze();
}

static void luo_file_cancel(struct luo_participant *p)
{
	luo_files_cancel();
}

static void luo_file_finish(struct luo_participant *p)
{
	unsigned long lost = luo_incoming_lost();

	if (lost)
		pr_warn("finish discards %lu resources that nobody holds\n",
			lost);
	luo_incoming_finish();
}

static void luo_file_late(struct luo_participant *p)
{
	luo_files_late();
}

static void luo_file_lost(struct luo_participant *p)
{
	unsigned long n = luo_files_outgoing();

	if (luo_state_get() == LIVEUPDATE_STATE_UPDATED)
		pr_warn("kexec in state updated: nothing is handed over, what came with the last update is lost (%lu not restored)\n",
			luo_incoming_unrestored());
	else if (n)
		pr_warn("kexec in state normal: %lu preserved resources are not handed over\n",
			n);
}

static const struct luo_participant_ops luo_file_part_ops = {
	.prepare = luo_file_prepare,
	.freeze = luo_file_freeze,
	/* Processes go on writing. */
	.again = luo_file_freeze,
	.cancel = luo_file_cancel,
	.finish = luo_file_finish,
	.late = luo_file_late,
	.lost = luo_file_lost,
};

static struct luo_participant luo_file_part = {
	.ops = &luo_file_part_ops,
};

/**
 * luo_files_init - files take part, memfds at least
 *
 * Context: state lock held, nobody takes part yet.
 * Return: 0 or an error.
 */
int luo_files_init(void)
{
	lockdep_assert_held_write(&luo_lock);

	luo_participant_add(&luo_file_part, INT_MIN);
	return luo_handler_register_locked(&luo_memfd_handler);
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
	int err = luo_handler_add(handler);

	lockdep_assert_held_write(&luo_lock);

	if (!err)
		luo_incoming_adopt(handler);
	return err;
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
		luo_handler_del(handler);
		luo_incoming_give_back(handler);
	}
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_unregister_file_handler);
