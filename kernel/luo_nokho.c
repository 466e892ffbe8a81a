// SPDX-License-Identifier: GPL-2.0
/*
 * What luo.ko is on a kernel without kexec handover. Packages build modules for
 * every kernel of a machine; for such a one there is nothing to build upon, and
 * whoever loads the module learns it instead of a compiler's log.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

static int __init luo_nokho_init(void)
{
	pr_err("no live updates with this kernel: CONFIG_KEXEC_HANDOVER is off, or it is older than Linux 7.2\n");
	return -EOPNOTSUPP;
}
module_init(luo_nokho_init);

MODULE_DESCRIPTION("Live Update Orchestrator v2, on a kernel without kexec handover");
MODULE_LICENSE("GPL");
