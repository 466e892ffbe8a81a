// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Subsystems that take part
 *
 * A subsystem hands one number over. It stands in the class as
 * "subsystem-<NAME>", with how long each of its calls took and how it ended,
 * and an event tells of each. What came for a subsystem stands there from the
 * start and waits for it to be registered, until FINISH.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/ctype.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "luo_internal.h"

/* The calls of a subsystem. */
enum luo_part_step {
	LUO_STEP_PREPARE,
	LUO_STEP_FREEZE,
	LUO_STEP_CANCEL,
	LUO_STEP_FINISH,
	LUO_STEPS,
};

static const char * const luo_step_names[] = {
	[LUO_STEP_PREPARE] = "prepare",
	[LUO_STEP_FREEZE] = "freeze",
	[LUO_STEP_CANCEL] = "cancel",
	[LUO_STEP_FINISH] = "finish",
};

/**
 * struct luo_participant - a subsystem, or what came for one
 * @node: its device in the class, which also owns this memory
 * @list: in the list of all, by order
 * @sub: the subsystem; NULL if something came and nobody registered yet
 * @order: its order; what nobody registered is last
 * @called: prepare was called and neither undone nor finished
 * @incoming: something came
 * @data: what it hands over
 * @came: what came
 * @last: the latest call
 * @result: what the latest prepare or freeze returned
 * @steps: how each went
 * @name: its name
 */
struct luo_participant {
	struct luo_node node;
	struct list_head list;
	struct luo_subsystem *sub;
	int order;
	bool called;
	bool incoming;
	u64 data;
	u64 came;
	enum luo_part_step last;
	int result;
	struct luo_step steps[LUO_STEPS];
	char name[LUO_COMPATIBLE_LEN];
};

static LIST_HEAD(luo_participants);
static unsigned int luo_nr_participants;

static struct luo_participant *to_participant(const struct device *dev)
{
	return container_of(to_luo_node(dev), struct luo_participant, node);
}

static const char *luo_participant_state(const struct luo_participant *p)
{
	if (READ_ONCE(p->called))
		return READ_ONCE(p->last) == LUO_STEP_FREEZE ? "frozen" :
							       "prepared";
	if (READ_ONCE(p->incoming))
		return READ_ONCE(p->sub) ? "incoming" : "unclaimed";
	return "registered";
}

static ssize_t kind_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "subsystem\n");
}
static DEVICE_ATTR_RO(kind);

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", to_participant(dev)->name);
}
static DEVICE_ATTR_RO(name);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  luo_participant_state(to_participant(dev)));
}
static DEVICE_ATTR_RO(state);

static ssize_t order_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_participant(dev)->order));
}
static DEVICE_ATTR_RO(order);

static ssize_t result_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	/* A refusal stays readable after everybody was cancelled. */
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_participant(dev)->result));
}
static DEVICE_ATTR_RO(result);

