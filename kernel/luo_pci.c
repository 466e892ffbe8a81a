// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: PCI devices that stay alive
 *
 * A driver that takes part keeps its device running through shutdown and
 * kexec, with its registers, its transfers in flight and the memory that they
 * go to, and the same driver in the new kernel takes it over without a reset::
 *
 *      probe      luo_pci_incoming(): has it come over alive? Asked before
 *                 the device is enabled or touched
 *                 luo_pci_register(), when the driver is ready
 *      PREPARE    prepare(): preserve the memory that the device may touch
 *      FREEZE     freeze(): begin nothing new
 *      shutdown   luo_pci_keeps_running(): if so, leave the device alone
 *      --- kexec ---
 *      probe      luo_pci_incoming(): this is the number that came
 *      FINISH     finish()
 *      remove     luo_pci_unregister(), first of all
 *
 * A device takes part only where nothing between it and memory changes on the
 * way: a kexec takes bus mastering from every bridge and switches translating
 * IOMMUs off. Whoever sits behind one is refused, and listed with the reason.
 *
 * From shutdown to the claim no interrupt comes: those that happen meanwhile
 * can be seen in the device alone. Once it has claimed it, the driver sets up
 * interrupts as ever and looks at its device of its own accord.
 *
 * A device that does not take part is shut down and set up anew as ever.
 *
 * Left running for a kernel that knows nothing of the handover, a device would
 * write into that kernel's memory. So taking part is experimental and asked for
 * when this module is loaded, and a device is left running only on the way into
 * an image that is known to carry the handover.
 */
#define pr_fmt(fmt) "luo: " fmt
#define dev_fmt(fmt) "luo: " fmt

#include <linux/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pm_runtime.h>
#include <linux/string.h>

#include "luo_pci_internal.h"

/* All devices that are shown, under the state lock. */
LIST_HEAD(luo_pci_devices);

static_assert(sizeof(struct luo_ser_pci) >= LUO_PCI_LEAST);
static_assert(LUO_PCI_BARS == PCI_STD_NUM_BARS);

static bool luo_pci_wanted;
module_param_named(experimental_pci, luo_pci_wanted, bool, 0444);
MODULE_PARM_DESC(experimental_pci, "Let PCI devices go on running through a kexec (experimental; default: N)");

/* The records, from prepare to cancel or jump. */
static struct luo_ser_pci *luo_pci_out;

/* The records are as they shall arrive, for now. */
static void luo_pci_seal(void)
{
	luo_pci_out->crc = luo_pci_crc(&luo_here, luo_pci_out);
}

/**
 * luo_pci_unfit - why a device cannot stay alive where it is
 * @pdev: the device
 *
 * Return: the reason, or NULL if it can.
 */
const char *luo_pci_unfit(struct pci_dev *pdev)
{
#ifdef CONFIG_IOMMU_API
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);

	if (domain && domain->type != IOMMU_DOMAIN_IDENTITY)
		return "an IOMMU translates its addresses";
#endif
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return "it is a bridge";
	if (pdev->is_virtfn)
		return "it is a virtual function";
	if (!pci_is_root_bus(pdev->bus))
		return "it is behind a bridge";
	return NULL;
}

/* Why no device at all may take part. */
static const char *luo_pci_why_none(void)
{
	if (!luo_pci_wanted)
		return "experimental, and luo.ko was loaded without experimental_pci=1";
	if (!luo_image_known() || !strcmp(luo_reboot_veto_name(), "none"))
		return "no kprobe tells whether a kexec hands over";
	return NULL;
}

/**
 * luo_pci_find - look a device up
 * @pdev: the device
 *
 * Context: state lock held.
 * Return: what is known of it, or NULL.
 */
struct luo_pci_device *luo_pci_find(struct pci_dev *pdev)
{
	struct luo_pci_device *dev;

	lockdep_assert_held_write(&luo_lock);

	list_for_each_entry(dev, &luo_pci_devices, list) {
		if (dev->domain == pci_domain_nr(pdev->bus) &&
		    dev->slot == pci_dev_id(pdev))
			return dev;
	}
	return NULL;
}

/**
 * luo_pci_read - note what a device is and where it answers
 * @pdev: the device
 * @ser: its record
 */
