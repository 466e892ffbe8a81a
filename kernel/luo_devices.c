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

#include <linux/hex.h>
#include <linux/module.h>

#include "luo_internal.h"

static const struct class luo_class = {
	.name = "liveupdate",
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
 * @type: what it is; its release frees the memory around @node
 *
 * From here on the memory around @node is given back by put_device(). The
 * name is the caller's to set.
 */
void luo_node_init(struct luo_node *node, const struct device_type *type)
{
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
