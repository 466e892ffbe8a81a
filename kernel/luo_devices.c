// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: The class of preserved resources
 *
 * Each preserved or incoming descriptor is a device "token<N>" of the class
 * liveupdate, so that whatever listens to the kernel's events sees it come
 * (add), being restored (change) and go (remove). An event carries what a
 * listener needs; the attributes tell the same at any later time.
 *
 * Attributes are shown without the state lock: removing a device waits for
 * its readers, and devices are removed under that lock. They use only what
 * stays as it is for the life of the device.
 *
 * Names come from foreign processes. They are shown with everything but
 * plain printable ASCII escaped, and never become part of a path.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/hex.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "luo_internal.h"

static const char * const luo_resource_states[] = {
	[LUO_RES_PRESERVED] = "preserved",
	[LUO_RES_INCOMING] = "incoming",
	[LUO_RES_RESTORED] = "restored",
};

static struct luo_resource *to_resource(const struct device *dev)
{
	return container_of(dev, struct luo_resource, dev);
}

static const char *luo_resource_state(const struct luo_resource *res)
{
	return luo_resource_states[READ_ONCE(res->state)];
}

static ssize_t luo_emit_escaped(char *buf, const char *name)
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

static ssize_t token_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%llu\n", to_resource(dev)->token);
}
static DEVICE_ATTR_RO(token);

static ssize_t kind_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", to_resource(dev)->handler->kind);
}
static DEVICE_ATTR_RO(kind);

static ssize_t bytes_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct luo_resource *res = to_resource(dev);

	return sysfs_emit(buf, "%llu\n", res->handler->ops->bytes(res));
}
static DEVICE_ATTR_RO(bytes);

static ssize_t pid_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%d\n", to_resource(dev)->pid);
}
static DEVICE_ATTR_RO(pid);

static ssize_t comm_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return luo_emit_escaped(buf, to_resource(dev)->comm);
}
static DEVICE_ATTR_RO(comm);

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return luo_emit_escaped(buf, to_resource(dev)->name);
}
static DEVICE_ATTR_RO(name);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_resource_state(to_resource(dev)));
}
static DEVICE_ATTR_RO(state);

static struct attribute *luo_resource_attrs[] = {
	&dev_attr_token.attr,
	&dev_attr_kind.attr,
	&dev_attr_bytes.attr,
	&dev_attr_pid.attr,
	&dev_attr_comm.attr,
	&dev_attr_name.attr,
	&dev_attr_state.attr,
	NULL
};
ATTRIBUTE_GROUPS(luo_resource);

static int luo_resource_uevent(const struct device *dev,
			       struct kobj_uevent_env *env)
{
	struct luo_resource *res = to_resource(dev);

	return add_uevent_var(env, "LUO_TOKEN=%llu", res->token) ?:
	       add_uevent_var(env, "LUO_KIND=%s", res->handler->kind) ?:
	       add_uevent_var(env, "LUO_BYTES=%llu",
			      res->handler->ops->bytes(res)) ?:
	       add_uevent_var(env, "LUO_STATE=%s", luo_resource_state(res)) ?:
	       add_uevent_var(env, "LUO_PID=%d", res->pid);
}

static void luo_resource_release(struct device *dev)
{
	kfree(to_resource(dev));
}

static const struct class luo_class = {
	.name = "liveupdate",
	.dev_groups = luo_resource_groups,
	.dev_uevent = luo_resource_uevent,
	.dev_release = luo_resource_release,
};

/**
 * luo_device_alloc - make a resource that has no device in the class yet
 * @token: its token
 *
 * Return: the resource, to be given back by put_device(), or NULL.
 */
struct luo_resource *luo_device_alloc(u64 token)
{
	struct luo_resource *res;

	res = kzalloc_obj(*res, GFP_KERNEL);
	if (!res)
		return NULL;

	INIT_LIST_HEAD(&res->node);
	res->token = token;
	device_initialize(&res->dev);
	res->dev.class = &luo_class;
	if (dev_set_name(&res->dev, "token%llu", token)) {
		put_device(&res->dev);
		return NULL;
	}
	return res;
}

/**
 * luo_device_add - show a resource in the class
 * @res: the resource, filled in
 *
 * Return: 0 or an error.
 */
int luo_device_add(struct luo_resource *res)
{
	int err = device_add(&res->dev);

	res->has_dev = !err;
	return err;
}

/**
 * luo_device_changed - tell listeners that a resource changed
 * @res: the resource
 */
void luo_device_changed(struct luo_resource *res)
{
	if (res->has_dev)
		kobject_uevent(&res->dev.kobj, KOBJ_CHANGE);
}

/**
 * luo_device_del - take a resource out of the class, if it is there
 * @res: the resource
 *
 * When this returns nobody reads its attributes any more. The resource itself
 * goes with the last put_device().
 */
void luo_device_del(struct luo_resource *res)
{
	if (res->has_dev)
		device_del(&res->dev);
	res->has_dev = false;
}

/**
 * luo_devices_init - make the class
 *
 * Return: 0 or an error.
 */
int luo_devices_init(void)
{
	return class_register(&luo_class);
}

/**
 * luo_devices_exit - remove the class
 */
void luo_devices_exit(void)
{
	class_unregister(&luo_class);
}
