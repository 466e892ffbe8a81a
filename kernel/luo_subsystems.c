// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Subsystems that take part
 *
 * A subsystem hands one number over. What came for a subsystem stands in the
 * class from the start and waits for it to be registered, until FINISH.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/ctype.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "luo_subsystem_internal.h"

/* All of them by order, under the state lock. */
static LIST_HEAD(luo_subsystems);
static unsigned int luo_nr_subsystems;

static struct luo_subsystem_entry *to_entry(struct luo_participant *p)
{
	return container_of(p, struct luo_subsystem_entry, part);
}

static void luo_subsystem_done(struct luo_subsystem_entry *e,
			       enum luo_step_kind step, ktime_t began, int err)
{
	if (err)
		pr_warn("%s refused (%d) by subsystem %s\n",
			luo_step_name(step), err, e->name);
	luo_timed_done(&e->timed, step, began, err);
}

static void luo_subsystem_begin(struct luo_participant *p)
{
	luo_timed_forget(&to_entry(p)->timed);
}

static int luo_subsystem_prepare(struct luo_participant *p)
{
	struct luo_subsystem_entry *e = to_entry(p);
	ktime_t began;
	int err;

	/* One whose module is going takes part no more. */
	if (!e->sub || !try_module_get(e->sub->owner))
		return 0;

	e->data = 0;
	WRITE_ONCE(e->called, true);
	began = ktime_get();
	err = e->sub->ops->prepare ?
	      e->sub->ops->prepare(e->sub, &e->data) : 0;
	luo_subsystem_done(e, LUO_STEP_PREPARE, began, err);
	return err;
}

static int luo_subsystem_freeze(struct luo_participant *p)
{
	struct luo_subsystem_entry *e = to_entry(p);
	ktime_t began;
	int err;

	if (!e->called)
		return 0;
	began = ktime_get();
	err = e->sub->ops->freeze ? e->sub->ops->freeze(e->sub, &e->data) : 0;
	luo_subsystem_done(e, LUO_STEP_FREEZE, began, err);
	if (!err)
		luo_kho_subsystem(e->name, e->data);
	return err;
}

static void luo_subsystem_cancel(struct luo_participant *p)
{
	struct luo_subsystem_entry *e = to_entry(p);
	ktime_t began = ktime_get();

	if (!e->called)
		return;
	if (e->sub->ops->cancel)
		e->sub->ops->cancel(e->sub, e->data);
	WRITE_ONCE(e->called, false);
	e->data = 0;
	luo_subsystem_done(e, LUO_STEP_CANCEL, began, 0);
	module_put(e->sub->owner);
}

static void luo_subsystem_free(struct luo_subsystem_entry *e)
{
	luo_participant_del(&e->part);
	list_del(&e->list);
	luo_nr_subsystems--;
	luo_subsystem_node_free(e);
}

static void luo_subsystem_finish(struct luo_participant *p)
{
	struct luo_subsystem_entry *e = to_entry(p);
	ktime_t began = ktime_get();

	if (!e->incoming)
		return;
	if (!e->sub) {
		pr_warn("finish: nobody took over what came for subsystem %s\n",
			e->name);
		luo_subsystem_free(e);
		return;
	}
	if (e->sub->ops->finish)
		e->sub->ops->finish(e->sub, e->came);
	WRITE_ONCE(e->incoming, false);
	e->came = 0;
	luo_subsystem_done(e, LUO_STEP_FINISH, began, 0);
}

static const struct luo_participant_ops luo_subsystem_part_ops = {
	.begin = luo_subsystem_begin,
	.prepare = luo_subsystem_prepare,
	.freeze = luo_subsystem_freeze,
	.cancel = luo_subsystem_cancel,
	.finish = luo_subsystem_finish,
};

static struct luo_subsystem_entry *luo_subsystem_find(const char *name)
{
	struct luo_subsystem_entry *e;

	list_for_each_entry(e, &luo_subsystems, list) {
		if (!strcmp(e->name, name))
			return e;
	}
	return NULL;
}

static void luo_subsystem_sort_in(struct luo_subsystem_entry *e, int order)
{
	struct luo_subsystem_entry *next;

	luo_participant_add(&e->part, order);
	list_for_each_entry(next, &luo_subsystems, list) {
		if (next->part.order > order)
			break;
	}
	list_add_tail(&e->list, &next->list);
}

static struct luo_subsystem_entry *luo_subsystem_new(const char *name)
{
	struct luo_subsystem_entry *e = luo_subsystem_node_new(name);

	if (IS_ERR(e))
		return e;
	e->part.ops = &luo_subsystem_part_ops;
	luo_subsystem_sort_in(e, e->part.order);
	luo_nr_subsystems++;
	return e;
}

static bool luo_name_is_good(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	if (!len || len >= LUO_COMPATIBLE_LEN)
		return false;
	for (; *name; name++) {
		if (!islower(*name) && !isdigit(*name) && !strchr("-_.", *name))
			return false;
	}
	return true;
}

/**
 * luo_subsystem_register_locked - luo_register_subsystem() from within luo.ko
 * @sub: the subsystem
 *
 * Context: state lock held.
 * Return: as luo_register_subsystem().
 */