#define LUO_STEP_ATTR(_name, _step)					\
static ssize_t _name##_ns_show(struct device *dev,			\
			       struct device_attribute *attr, char *buf) \
{									\
	struct luo_participant *p = to_participant(dev);		\
									\
	return sysfs_emit(buf, "%llu\n", READ_ONCE(p->steps[_step].ns));	\
}									\
static DEVICE_ATTR_RO(_name##_ns)

LUO_STEP_ATTR(prepare, LUO_STEP_PREPARE);
LUO_STEP_ATTR(freeze, LUO_STEP_FREEZE);
LUO_STEP_ATTR(cancel, LUO_STEP_CANCEL);
LUO_STEP_ATTR(finish, LUO_STEP_FINISH);

static struct attribute *luo_participant_attrs[] = {
	&dev_attr_kind.attr,
	&dev_attr_name.attr,
	&dev_attr_state.attr,
	&dev_attr_order.attr,
	&dev_attr_result.attr,
	&dev_attr_prepare_ns.attr,
	&dev_attr_freeze_ns.attr,
	&dev_attr_cancel_ns.attr,
	&dev_attr_finish_ns.attr,
	NULL
};
ATTRIBUTE_GROUPS(luo_participant);

static int luo_participant_uevent(const struct device *dev,
				  struct kobj_uevent_env *env)
{
	struct luo_participant *p = to_participant(dev);
	enum luo_part_step last = READ_ONCE(p->last);

	return add_uevent_var(env, "LUO_KIND=subsystem") ?:
	       add_uevent_var(env, "LUO_NAME=%s", p->name) ?:
	       add_uevent_var(env, "LUO_STATE=%s", luo_participant_state(p)) ?:
	       add_uevent_var(env, "LUO_STEP=%s", luo_step_names[last]) ?:
	       add_uevent_var(env, "LUO_RESULT=%d", p->steps[last].result) ?:
	       add_uevent_var(env, "LUO_NS=%llu", p->steps[last].ns);
}

static void luo_participant_release(struct device *dev)
{
	kfree(to_participant(dev));
}

static const struct device_type luo_participant_type = {
	.name = "subsystem",
	.groups = luo_participant_groups,
	.uevent = luo_participant_uevent,
	.release = luo_participant_release,
};

static struct luo_participant *luo_participant_find(const char *name)
{
	struct luo_participant *p;

	list_for_each_entry(p, &luo_participants, list) {
		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

/* Same orders stay in the order of registration. */
static void luo_participant_sort_in(struct luo_participant *p)
{
	struct luo_participant *next;

	list_for_each_entry(next, &luo_participants, list) {
		if (next->order > p->order)
			break;
	}
	list_add_tail(&p->list, &next->list);
}

static struct luo_participant *luo_participant_new(const char *name)
{
	struct luo_participant *p = kzalloc_obj(*p, GFP_KERNEL);
	int err;

	if (!p)
		return ERR_PTR(-ENOMEM);
	strscpy(p->name, name);
	p->order = INT_MAX;
	luo_node_init(&p->node, &luo_participant_type);
	err = dev_set_name(&p->node.dev, "subsystem-%s", name);
	if (!err)
		err = luo_node_add(&p->node);
	if (err) {
		put_device(&p->node.dev);
		return ERR_PTR(err);
	}
	luo_participant_sort_in(p);
	luo_nr_participants++;
	return p;
}

static void luo_participant_free(struct luo_participant *p)
{
	list_del(&p->list);
	luo_nr_participants--;
	luo_node_del(&p->node);
	put_device(&p->node.dev);
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
	struct luo_participant *p;

	if (!sub->ops || !luo_name_is_good(sub->name))
		return -EINVAL;
	if (!luo_state_open())
		return -EBUSY;

	p = luo_participant_find(sub->name);
	if (p && p->sub)
		return -EEXIST;
	if (!p) {
		if (luo_nr_participants >= LUO_MAX_SUBSYSTEMS)
			return -ENOSPC;
		p = luo_participant_new(sub->name);
		if (IS_ERR(p))
			return PTR_ERR(p);
	}

	list_del(&p->list);
	p->order = sub->order;
	luo_participant_sort_in(p);
	WRITE_ONCE(p->sub, sub);
	sub->participant = p;
	luo_node_changed(&p->node);
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
	struct luo_participant *p;

	luo_state_lock_always();
	p = sub->participant;
	if (!p)
		goto out;
	if (p->called) {
		pr_warn("subsystem %s goes while an update is under way\n",
			p->name);
		/* With the kexec on its way nobody is called any more. */
		if (luo_cancel())
			WRITE_ONCE(p->called, false);
	}
	sub->participant = NULL;
	WRITE_ONCE(p->sub, NULL);
	if (p->incoming)
		luo_node_changed(&p->node);
	else
		luo_participant_free(p);
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
	if (!sub->participant->incoming)
		return -ENOENT;
	*data = sub->participant->came;
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

static void luo_step_done(struct luo_participant *p, enum luo_part_step step,
			  ktime_t began, int err)
{
	WRITE_ONCE(p->steps[step].ns, ktime_to_ns(ktime_sub(ktime_get(), began)));
	WRITE_ONCE(p->steps[step].result, err);
	WRITE_ONCE(p->last, step);
	if (step == LUO_STEP_PREPARE || step == LUO_STEP_FREEZE)
		WRITE_ONCE(p->result, err);
	if (err)
		pr_warn("%s refused (%d) by subsystem %s\n",
			luo_step_names[step], err, p->name);
	luo_node_changed(&p->node);
}

static void luo_participant_cancel(struct luo_participant *p)
{
	ktime_t began = ktime_get();

	if (!p->called)
		return;
	if (p->sub->ops->cancel)
		p->sub->ops->cancel(p->sub, p->data);
	WRITE_ONCE(p->called, false);
	p->data = 0;
	luo_step_done(p, LUO_STEP_CANCEL, began, 0);
	module_put(p->sub->owner);
}

/**
 * luo_subsystems_begin - forget how the last update went
 *
 * Context: state lock held.
 */
void luo_subsystems_begin(void)
{
	struct luo_participant *p;

	list_for_each_entry(p, &luo_participants, list) {
		memset(p->steps, 0, sizeof(p->steps));
		WRITE_ONCE(p->result, 0);
	}
}

/**
 * luo_subsystems_prepare - get all subsystems ready
 *
 * Context: state lock held, files are prepared.
 * Return: 0, or the error of the subsystem that refused; all are cancelled
 * then.
 */
int luo_subsystems_prepare(void)
{
	struct luo_participant *p;
	ktime_t began;
	int err;

	list_for_each_entry(p, &luo_participants, list) {
		/* One whose module is going takes part no more. */
		if (!p->sub || !try_module_get(p->sub->owner))
			continue;

		p->data = 0;
		WRITE_ONCE(p->called, true);
		began = ktime_get();
		err = p->sub->ops->prepare ?
		      p->sub->ops->prepare(p->sub, &p->data) : 0;
		luo_step_done(p, LUO_STEP_PREPARE, began, err);
		if (err) {
			luo_subsystems_cancel();
			return err;
		}
	}
	return 0;
}

/**
 * luo_subsystems_freeze - the last call in this kernel
 *
 * Context: state lock held, files are frozen.
 * Return: 0, or the error of the subsystem that refused; nothing is undone.
 */
int luo_subsystems_freeze(void)
{
	struct luo_participant *p;
	ktime_t began;
	int err;

	list_for_each_entry(p, &luo_participants, list) {
		if (!p->called)
			continue;
		began = ktime_get();
		err = p->sub->ops->freeze ?
		      p->sub->ops->freeze(p->sub, &p->data) : 0;
		luo_step_done(p, LUO_STEP_FREEZE, began, err);
		if (err)
			return err;
		luo_kho_subsystem(p->name, p->data);
	}
	return 0;
}

/**
 * luo_subsystems_cancel - undo prepare and freeze
 *
 * Context: state lock held.
 */
void luo_subsystems_cancel(void)
{
	struct luo_participant *p;

	list_for_each_entry_reverse(p, &luo_participants, list)
		luo_participant_cancel(p);
}

/**
 * luo_subsystems_take - note what came for a subsystem
 * @ser: its record
 *
 * Context: state lock held, no subsystem of this name has registered yet.
 */
void luo_subsystems_take(const struct luo_ser_subsystem *ser)
{
	char name[LUO_COMPATIBLE_LEN];
	struct luo_participant *p;

	strscpy(name, ser->name);
	p = luo_name_is_good(name) && !luo_participant_find(name) ?
	    luo_participant_new(name) : ERR_PTR(-EINVAL);
	if (IS_ERR(p)) {
		pr_err("what came for subsystem '%*pE' is lost (%pe)\n",
		       (int)strlen(name), name, p);
		return;
	}
	p->came = ser->data;
	WRITE_ONCE(p->incoming, true);
	luo_node_changed(&p->node);
}

/**
 * luo_subsystems_finish - let go of what came
 *
 * Context: state lock held.
 */
void luo_subsystems_finish(void)
{
	struct luo_participant *p, *tmp;
	ktime_t began;

	list_for_each_entry_safe_reverse(p, tmp, &luo_participants, list) {
		if (!p->incoming)
			continue;
		if (!p->sub) {
			pr_warn("finish: nobody took over what came for subsystem %s\n",
				p->name);
			luo_participant_free(p);
			continue;
		}
		began = ktime_get();
		if (p->sub->ops->finish)
			p->sub->ops->finish(p->sub, p->came);
		WRITE_ONCE(p->incoming, false);
		p->came = 0;
		luo_step_done(p, LUO_STEP_FINISH, began, 0);
	}
}

/**
 * luo_subsystems_show - a line for each subsystem, with its times
 * @m: where
 *
 * Context: state lock held.
 */
void luo_subsystems_show(struct seq_file *m)
{
	struct luo_participant *p;
	int i;

	list_for_each_entry(p, &luo_participants, list) {
		seq_printf(m, "%s order=%d state=%s data=%#llx came=%#llx",
			   p->name, p->order, luo_participant_state(p),
			   p->data, p->came);
		for (i = 0; i < LUO_STEPS; i++)
			seq_printf(m, " %s=%llu/%d", luo_step_names[i],
				   p->steps[i].ns, p->steps[i].result);
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
	struct luo_participant *p, *tmp;

	list_for_each_entry_safe(p, tmp, &luo_participants, list)
		luo_participant_free(p);
}
