// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: The class liveupdate
 *
 * Whatever takes part in an update is a device of this class, so that whoever
 * listens to the kernel's events sees it come (add), change and go (remove):
 * "token<N>" is a preserved or incoming file, "subsystem-<NAME>" a subsystem.
 * The type of the device (DEVTYPE) tells them apart.
 *
 * An event carries what a listener needs; the attributes tell the same at any
 * later time. They are shown without the state lock: removing a device waits
 * for its readers, and devices are removed under that lock. So they use only
 * what stays as it is for the life of the device.
 *
 * Names come from foreign processes. They are shown with everything but
 * plain printable ASCII escaped, and never become part of a path.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/atomic.h>
#include <linux/hex.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/wait_bit.h>

#include "luo_internal.h"

/*
 * The class and all its nodes that are not freed yet. The last reference to one
 * may be anybody's, at any later time (CONFIG_DEBUG_KOBJECT_RELEASE waits for
 * seconds), and what frees it is in this module.
 */
static atomic_t luo_not_freed = ATOMIC_INIT(0);

static void luo_freed(void)
{
	if (atomic_dec_and_test(&luo_not_freed))
		wake_up_var(&luo_not_freed);
}

static void luo_node_release(struct device *dev)
{
	kfree(to_luo_node(dev)->memory);
	luo_freed();
}

static void luo_class_release(const struct class *class)
{
	luo_freed();
}

static const struct class luo_class = {
	.name = "liveupdate",
	.dev_release = luo_node_release,
	.class_release = luo_class_release,
};

/**
 * luo_emit_escaped - show a foreign name harmlessly
 * @buf: the page of an attribute
 * @name: the name, below a quarter of a page
 *
 * Return: how much was written.
 */
ssize_t luo_emit_escaped(char *buf, const char *name)
{
	char *p = buf;

	for (; *name; name++) {
		unsigned char c = *name;

		if (c >= 0x20 && c < 0x7f && c != '\\') {
			*p++ = c;
			continue;
		}
		*p++ = '\\';
		*p++ = 'x';
		p = hex_byte_pack(p, c);
	}
	*p++ = '\n';
	return p - buf;
}

/**
 * luo_node_init - make a device that is not in the class yet
 * @node: where
 * @type: what it is
 * @memory: what @node is in, from kmalloc()
 *
 * From here on @memory is given back by put_device(). The name is the caller's
 * to set.
 */
void luo_node_init(struct luo_node *node, const struct device_type *type,
		   void *memory)
{
	atomic_inc(&luo_not_freed);
	node->memory = memory;
	device_initialize(&node->dev);
	node->dev.class = &luo_class;
	node->dev.type = type;
}

/**
 * luo_node_add - show it in the class
 * @node: the node, with everything around it filled in
 *
 * Return: 0 or an error.
 */
int luo_node_add(struct luo_node *node)
{
	int err = device_add(&node->dev);

	node->added = !err;
	return err;
}

/**
 * luo_node_changed - tell listeners that something changed
 * @node: the node
 */
void luo_node_changed(struct luo_node *node)
{
	if (node->added)
		kobject_uevent(&node->dev.kobj, KOBJ_CHANGE);
}

/**
 * luo_node_del - take it out of the class, if it is there
 * @node: the node
 *
 * When this returns nobody reads its attributes any more. The memory around
 * it goes with the last put_device().
 */
void luo_node_del(struct luo_node *node)
{
	if (node->added)
		device_del(&node->dev);
	node->added = false;
}

static struct luo_timed_node *to_luo_timed(const struct device *dev)
{
	return container_of(to_luo_node(dev), struct luo_timed_node, node);
}

static const char * const luo_step_names[] = {
	[LUO_STEP_PREPARE] = "prepare",
	[LUO_STEP_FREEZE] = "freeze",
	[LUO_STEP_CANCEL] = "cancel",
	[LUO_STEP_FINISH] = "finish",
};

/**
 * luo_step_name - the word for a call
 * @step: the call
 *
 * Return: a constant string.
 */
const char *luo_step_name(enum luo_step_kind step)
{
	return luo_step_names[step];
}

/**
 * luo_timed_forget - a new update begins
 * @timed: the node
 */
void luo_timed_forget(struct luo_timed_node *timed)
{
	memset(timed->steps, 0, sizeof(timed->steps));
	WRITE_ONCE(timed->result, 0);
}

/**
 * luo_timed_done - note and announce how a call went
 * @timed: the node
 * @step: the call
 * @began: when it began
 * @err: what it returned
 */
void luo_timed_done(struct luo_timed_node *timed, enum luo_step_kind step,
		    ktime_t began, int err)
{
	WRITE_ONCE(timed->steps[step].ns,
		   ktime_to_ns(ktime_sub(ktime_get(), began)));
	WRITE_ONCE(timed->steps[step].result, err);
	WRITE_ONCE(timed->last, step);
	if (step == LUO_STEP_PREPARE || step == LUO_STEP_FREEZE)
		WRITE_ONCE(timed->result, err);
	luo_node_changed(&timed->node);
}

static ssize_t result_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	/* A refusal stays readable after everybody was cancelled. */
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_luo_timed(dev)->result));
}
static DEVICE_ATTR_RO(result);

#define LUO_STEP_ATTR(_name, _step)					\
static ssize_t _name##_ns_show(struct device *dev,			\
			       struct device_attribute *attr, char *buf) \
{									\
	struct luo_timed_node *timed = to_luo_timed(dev);		\
									\
	return sysfs_emit(buf, "%llu\n", READ_ONCE(timed->steps[_step].ns)); \
}									\
static DEVICE_ATTR_RO(_name##_ns)

LUO_STEP_ATTR(prepare, LUO_STEP_PREPARE);
LUO_STEP_ATTR(freeze, LUO_STEP_FREEZE);
LUO_STEP_ATTR(cancel, LUO_STEP_CANCEL);
LUO_STEP_ATTR(finish, LUO_STEP_FINISH);

static struct attribute *luo_timed_attrs[] = {
	&dev_attr_result.attr,
	&dev_attr_prepare_ns.attr,
	&dev_attr_freeze_ns.attr,
	&dev_attr_cancel_ns.attr,
	&dev_attr_finish_ns.attr,
	NULL
};

/* What every timed node shows, beside its own. */
const struct attribute_group luo_timed_group = {
	.attrs = luo_timed_attrs,
};

/**
 * luo_devices_init - make the class
 *
 * Return: 0 or an error.
 */
int luo_devices_init(void)
{
	int err;

	atomic_inc(&luo_not_freed);
	err = class_register(&luo_class);
	if (err)
		atomic_dec(&luo_not_freed);
	return err;
}

/**
 * luo_devices_exit - remove the class
 *
 * No node is in it any more. Waits until the last one is freed, and whoever has
 * freed it is out of this module.
 */
void luo_devices_exit(void)
{
	class_unregister(&luo_class);
	wait_var_event(&luo_not_freed, !atomic_read(&luo_not_freed));
	synchronize_rcu_tasks();
}
