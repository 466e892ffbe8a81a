/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What luo.ko offers to drivers of PCI devices that go on running while the
 * kernel is exchanged.
 */
#ifndef _LUO_PCI_H
#define _LUO_PCI_H

#include <linux/types.h>

struct pci_dev;

/**
 * struct luo_pci_ops - what a driver does for a device that stays alive
 * @compatible: version of what the driver's number means and of the state in
 *	which it leaves the device; below LUO_COMPATIBLE_LEN bytes. A driver
 *	gets what came only if it says the same
 * @prepare: preserve by kexec handover (KHO) all memory that the device may
 *	touch or that the driver needs again; what is stored at *@data crosses.
 *	The device goes on working. Optional
 * @freeze: the last call before the kernel's shutdown, part of the blackout:
 *	begin nothing new from here on; may store another *@data. Optional
 * @cancel: undo @prepare and @freeze; called also if these failed; cannot
 *	fail. Optional
 * @finish: the update is over in the new kernel, for a device that was
 *	claimed: let go of what is no longer needed; cannot fail. Optional
 *
 * Context: process context under the state lock of luo.ko, which makes calls
 * into luo.ko from here a deadlock, and so is waiting for the device's lock.
 */
struct luo_pci_ops {
	const char *compatible;
	int (*prepare)(struct pci_dev *pdev, u64 *data);
	int (*freeze)(struct pci_dev *pdev, u64 *data);
	void (*cancel)(struct pci_dev *pdev, u64 data);
	void (*finish)(struct pci_dev *pdev, u64 data);
};

int luo_pci_register(struct pci_dev *pdev, const struct luo_pci_ops *ops);
void luo_pci_unregister(struct pci_dev *pdev);
bool luo_pci_keeps_running(struct pci_dev *pdev);
int luo_pci_incoming(struct pci_dev *pdev, const struct luo_pci_ops *ops,
		     u64 *data);

#endif /* _LUO_PCI_H */
