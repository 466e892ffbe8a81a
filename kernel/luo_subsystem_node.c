// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Subsystems in the class
 *
 * "subsystem-<NAME>" tells how long each call of a subsystem took and how it
 * ended, and an event tells of each call.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "luo_subsystem_internal.h"

static struct luo_subsystem_entry *to_entry(const struct device *dev)
{
	return container_of(to_luo_node(dev), struct luo_subsystem_entry,
			    timed.node);
}

/**
 * luo_subsystem_state - the word for where a subsystem stands
 * @e: the subsystem
 *
 * Return: a constant string.
 */
const char *luo_subsystem_state(const struct luo_subsystem_entry *e)
{
	if (READ_ONCE(e->called))
		return READ_ONCE(e->timed.last) == LUO_STEP_FREEZE ?
		       "frozen" : "prepared";
	if (READ_ONCE(e->incoming))
		return READ_ONCE(e->sub) ? "incoming" : "unclaimed";
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
	return sysfs_emit(buf, "%s\n", to_entry(dev)->name);
}
static DEVICE_ATTR_RO(name);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_subsystem_state(to_entry(dev)));
}
static DEVICE_ATTR_RO(state);

static ssize_t order_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_entry(dev)->part.order));
}
static DEVICE_ATTR_RO(order);

static struct attribute *luo_subsystem_attrs[] = {
	&dev_attr_kind.attr,
	&dev_attr_name.attr,
	&dev_attr_state.attr,
	&dev_attr_order.attr,
	NULL
};

static const struct attribute_group luo_subsystem_group = {
	.attrs = luo_subsystem_attrs,
};

static const struct attribute_group *luo_subsystem_groups[] = {
	&luo_subsystem_group,
	&luo_timed_group,
	NULL
};

static int luo_subsystem_uevent(const struct device *dev,
				struct kobj_uevent_env *env)
{
	struct luo_subsystem_entry *e = to_entry(dev);
	enum luo_step_kind last = READ_ONCE(e->timed.last);
	const struct luo_step *step = &e->timed.steps[last];

	return add_uevent_var(env, "LUO_KIND=subsystem") ?:
	       add_uevent_var(env, "LUO_NAME=%s", e->name) ?:
	       add_uevent_var(env, "LUO_STATE=%s", luo_subsystem_state(e)) ?:
	       add_uevent_var(env, "LUO_STEP=%s", luo_step_name(last)) ?:
	       add_uevent_var(env, "LUO_RESULT=%d", step->result) ?:
	       add_uevent_var(env, "LUO_NS=%llu", step->ns);
}

static const struct device_type luo_subsystem_type = {
	.name = "subsystem",
	.groups = luo_subsystem_groups,
	.uevent = luo_subsystem_uevent,
};

/**
 * luo_subsystem_node_new - show a subsystem in the class
 * @name: its name, which is good
 *
 * Return: the entry, in no list, or an error.
 */
struct luo_subsystem_entry *luo_subsystem_node_new(const char *name)
{
	struct luo_subsystem_entry *e = kzalloc_obj(*e, GFP_KERNEL);
	int err;

	if (!e)
		return ERR_PTR(-ENOMEM);
	strscpy(e->name, name);
	e->part.order = INT_MAX;
	luo_node_init(&e->timed.node, &luo_subsystem_type, e);
	err = dev_set_name(&e->timed.node.dev, "subsystem-%s", name);
	if (!err)
		err = luo_node_add(&e->timed.node);
	if (err) {
		put_device(&e->timed.node.dev);
		return ERR_PTR(err);
	}
	return e;
}

/**
 * luo_subsystem_node_free - show it no longer
 * @e: the subsystem, in no list any more
 */
void luo_subsystem_node_free(struct luo_subsystem_entry *e)
{
	luo_node_del(&e->timed.node);
	put_device(&e->timed.node.dev);
}
