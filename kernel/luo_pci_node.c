// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: PCI devices in the class
 *
 * "pci-<DOMAIN:BUS:DEVICE.FUNCTION>" is a device whose driver takes part in
 * live updates, or would if it could, or that came with the last one:
 *
 * ==========  ===============================================================
 * registered  goes along with the next update
 * prepared    goes along with the update under way
 * frozen      the same, and its driver begins nothing new
 * refused     cannot take part, "reason" says why: reset in an update as ever
 * incoming    came over alive and runs, its driver has not claimed it yet
 * claimed     came over alive and its driver has it
 * lost        came, but "reason" says why it is reset as ever
 * ==========  ===============================================================
 *
 * All other PCI devices are reset as ever; debugfs lists them too.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "luo_pci_internal.h"

static struct luo_pci_device *to_luo_pci(const struct device *dev)
{
	return container_of(to_luo_node(dev), struct luo_pci_device, timed.node);
}

static const char *luo_pci_state(const struct luo_pci_device *dev)
{
	if (READ_ONCE(dev->came)) {
		if (READ_ONCE(dev->lost))
			return "lost";
		return READ_ONCE(dev->claimed) ? "claimed" : "incoming";
	}
	if (READ_ONCE(dev->refused))
		return "refused";
	if (READ_ONCE(dev->ser))
		return READ_ONCE(dev->frozen) ? "frozen" : "prepared";
	return "registered";
}

/* Never changes and never goes: these are constant strings. */
static const char *luo_pci_reason(const struct luo_pci_device *dev)
{
	return READ_ONCE(dev->lost) ?: READ_ONCE(dev->refused) ?: "";
}

static ssize_t kind_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "pci\n");
}
static DEVICE_ATTR_RO(kind);

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", dev_name(dev) + strlen("pci-"));
}
static DEVICE_ATTR_RO(name);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_pci_state(to_luo_pci(dev)));
}
static DEVICE_ATTR_RO(state);

static ssize_t reason_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_pci_reason(to_luo_pci(dev)));
}
static DEVICE_ATTR_RO(reason);

static ssize_t driver_name_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_luo_pci(dev)->driver);
}
static DEVICE_ATTR_RO(driver_name);

static struct attribute *luo_pci_attrs[] = {
	&dev_attr_kind.attr,
	&dev_attr_name.attr,
	&dev_attr_state.attr,
	&dev_attr_reason.attr,
	&dev_attr_driver_name.attr,
	NULL
};

static const struct attribute_group luo_pci_group = {
	.attrs = luo_pci_attrs,
};

static const struct attribute_group *luo_pci_groups[] = {
	&luo_pci_group,
	&luo_timed_group,
	NULL
};

static int luo_pci_uevent(const struct device *device,
			  struct kobj_uevent_env *env)
{
	struct luo_pci_device *dev = to_luo_pci(device);

	return add_uevent_var(env, "LUO_KIND=pci") ?:
	       add_uevent_var(env, "LUO_NAME=%s",
			      dev_name(device) + strlen("pci-")) ?:
	       add_uevent_var(env, "LUO_STATE=%s", luo_pci_state(dev)) ?:
	       add_uevent_var(env, "LUO_REASON=%s", luo_pci_reason(dev)) ?:
	       add_uevent_var(env, "LUO_DRIVER=%s", dev->driver) ?:
	       add_uevent_var(env, "LUO_RESULT=%d", READ_ONCE(dev->timed.result));
}

static const struct device_type luo_pci_type = {
	.name = "pci",
	.groups = luo_pci_groups,
	.uevent = luo_pci_uevent,
};

/**
 * luo_pci_node_new - show a device in the class
 * @domain: PCI domain
 * @slot: bus, device and function
 * @driver: name of its driver, printable
 *
 * Context: state lock held.
 * Return: the device, in the list of all, or an error.
 */
struct luo_pci_device *luo_pci_node_new(u32 domain, u16 slot,
					const char *driver)
{
	struct luo_pci_device *dev = kzalloc_obj(*dev, GFP_KERNEL);
	int err;

	lockdep_assert_held_write(&luo_lock);

	if (!dev)
		return ERR_PTR(-ENOMEM);
	dev->domain = domain;
	dev->slot = slot;
	luo_pci_node_driver(dev, driver);
	luo_node_init(&dev->timed.node, &luo_pci_type, dev);
	err = dev_set_name(&dev->timed.node.dev, "pci-%04x:%02x:%02x.%d", domain,
			   PCI_BUS_NUM(slot), PCI_SLOT(slot), PCI_FUNC(slot));
	if (!err)
		err = luo_node_add(&dev->timed.node);
	if (err) {
		put_device(&dev->timed.node.dev);
		return ERR_PTR(err);
	}
	list_add_tail(&dev->list, &luo_pci_devices);
	return dev;
}

/**
 * luo_pci_node_driver - show another driver
 * @dev: the device
 * @driver: name of its driver, printable
 *
 * The last byte is always 0, so a reader meanwhile sees half a name at worst.
 */
void luo_pci_node_driver(struct luo_pci_device *dev, const char *driver)
{
	strscpy(dev->driver, driver);
}

/**
 * luo_pci_node_free - show it no longer
 * @dev: the device
 *
 * Context: state lock held.
 */
void luo_pci_node_free(struct luo_pci_device *dev)
{
	lockdep_assert_held_write(&luo_lock);

	list_del(&dev->list);
	luo_node_del(&dev->timed.node);
	put_device(&dev->timed.node.dev);
}

/**
 * luo_pci_show - a line for each PCI device that has a driver
 * @m: where
 *
 * Context: state lock held.
 */
void luo_pci_show(struct seq_file *m)
{
	struct pci_dev *pdev = NULL;
	struct luo_pci_device *dev;

	lockdep_assert_held_write(&luo_lock);

	for_each_pci_dev(pdev) {
		dev = luo_pci_find(pdev);
		if (!dev && !pdev->dev.driver)
			continue;
		seq_printf(m, "%s %04x:%04x driver=%s state=%s",
			   pci_name(pdev), pdev->vendor, pdev->device,
			   dev_driver_string(&pdev->dev),
			   dev ? luo_pci_state(dev) : "reset");
		if (dev && *luo_pci_reason(dev))
			seq_printf(m, " (%s)", luo_pci_reason(dev));
		seq_putc(m, '\n');
	}
}
