// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: The way out
 *
 * reboot(KEXEC) passes three places where a module can take part:
 *
 * 1. liveupdate_reboot(), the kernel's own hook for its own orchestrator. A
 *    kprobe there sends the call to luo_reboot_veto(), whose error ends the
 *    system call before anything was shut down. This is the only veto.
 * 2. The reboot notifiers. Their answers are ignored, so this one only sees
 *    to it that a kexec without the kprobe freezes too, or hands over nothing.
 * 3. The dump of the kernel log just before the jump, when all other CPUs are
 *    stopped: what processes wrote since the freeze is taken in there, as far as
 *    that is possible without memory and locks, and the last time is stamped.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/reboot.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "luo_internal.h"

/* The kernel has passed the veto on its way into an image. */
static bool luo_reboot_kexec;

#ifdef CONFIG_KPROBES

/* Takes the place of liveupdate_reboot(), which has nothing to do then. */
static int luo_reboot_veto(void)
{
	int err = luo_leave();

	if (err) {
		pr_warn("kexec refused (%d)\n", err);
		module_put(THIS_MODULE);
	} else {
		WRITE_ONCE(luo_reboot_kexec, true);
	}
	return err;
}

static int luo_reboot_pre(struct kprobe *p, struct pt_regs *regs)
{
	/* What runs next may sleep, and the probe protects it no longer. */
	if (!try_module_get(THIS_MODULE))
		return 0;
	instruction_pointer_set(regs, (unsigned long)luo_reboot_veto);
	return 1;
}
NOKPROBE_SYMBOL(luo_reboot_pre);

/*
 * Does nothing, but without it the probe may be turned into a jump or an
 * ftrace callback that ignores the changed instruction pointer.
 */
static void luo_reboot_post(struct kprobe *p, struct pt_regs *regs,
			    unsigned long flags)
{
}
NOKPROBE_SYMBOL(luo_reboot_post);

static struct kprobe luo_reboot_probe = {
	.symbol_name = "liveupdate_reboot",
	.pre_handler = luo_reboot_pre,
	.post_handler = luo_reboot_post,
};

static bool luo_probe_on;

static int luo_probe_init(void)
{
	int err = register_kprobe(&luo_reboot_probe);

	WRITE_ONCE(luo_probe_on, !err);
	return err;
}

static void luo_probe_exit(void)
{
	if (!luo_probe_on)
		return;
	WRITE_ONCE(luo_probe_on, false);
	unregister_kprobe(&luo_reboot_probe);
}

/**
 * luo_reboot_veto_name - what can stop a kexec whose freeze is refused
 *
 * A registered probe is not enough: debugfs can take all probes of a machine
 * out of the code. Of one that stands on the function tracer that cannot be
 * seen.
 *
 * Context: may sleep.
 * Return: "kprobe", "kprobe-ftrace", or "none".
 */
const char *luo_reboot_veto_name(void)
{
	struct kprobe *p = &luo_reboot_probe;
	kprobe_opcode_t now;

	if (!READ_ONCE(luo_probe_on) || kprobe_disabled(p))
		return "none";
	if (kprobe_ftrace(p))
		return "kprobe-ftrace";
	if (copy_from_kernel_nofault(&now, p->addr, sizeof(now)) ||
	    now == p->opcode)
		return "none";
	return "kprobe";
}

#else /* !CONFIG_KPROBES */

static int luo_probe_init(void)
{
	return -EOPNOTSUPP;
}

static void luo_probe_exit(void)
{
}

const char *luo_reboot_veto_name(void)
{
	return "none";
}

#endif /* CONFIG_KPROBES */

/**
 * luo_reboot_is_kexec - is this kernel known to be on its way into an image?
 *
 * What the reboot notifiers are told does not say so: reboot(RESTART2) hands
 * them any words, those of a kexec too, and resets the machine.
 *
 * Context: any.
 * Return: true if so; false also where there is no kprobe to tell it.
 */
bool luo_reboot_is_kexec(void)
{
	return READ_ONCE(luo_reboot_kexec);
}

static int luo_reboot_notify(struct notifier_block *nb, unsigned long action,
			     void *cmd)
{
	if (action != SYS_RESTART || !cmd || strcmp(cmd, "kexec reboot"))
		return NOTIFY_DONE;

	/* A failed freeze has cancelled the update: the tree is empty. */
	if (luo_leave())
		pr_err("freeze failed too late to stop the kexec: nothing is handed over\n");

	luo_kho_stamp_jump();
	return NOTIFY_DONE;
}

static struct notifier_block luo_reboot_nb = {
	.notifier_call = luo_reboot_notify,
	.priority = INT_MAX,
};

static void luo_reboot_last(struct kmsg_dumper *dumper,
			    struct kmsg_dump_detail *detail)
{
	if (detail->reason != KMSG_DUMP_SHUTDOWN)
		return;
	luo_late();
	luo_kho_stamp_jump();
}

static struct kmsg_dumper luo_reboot_dumper = {
	.dump = luo_reboot_last,
	.max_reason = KMSG_DUMP_SHUTDOWN,
};

/**
 * luo_reboot_init - take part in reboot(KEXEC)
 *
 * Works with whatever of the three hooks this kernel has.
 */
void luo_reboot_init(void)
{
	int err;

	err = luo_probe_init();
	if (!strcmp(luo_reboot_veto_name(), "none"))
		pr_warn("no kprobe on the kexec path (%d): a refused freeze cannot stop a kexec, it will hand over nothing\n",
			err);
	register_reboot_notifier(&luo_reboot_nb);
	kmsg_dump_register(&luo_reboot_dumper);
}

/**
 * luo_reboot_exit - no longer take part
 */
void luo_reboot_exit(void)
{
	kmsg_dump_unregister(&luo_reboot_dumper);
	unregister_reboot_notifier(&luo_reboot_nb);
	luo_probe_exit();
}