int luo_subsystem_register_locked(struct luo_subsystem *sub)
{
	struct luo_subsystem_entry *e;

	lockdep_assert_held_write(&luo_lock);

	if (!sub->ops || !luo_name_is_good(sub->name))
		return -EINVAL;
	if (!luo_state_open())
		return -EBUSY;

	e = luo_subsystem_find(sub->name);
	if (e && e->sub)
		return -EEXIST;
	if (!e) {
		if (luo_nr_subsystems >= LUO_MAX_SUBSYSTEMS)
			return -ENOSPC;
		e = luo_subsystem_new(sub->name);
		if (IS_ERR(e))
			return PTR_ERR(e);
	}

	luo_participant_del(&e->part);
	list_del(&e->list);
	luo_subsystem_sort_in(e, sub->order);
	WRITE_ONCE(e->sub, sub);
	sub->entry = e;
	luo_node_changed(&e->timed.node);
	return 0;
}

/**
 * luo_register_subsystem - take part in updates from now on
 * @sub: the subsystem, which must stay until it is unregistered
 *
 * Context: may sleep; not from a callback.
 * Return: 0; -EINVAL for a bad name or missing operations; -EEXIST if the name
 * is taken; -EBUSY while an update is prepared or frozen; -ENOSPC if there are
 * LUO_MAX_SUBSYSTEMS already; -ENOMEM.
 */
int luo_register_subsystem(struct luo_subsystem *sub)
{
	int err;

	luo_state_lock_always();
	err = luo_subsystem_register_locked(sub);
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_register_subsystem);

/**
 * luo_unregister_subsystem - no longer take part
 * @sub: the subsystem; nothing happens if it is not registered
 *
 * The owner is pinned while an update is prepared or frozen. If this is called
 * then all the same, say because a device goes, the update is cancelled first.
 * What came stays and can be claimed again until FINISH.
 *
 * Context: may sleep; not from a callback.
 */
void luo_unregister_subsystem(struct luo_subsystem *sub)
{
	struct luo_subsystem_entry *e;

	luo_state_lock_always();
	e = sub->entry;
	if (!e)
		goto out;
	if (e->called) {
		pr_warn("subsystem %s goes while an update is under way\n",
			e->name);
		/* With the kexec on its way nobody is called any more. */
		if (luo_cancel())
			WRITE_ONCE(e->called, false);
	}
	sub->entry = NULL;
	WRITE_ONCE(e->sub, NULL);
	if (e->incoming)
		luo_node_changed(&e->timed.node);
	else
		luo_subsystem_free(e);
out:
	luo_state_unlock();
}
EXPORT_SYMBOL_GPL(luo_unregister_subsystem);

/**
 * luo_subsystem_data_locked - luo_subsystem_data() from within luo.ko
 * @sub: a registered subsystem
 * @data: where the number goes
 *
 * Context: state lock held.
 * Return: as luo_subsystem_data().
 */
int luo_subsystem_data_locked(struct luo_subsystem *sub, u64 *data)
{
	lockdep_assert_held_write(&luo_lock);

	if (!sub->entry->incoming)
		return -ENOENT;
	*data = sub->entry->came;
	return 0;
}

/**
 * luo_subsystem_data - what the old kernel handed over to a subsystem
 * @sub: a registered subsystem
 * @data: where the number goes
 *
 * Context: may sleep; not from a callback.
 * Return: 0, or -ENOENT if nothing came, or it is finished already.
 */
int luo_subsystem_data(struct luo_subsystem *sub, u64 *data)
{
	int err;

	luo_state_lock_always();
	err = luo_subsystem_data_locked(sub, data);
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_subsystem_data);

/**
 * luo_subsystems_take - note what came for a subsystem
 * @ser: its record
 *
 * Context: state lock held, no subsystem of this name has registered yet.
 */
void luo_subsystems_take(const struct luo_ser_subsystem *ser)
{
	char name[LUO_COMPATIBLE_LEN];
	struct luo_subsystem_entry *e;

	lockdep_assert_held_write(&luo_lock);

	strscpy(name, ser->name);
	e = luo_name_is_good(name) && !luo_subsystem_find(name) ?
	    luo_subsystem_new(name) : ERR_PTR(-EINVAL);
	if (IS_ERR(e)) {
		pr_err("what came for subsystem '%*pE' is lost (%pe)\n",
		       (int)strlen(name), name, e);
		return;
	}
	e->came = ser->data;
	WRITE_ONCE(e->incoming, true);
	luo_node_changed(&e->timed.node);
}

/**
 * luo_subsystems_show - a line for each subsystem, with its times
 * @m: where
 *
 * Context: state lock held.
 */
void luo_subsystems_show(struct seq_file *m)
{
	struct luo_subsystem_entry *e;
	int i;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(e, &luo_subsystems, list) {
		seq_printf(m, "%s order=%d state=%s data=%#llx came=%#llx",
			   e->name, e->part.order, luo_subsystem_state(e),
			   e->data, e->came);
		for (i = 0; i < LUO_STEPS; i++)
			seq_printf(m, " %s=%llu/%d", luo_step_name(i),
				   e->timed.steps[i].ns,
				   e->timed.steps[i].result);
		seq_putc(m, '\n');
	}
}

/**
 * luo_subsystems_exit - forget all
 *
 * Nobody is registered any more: whoever is uses our symbols.
 */
void luo_subsystems_exit(void)
{
	struct luo_subsystem_entry *e, *tmp;

	list_for_each_entry_safe(e, tmp, &luo_subsystems, list)
		luo_subsystem_free(e);
}
