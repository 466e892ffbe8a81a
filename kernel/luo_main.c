// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Loading and unloading
 *
 * The one place that knows all parts, and in which order they come and go.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/kexec_handover.h>
#include <linux/module.h>

#include "luo_internal.h"

static int __init luo_init(void)
{
	int err;

	if (!kho_is_enabled()) {
		pr_err("not loaded: kexec handover is off (boot with kho=on, and see that its scratch memory was reserved)\n");
		return -EOPNOTSUPP;
	}

	if (luo_sysfs_device_taken()) {
		pr_err("not loaded: the kernel's own orchestrator has /dev/liveupdate (boot with liveupdate=off)\n");
		return -EBUSY;
	}

	/*
	 * What needs memory for what came is done before all that can be seen:
	 * the next load finds a handover as it was if there is none, and an
	 * init that failed after the device was there would free this code
	 * while somebody waits in it.
	 */
	luo_state_lock_always();
	luo_state_begin(luo_kho_peek() ? LIVEUPDATE_STATE_UPDATED :
					 LIVEUPDATE_STATE_NORMAL);

	err = luo_devices_init();
	if (err)
		goto err_unlock;
	err = luo_files_init();
	if (err)
		goto err_devices;
	err = luo_arrival_list();
	if (err)
		goto err_devices;
	err = luo_sysfs_init();
	if (err)
		goto err_incoming;
	err = luo_ioctl_init();
	if (err)
		goto err_sysfs;

	luo_state_found(luo_arrival_take() ? LIVEUPDATE_STATE_UPDATED :
					 LIVEUPDATE_STATE_NORMAL);
	err = luo_pci_init();
	if (err)
		pr_err("no PCI device can take part (%d)\n", err);
	luo_state_unlock();

	luo_image_init();
	luo_memfd_init();
	luo_debugfs_init();
	luo_reboot_init();
	pr_info("loaded, state %s\n", luo_state_name(luo_state_get()));
	return 0;

err_sysfs:
	luo_sysfs_exit();
err_incoming:
	luo_incoming_unlist();
err_devices:
	luo_devices_exit();
err_unlock:
	luo_state_unlock();
	pr_err("not loaded (%d)\n", err);
	return err;
}

static void __exit luo_exit(void)
{
	luo_reboot_exit();
	luo_debugfs_exit();
	luo_memfd_exit();
	luo_image_exit();
	/*
	 * The device goes last of the two: whoever hears of its going may look
	 * at the folder and must not find it. Nobody opens it any more.
	 */
	luo_sysfs_exit();
	luo_ioctl_exit();
	luo_subsystems_exit();
	luo_devices_exit();
}

module_init(luo_init);
module_exit(luo_exit);

MODULE_DESCRIPTION("Live Update Orchestrator, version 2, over kexec handover");
MODULE_LICENSE("GPL");
MODULE_INFO(luo_compatible, LUO_COMPATIBLE);
MODULE_INFO(luo_abi, LUO_ABI_TEXT);
