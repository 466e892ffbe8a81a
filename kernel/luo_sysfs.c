// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: /sys/kernel/liveupdate
 *
 * Read-only, for everybody: the state, which wakes poll(2) at every change,
 * the versions of what this module hands over and reads, the time stamps of the latest
 * update, the release that the last handover came from, and whether a refused
 * freeze can stop a kexec. Nothing here takes the state lock: whoever looks
 * must never wait for a long PREPARE.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/kernfs.h>
#include <linux/kobject.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>
#include <linux/sysfs.h>

#include "luo_internal.h"

static struct kobject *luo_kobj;

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_state_name(luo_state_get()));
}

static struct kobj_attribute state_attr = __ATTR_RO(state);

static ssize_t compatible_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", LUO_COMPATIBLE);
}

static struct kobj_attribute compatible_attr = __ATTR_RO(compatible);

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%s\n", LUO_ABI_TEXT);
}

static struct kobj_attribute abi_attr = __ATTR_RO(abi);

static ssize_t from_release_show(struct kobject *kobj,
				 struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_from_release);
}

static struct kobj_attribute from_release_attr = __ATTR_RO(from_release);

static ssize_t veto_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_reboot_veto_name());
}

static struct kobj_attribute veto_attr = __ATTR_RO(veto);

static struct attribute *luo_attrs[] = {
	&state_attr.attr,
	&compatible_attr.attr,
	&abi_attr.attr,
	&from_release_attr.attr,
	&veto_attr.attr,
	NULL
};

static const struct attribute_group luo_group = {
	.attrs = luo_attrs,
};

#define LUO_TIME_ATTR(_name, _field)					\
static ssize_t _name##_show(struct kobject *kobj,			\
			    struct kobj_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%llu\n", READ_ONCE(luo_times._field));	\
}									\
static struct kobj_attribute _name##_attr = __ATTR_RO(_name)

LUO_TIME_ATTR(tsc_khz, khz);
LUO_TIME_ATTR(prepare_begin, prepare_begin);
LUO_TIME_ATTR(prepare_end, prepare_end);
LUO_TIME_ATTR(freeze_begin, freeze_begin);
LUO_TIME_ATTR(freeze_end, freeze_end);
LUO_TIME_ATTR(jump, jump);
LUO_TIME_ATTR(arrived, arrived);

static struct attribute *luo_times_attrs[] = {
	&tsc_khz_attr.attr,
	&prepare_begin_attr.attr,
	&prepare_end_attr.attr,
	&freeze_begin_attr.attr,
	&freeze_end_attr.attr,
	&jump_attr.attr,
	&arrived_attr.attr,
	NULL
};

static const struct attribute_group luo_times_group = {
	.name = "times",
	.attrs = luo_times_attrs,
};

static const struct attribute_group *luo_groups[] = {
	&luo_group,
	&luo_times_group,
	NULL
};

/* Wake those who poll the state. */
static int luo_sysfs_moved(struct notifier_block *nb, unsigned long state,
			   void *move)
{
	sysfs_notify(luo_kobj, NULL, "state");
	return NOTIFY_OK;
}

static struct notifier_block luo_sysfs_nb = {
	.notifier_call = luo_sysfs_moved,
	/* Who is told by an event finds the state in here. */
	.priority = 1,
};

/**
 * luo_sysfs_device_taken - does somebody else own the device node?
 *
 * Registering a second misc device of the same name fails with a stack dump
 * in the log, and mainline exports nothing to ask. Its device can be seen in
 * sysfs, though, whatever is mounted where.
 *
 * Return: true if a misc device "liveupdate" exists.
 */
bool luo_sysfs_device_taken(void)
{
	static const char * const path[] = { "class", "misc", "liveupdate" };
	struct kernfs_node *kn, *next;
	int i;

	/* /sys itself never goes away, so its node needs no reference. */
	rcu_read_lock();
	kn = rcu_dereference(kernel_kobj->sd->__parent);
	rcu_read_unlock();
	kernfs_get(kn);

	for (i = 0; kn && i < ARRAY_SIZE(path); i++) {
		next = kernfs_find_and_get(kn, path[i]);
		kernfs_put(kn);
		kn = next;
	}

	kernfs_put(kn);
	return kn;
}

/**
 * luo_sysfs_init - make the folder
 *
 * Return: 0 or an error.
 */
int luo_sysfs_init(void)
{
	int err;

	luo_kobj = kobject_create_and_add("liveupdate", kernel_kobj);
	if (!luo_kobj)
		return -ENOMEM;

	err = sysfs_create_groups(luo_kobj, luo_groups);
	if (err) {
		kobject_put(luo_kobj);
		return err;
	}
	luo_moves_listen(&luo_sysfs_nb);
	return 0;
}

/**
 * luo_sysfs_exit - remove the folder
 */
void luo_sysfs_exit(void)
{
	luo_moves_ignore(&luo_sysfs_nb);
	sysfs_remove_groups(luo_kobj, luo_groups);
	kobject_put(luo_kobj);
}
