// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: PCI devices that came
 *
 * A device that was left running works on from the first moment of the new
 * kernel, into memory that is preserved. It must be the same device at the
 * same addresses, still master of its bus, and its driver must read what the
 * old one wrote; otherwise what came is lost: the log and the class say why,
 * the driver is told, and sets its device up anew.
 *
 * Memory is never given back here while a device may write to it. What no
 * driver claims is stopped at FINISH, and the memory it was given stays in
 * use until the next kexec drops it.
 */
#define pr_fmt(fmt) "luo: " fmt
#define dev_fmt(fmt) "luo: " fmt

#include <linux/ctype.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/ktime.h>
#include <linux/string.h>

#include "luo_pci_internal.h"

/* Bits whose loss on the way would mean that it does not run any more. */
#define LUO_PCI_ALIVE	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

/* The records, from arrival to finish. */
static struct luo_ser_pci *luo_pci_in;

static const char *luo_pci_why_lost(const struct luo_ser_pci_device *came,
				    struct pci_dev *pdev)
{
	struct luo_ser_pci_device now = {};
	int i;

	if (!came->kept)
		return "its driver did not leave it running";
	if (!pdev)
		return "it is gone";

	luo_pci_read(pdev, &now);
	if (now.vendor != came->vendor || now.device != came->device ||
	    now.sub_vendor != came->sub_vendor ||
	    now.sub_device != came->sub_device ||
	    now.class_revision != came->class_revision)
		return "another device is in its place";
	if (luo_pci_unfit(pdev))
		return luo_pci_unfit(pdev);
	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (now.bars[i] != came->bars[i] ||
		    pci_resource_flags(pdev, i) & IORESOURCE_UNSET)
			return "its addresses have changed";
	}
	if (came->command & ~now.command & LUO_PCI_ALIVE)
		return "it was switched off on the way";
	return NULL;
}

static void luo_pci_take_one(struct luo_ser_pci_device *came)
{
	char driver[LUO_PCI_DRIVER_LEN];
	struct luo_pci_device *dev;
	struct pci_dev *pdev;
	char *c;

	/* Shown in events, so nothing of the old kernel's is trusted in it. */
	strscpy(driver, came->driver);
	for (c = driver; *c; c++) {
		if (!isascii(*c) || !isgraph(*c))
			*c = '_';
	}

	dev = luo_pci_node_new(came->domain, came->slot, driver);
	if (IS_ERR(dev)) {
		pr_err("a PCI device that came cannot be listed and is lost (%pe)\n",
		       dev);
		return;
	}
	pdev = pci_get_domain_bus_and_slot(came->domain, PCI_BUS_NUM(came->slot),
					   came->slot & 0xff);
	dev->lost = luo_pci_why_lost(came, pdev);
	WRITE_ONCE(dev->came, came);
	if (dev->lost)
		pr_err("%s: lost on the way: %s\n", dev_name(&dev->timed.node.dev),
		       dev->lost);
	else
		pci_info(pdev, "came over alive\n");
	luo_node_changed(&dev->timed.node);
	pci_dev_put(pdev);
}

/**
 * luo_pci_take - take over what came
 * @data: the subsystem's number
 *
 * Context: state lock held.
 */
void luo_pci_take(u64 data)
{
	const char *why = luo_check_pci(&luo_here, data);
	u32 i;

	lockdep_assert_held_write(&luo_lock);

	if (why) {
		pr_err("what came of PCI devices cannot be read, they are lost: %s\n",
		       why);
		return;
	}
	luo_pci_in = phys_to_virt(data);
	for (i = 0; i < luo_pci_in->nr; i++)
		luo_pci_take_one((void *)luo_pci_in->devices +
				 i * luo_pci_in->device_size);
}

/**
 * luo_pci_incoming - has this device come over alive?
 * @pdev: the device
 * @ops: what its driver says of itself
 * @data: where the number goes that the driver stored in the old kernel
 *
 * A driver asks from probe, before it enables the device or touches it. After
 * a return of 0 the device is the driver's: it works, at the addresses it had,
 * into the memory that it was given, and must not be reset;
 * pci_enable_device() and pci_set_master() change nothing then. After any
 * error it is to be set up anew as ever. Each device is claimed once: a probe
 * that fails after a claim stops the device before it gives memory back.
 *
 * Context: may sleep; the device's probe.
 * Return: 0; -ENOENT if nothing came for it, or it was claimed already, or is
 * finished; -ESTALE if what came cannot be used: the device does no DMA any
 * more then.
 */
int luo_pci_incoming(struct pci_dev *pdev, const struct luo_pci_ops *ops,
		     u64 *data)
{
	struct luo_pci_device *dev;
	int err = -ENOENT;

	luo_state_lock_always();
	dev = luo_pci_find(pdev);
	if (!dev || !dev->came || dev->claimed)
		goto out;

	if (!dev->lost) {
		dev->lost = luo_pci_why_lost(dev->came, pdev);
		if (!dev->lost && strncmp(ops->compatible, dev->came->compatible,
					  LUO_COMPATIBLE_LEN))
			WRITE_ONCE(dev->lost, "its driver reads another version");
		if (dev->lost)
			pci_err(pdev, "lost: %s\n", dev->lost);
	}
	if (dev->lost) {
		pci_clear_master(pdev);
		err = -ESTALE;
	} else {
		WRITE_ONCE(dev->claimed, true);
		*data = dev->came->data;
		err = 0;
	}
	luo_node_changed(&dev->timed.node);
out:
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_pci_incoming);

/* Whoever drives the device now decides about its bus mastering. */
static void luo_pci_stop_unclaimed(struct luo_pci_device *dev)
{
	struct pci_dev *pdev;

	pdev = pci_get_domain_bus_and_slot(dev->domain, PCI_BUS_NUM(dev->slot),
					   dev->slot & 0xff);
	if (!pdev)
		return;
	/*
	 * Not waiting for this lock: probe holds it while it waits for ours.
	 * A driver is being bound or unbound then, and the device is its own.
	 */
	if (device_trylock(&pdev->dev)) {
		if (!pdev->dev.driver) {
			pci_clear_master(pdev);
			pci_warn(pdev, "finish: no driver has claimed it, its DMA is stopped\n");
		}
		device_unlock(&pdev->dev);
	}
	pci_dev_put(pdev);
}

/**
 * luo_pci_finish - the update is over
 * @sub: the subsystem
 * @data: its number
 *
 * Context: state lock held.
 */
void luo_pci_finish(struct luo_subsystem *sub, u64 data)
{
	struct luo_pci_device *dev, *tmp;
	ktime_t began;
	u64 number;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry_safe_reverse(dev, tmp, &luo_pci_devices, list) {
		if (!dev->came)
			continue;
		number = dev->came->data;
		began = ktime_get();
		if (!dev->pdev)
			luo_pci_stop_unclaimed(dev);
		else if (dev->claimed && dev->ops->finish)
			dev->ops->finish(dev->pdev, number);
		WRITE_ONCE(dev->came, NULL);
		WRITE_ONCE(dev->lost, NULL);
		WRITE_ONCE(dev->claimed, false);
		if (dev->pdev)
			luo_pci_step_done(dev, LUO_STEP_FINISH, began, 0);
		else
			luo_pci_node_free(dev);
	}
	if (luo_pci_in)
		kho_restore_free(luo_pci_in);
	luo_pci_in = NULL;
}