void luo_pci_read(struct pci_dev *pdev, struct luo_ser_pci_device *ser)
{
	int i;

	ser->domain = pci_domain_nr(pdev->bus);
	ser->slot = pci_dev_id(pdev);
	pci_read_config_word(pdev, PCI_VENDOR_ID, &ser->vendor);
	pci_read_config_word(pdev, PCI_DEVICE_ID, &ser->device);
	pci_read_config_word(pdev, PCI_SUBSYSTEM_VENDOR_ID, &ser->sub_vendor);
	pci_read_config_word(pdev, PCI_SUBSYSTEM_ID, &ser->sub_device);
	pci_read_config_dword(pdev, PCI_CLASS_REVISION, &ser->class_revision);
	pci_read_config_word(pdev, PCI_COMMAND, &ser->command);
	for (i = 0; i < PCI_STD_NUM_BARS; i++)
		pci_read_config_dword(pdev, PCI_BASE_ADDRESS_0 + 4 * i,
				      &ser->bars[i]);
}

/**
 * luo_pci_step_done - note and announce how a call of a driver went
 * @dev: the device
 * @step: the call
 * @began: when it began
 * @err: what it returned
 */
void luo_pci_step_done(struct luo_pci_device *dev, enum luo_step_kind step,
		       ktime_t began, int err)
{
	if (err)
		pci_warn(dev->pdev, "%s refused (%d) by driver %s\n",
			 luo_step_name(step), err, dev->driver);
	luo_timed_done(&dev->timed, step, began, err);
}

/**
 * luo_pci_register - let a device take part in updates from now on
 * @pdev: a device whose driver is ready for all calls in @ops
 * @ops: what the driver does; must stay until luo_pci_unregister()
 *
 * A device that cannot stay alive is refused: a line in the kernel's log and
 * its entry in the class say why. The driver goes on without, and its device
 * is reset in an update as ever. Whatever this returns, luo_pci_unregister()
 * ends it.
 *
 * While an update is prepared or frozen a device can register too, but it
 * takes part only from the next one on.
 *
 * Context: may sleep; from probe, or any time until remove.
 * Return: 0; -EOPNOTSUPP if the device cannot take part; -EINVAL if
 * @ops->compatible is missing or too long; -EEXIST if it is registered;
 * -ENOMEM, or another error.
 */
