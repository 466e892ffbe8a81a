/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files about PCI devices share with each other.
 */
#ifndef _LUO_PCI_INTERNAL_H
#define _LUO_PCI_INTERNAL_H

#include <linux/pci.h>

#include "luo_internal.h"
#include "luo_pci.h"

/*
 * Frozen after, and finished before, subsystems of an ordinary order: what
 * their memory holds may be the work of a device.
 */
#define LUO_PCI_ORDER		1000

/**
 * struct luo_pci_device - a device whose driver takes part, or that came
 * @timed: its device in the class, which also owns this memory
 * @list: in the list of all
 * @domain: PCI domain
 * @slot: bus, device and function
 * @pdev: the device, as long as its driver is registered; NULL otherwise
 * @ops: what that driver does
 * @refused: why it cannot take part; NULL if it can
 * @ser: its record, between prepare and cancel
 * @frozen: freeze was called after prepare
 * @came: its record, from arrival to finish
 * @lost: why what came cannot be used; NULL if it can
 * @claimed: the driver has taken over what came
 * @driver: name of its driver, printable
 */
struct luo_pci_device {
	struct luo_timed_node timed;
	struct list_head list;
	u32 domain;
	u16 slot;
	struct pci_dev *pdev;
	const struct luo_pci_ops *ops;
	const char *refused;
	struct luo_ser_pci_device *ser;
	bool frozen;
	struct luo_ser_pci_device *came;
	const char *lost;
	bool claimed;
	char driver[LUO_PCI_DRIVER_LEN];
};

/* luo_pci.c */
extern struct list_head luo_pci_devices;

const char *luo_pci_unfit(struct pci_dev *pdev);
struct luo_pci_device *luo_pci_find(struct pci_dev *pdev);
void luo_pci_read(struct pci_dev *pdev, struct luo_ser_pci_device *ser);
void luo_pci_step_done(struct luo_pci_device *dev, enum luo_step_kind step,
		       ktime_t began, int err);

/* luo_pci_incoming.c */
void luo_pci_take(u64 data);
void luo_pci_finish(struct luo_subsystem *sub, u64 data);

/* luo_pci_node.c */
struct luo_pci_device *luo_pci_node_new(u32 domain, u16 slot,
					const char *driver);
void luo_pci_node_driver(struct luo_pci_device *dev, const char *driver);
void luo_pci_node_free(struct luo_pci_device *dev);

#endif /* _LUO_PCI_INTERNAL_H */