int luo_pci_register(struct pci_dev *pdev, const struct luo_pci_ops *ops)
{
	const char *reason = luo_pci_why_none() ?: luo_pci_unfit(pdev);
	struct luo_pci_device *dev;
	int err = 0;

	if (!ops->compatible || !*ops->compatible ||
	    strlen(ops->compatible) >= LUO_COMPATIBLE_LEN)
		return -EINVAL;

	luo_state_lock_always();
	dev = luo_pci_find(pdev);
	if (dev && dev->pdev) {
		err = -EEXIST;
		goto out;
	}
	if (!dev) {
		dev = luo_pci_node_new(pci_domain_nr(pdev->bus),
				       pci_dev_id(pdev),
				       dev_driver_string(&pdev->dev));
		if (IS_ERR(dev)) {
			err = PTR_ERR(dev);
			goto out;
		}
	}
	luo_pci_node_driver(dev, dev_driver_string(&pdev->dev));
	dev->pdev = pdev;
	dev->ops = ops;
	WRITE_ONCE(dev->refused, reason);
	if (reason) {
		pci_warn(pdev, "takes no part in live updates: %s\n", reason);
		err = -EOPNOTSUPP;
	}
	WRITE_ONCE(dev->timed.result, err);
	luo_node_changed(&dev->timed.node);
out:
	luo_state_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(luo_pci_register);

/**
 * luo_pci_unregister - a driver lets go of its device
 * @pdev: the device; nothing happens if it is not registered
 *
 * Remove calls this before it touches anything. An update under way counts on
 * the device, so it is cancelled first; @ops->cancel is called then. What came
 * for the device and was not claimed stays until FINISH.
 *
 * Context: may sleep; not from a callback.
 */
void luo_pci_unregister(struct pci_dev *pdev)
{
	struct luo_pci_device *dev;

	luo_state_lock_always();
	dev = luo_pci_find(pdev);
	if (!dev || !dev->pdev)
		goto out;

	if (dev->ser) {
		pci_warn(pdev, "its driver lets go while an update is under way\n");
		if (luo_cancel()) {
			/* With the kexec on its way only the record is left. */
			dev->ser->kept = 0;
			luo_pci_seal();
			WRITE_ONCE(dev->ser, NULL);
		}
	}
	dev->pdev = NULL;
	dev->ops = NULL;
	WRITE_ONCE(dev->refused, NULL);
	if (dev->came)
		luo_node_changed(&dev->timed.node);
	else
		luo_pci_node_free(dev);
out:
	luo_state_unlock();
}
EXPORT_SYMBOL_GPL(luo_pci_unregister);

/* A message to a vector of the old kernel would surprise the new one. */
static void luo_pci_silence(struct pci_dev *pdev)
{
	u16 flags;
	u8 pos;

	pci_intx(pdev, false);
	pos = pci_find_capability(pdev, PCI_CAP_ID_MSI);
	if (pos) {
		pci_read_config_word(pdev, pos + PCI_MSI_FLAGS, &flags);
		pci_write_config_word(pdev, pos + PCI_MSI_FLAGS,
				      flags & ~PCI_MSI_FLAGS_ENABLE);
	}
	pos = pci_find_capability(pdev, PCI_CAP_ID_MSIX);
	if (pos) {
		pci_read_config_word(pdev, pos + PCI_MSIX_FLAGS, &flags);
		pci_write_config_word(pdev, pos + PCI_MSIX_FLAGS,
				      flags & ~PCI_MSIX_FLAGS_ENABLE);
	}
}

/**
 * luo_pci_keeps_running - must shutdown leave this device alone?
 * @pdev: the device
 *
 * A driver asks from its shutdown, every time, and only there. If the answer
 * is yes the device goes to the next kernel as it is: the driver changes
 * nothing any more that it would not change while the device runs. Its
 * interrupts are off already.
 *
 * Context: the driver's shutdown, may sleep.
 * Return: true if a frozen update is leaving this kernel, in an image that is
 * known to carry the handover, and takes the device along; false if it is to be
 * shut down as ever.
 */
bool luo_pci_keeps_running(struct pci_dev *pdev)
{
	struct luo_pci_device *dev;
	bool keeps = false;

	/* A shutdown that is no kexec must not wait for anybody. */
	if (!luo_state_leaving())
		return false;

	luo_state_lock_always();
	dev = luo_pci_find(pdev);
	if (!dev || !dev->ser || !dev->frozen)
		goto out;
	if (!luo_reboot_is_kexec() || !luo_image_carries()) {
		pci_warn(pdev, "shut down: what follows is not known to take the handover\n");
	} else {
		luo_pci_silence(pdev);
		/* The bus would switch off bus mastering in a known state. */
		pdev->current_state = PCI_UNKNOWN;
		luo_pci_read(pdev, dev->ser);
		dev->ser->kept = 1;
		luo_pci_seal();
		keeps = true;
		pci_info(pdev, "left running\n");
	}
out:
	luo_state_unlock();
	return keeps;
}
EXPORT_SYMBOL_GPL(luo_pci_keeps_running);

static int luo_pci_prepare_one(struct luo_pci_device *dev)
{
	struct luo_ser_pci_device *ser = &luo_pci_out->devices[luo_pci_out->nr];
	struct module *owner = dev->pdev->dev.driver->owner;
	ktime_t began = ktime_get();
	int err;

	/* One whose driver is going takes part no more. */
	if (!try_module_get(owner))
		return 0;
	luo_pci_out->nr++;
	strscpy(ser->compatible, dev->ops->compatible);
	strscpy(ser->driver, dev->driver);
	/* Awake from here to cancel or jump: shutdown would wake it anyway. */
	pm_runtime_get_sync(&dev->pdev->dev);
	luo_pci_read(dev->pdev, ser);

	luo_timed_forget(&dev->timed);
	dev->frozen = false;
	WRITE_ONCE(dev->ser, ser);
	err = pci_device_is_present(dev->pdev) ? 0 : -ENODEV;
	if (!err && dev->ops->prepare)
		err = dev->ops->prepare(dev->pdev, &ser->data);
	luo_pci_step_done(dev, LUO_STEP_PREPARE, began, err);
	return err;
}

static bool luo_pci_takes_part(const struct luo_pci_device *dev)
{
	return dev->pdev && !dev->refused;
}

static int luo_pci_prepare(struct luo_subsystem *sub, u64 *data)
{
	struct luo_pci_device *dev;
	unsigned long nr = 0;
	int err;

	list_for_each_entry(dev, &luo_pci_devices, list)
		nr += luo_pci_takes_part(dev);
	if (!nr)
		return 0;
	if (nr > LUO_PCI_MAX)
		return -E2BIG;

	luo_pci_out = kho_alloc_preserve(struct_size(luo_pci_out, devices, nr));
	if (IS_ERR(luo_pci_out)) {
		err = PTR_ERR(luo_pci_out);
		luo_pci_out = NULL;
		return err;
	}
	luo_pci_out->head = (struct luo_ser_head) {
		.size = struct_size(luo_pci_out, devices, nr),
		.version = LUO_PCI_VERSION,
		.needs = LUO_PCI_NEEDS,
	};
	luo_pci_out->device_size = sizeof(luo_pci_out->devices[0]);
	list_for_each_entry(dev, &luo_pci_devices, list) {
		err = luo_pci_takes_part(dev) ? luo_pci_prepare_one(dev) : 0;
		if (err)
			return err;
	}
	luo_pci_seal();
	*data = virt_to_phys(luo_pci_out);
	return 0;
}

static int luo_pci_freeze(struct luo_subsystem *sub, u64 *data)
{
	struct luo_pci_device *dev;
	ktime_t began;
	int err;

	list_for_each_entry(dev, &luo_pci_devices, list) {
		if (!dev->ser)
			continue;
		began = ktime_get();
		/* One that was pulled out may not have told anybody yet. */
		err = pci_device_is_present(dev->pdev) ? 0 : -ENODEV;
		if (!err && dev->ops->freeze)
			err = dev->ops->freeze(dev->pdev, &dev->ser->data);
		WRITE_ONCE(dev->frozen, !err);
		luo_pci_step_done(dev, LUO_STEP_FREEZE, began, err);
		if (err)
			return err;
	}
	if (luo_pci_out)
		luo_pci_seal();
	return 0;
}

static void luo_pci_cancel(struct luo_subsystem *sub, u64 data)
{
	struct luo_pci_device *dev;
	ktime_t began;

	list_for_each_entry_reverse(dev, &luo_pci_devices, list) {
		if (!dev->ser)
			continue;
		began = ktime_get();
		if (dev->ops->cancel)
			dev->ops->cancel(dev->pdev, dev->ser->data);
		WRITE_ONCE(dev->ser, NULL);
		luo_pci_step_done(dev, LUO_STEP_CANCEL, began, 0);
		pm_runtime_put(&dev->pdev->dev);
		module_put(dev->pdev->dev.driver->owner);
	}
	kho_unpreserve_free(luo_pci_out);
	luo_pci_out = NULL;
}

static const struct luo_subsystem_ops luo_pci_subsystem_ops = {
	.prepare = luo_pci_prepare,
	.freeze = luo_pci_freeze,
	.cancel = luo_pci_cancel,
	.finish = luo_pci_finish,
};

static struct luo_subsystem luo_pci_subsystem = {
	.name = LUO_PCI_SUBSYSTEM,
	.order = LUO_PCI_ORDER,
	.owner = THIS_MODULE,
	.ops = &luo_pci_subsystem_ops,
};

/**
 * luo_pci_init - take part, and take what came
 *
 * Context: state lock held, what came is taken.
 * Return: 0 or an error; devices are reset as ever then.
 */
int luo_pci_init(void)
{
	u64 data;
	int err;

	lockdep_assert_held_write(&luo_lock);

	err = luo_subsystem_register_locked(&luo_pci_subsystem);
	if (err)
		return err;
	if (!luo_subsystem_data_locked(&luo_pci_subsystem, &data) && data)
		luo_pci_take(data);
	return 0;
}
