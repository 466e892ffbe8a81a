// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: The state machine
 *
 * One word says where the machine stands::
 *
 *              PREPARE              FREEZE, or reboot(KEXEC)
 *      normal ---------> prepared -------------------------> frozen
 *       ^  ^                |                                   |
 *       |  +----- CANCEL ---+------------- CANCEL --------------+
 *       |                                                       | kexec
 *       +------------------ FINISH -------- updated <===========+
 *
 * luo_lock covers every move and every change to the resources; restores
 * share it, each with a lock of its file besides. The word itself can be read
 * without it, so that a long PREPARE hides nothing. The reboot path takes the
 * lock unkillably: a kexec waits for the move that is under way and then finds
 * a whole state, never a half one.
 *
 * Once a kexec has passed its last veto nothing may change any more
 * (luo_leaving): tasks still run then, and a CANCEL in that moment would
 * empty a handover that is already on its way.
 *
 * The module stays pinned in every state but normal, so that what was pinned
 * or came over always has somebody to release it.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/kexec_handover.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/timex.h>
#include <linux/utsname.h>

#ifdef CONFIG_X86
#include <asm/tsc.h>
#endif

#include "luo_internal.h"

static DECLARE_RWSEM(luo_lock);
static enum liveupdate_state luo_state = LIVEUPDATE_STATE_NORMAL;
static bool luo_leaving;
static u64 luo_seq;

/* When the latest update did what, and which release it came from. */
struct luo_ser_times luo_times;
char luo_from_release[LUO_RELEASE_LEN];

atomic_long_t luo_counts[LUO_COUNTS];

static const char * const luo_state_names[] = {
	[LIVEUPDATE_STATE_NORMAL] = "normal",
	[LIVEUPDATE_STATE_PREPARED] = "prepared",
	[LIVEUPDATE_STATE_FROZEN] = "frozen",
	[LIVEUPDATE_STATE_UPDATED] = "updated",
};

/**
 * luo_cycles - the clock that runs on across a kexec
 *
 * Return: the raw cycle counter.
 */
u64 luo_cycles(void)
{
#ifdef CONFIG_X86
	return rdtsc_ordered();
#else
	return get_cycles();
#endif
}

static u64 luo_cycles_khz(void)
{
#ifdef CONFIG_X86
	return tsc_khz;
#else
	return 0;
#endif
}

/**
 * luo_state_get - where the machine stands
 *
 * Return: the state, also while a move is under way (the old one then).
 */
enum liveupdate_state luo_state_get(void)
{
	return READ_ONCE(luo_state);
}

/**
 * luo_state_name - the word for a state
 * @state: the state
 *
 * Return: a constant string.
 */
const char *luo_state_name(enum liveupdate_state state)
{
	return luo_state_names[state];
}

/**
 * luo_state_lock - begin a call that acts
 *
 * Return: 0 with the lock held, -EINTR if the caller is being killed, -EBUSY
 * if a kexec is on its way already.
 */
int luo_state_lock(void)
{
	if (down_write_killable(&luo_lock))
		return -EINTR;
	if (luo_leaving) {
		up_write(&luo_lock);
		return -EBUSY;
	}
	return 0;
}

/**
 * luo_state_lock_shared - begin a restore
 *
 * Restores of several files go on side by side, moves wait for them.
 *
 * Return: as luo_state_lock().
 */
int luo_state_lock_shared(void)
{
	if (down_read_killable(&luo_lock))
		return -EINTR;
	if (luo_leaving) {
		up_read(&luo_lock);
		return -EBUSY;
	}
	return 0;
}

/**
 * luo_state_unlock_shared - end a restore
 */
void luo_state_unlock_shared(void)
{
	up_read(&luo_lock);
}

/**
 * luo_state_lock_always - begin something that cannot be refused
 */
void luo_state_lock_always(void)
{
	down_write(&luo_lock);
}

/**
 * luo_state_open - may what takes part in an update change now?
 *
 * Context: state lock held.
 * Return: true in normal and updated, unless a kexec is on its way.
 */
bool luo_state_open(void)
{
	return !luo_leaving && (luo_state == LIVEUPDATE_STATE_NORMAL ||
				luo_state == LIVEUPDATE_STATE_UPDATED);
}

/**
 * luo_state_leaving - is a kexec on its way?
 *
 * Context: any.
 * Return: true once it has passed its last veto.
 */
bool luo_state_leaving(void)
{
	return READ_ONCE(luo_leaving);
}

/**
 * luo_state_unlock - end a call that acts
 */
void luo_state_unlock(void)
{
	up_write(&luo_lock);
}

/* The one place where the state changes: readable first, then announced. */
static void luo_state_set(enum liveupdate_state state)
{
	enum liveupdate_state old = luo_state;

	lockdep_assert_held_write(&luo_lock);

	if (old == LIVEUPDATE_STATE_NORMAL && state != old)
		__module_get(THIS_MODULE);

	WRITE_ONCE(luo_state, state);
	luo_sysfs_notify();
	luo_ioctl_moved(old, state, ++luo_seq);
	pr_info("%s -> %s\n", luo_state_name(old), luo_state_name(state));

	if (state == LIVEUPDATE_STATE_NORMAL && state != old)
		module_put(THIS_MODULE);
}

/**
 * luo_prepare - move from normal to prepared
 *
 * Context: state lock held.
 * Return: 0, -EINVAL from another state, or the error of the resource that
 * refused; the state is normal then and everything is undone.
 */
int luo_prepare(void)
{
	int err;

	if (luo_state != LIVEUPDATE_STATE_NORMAL)
		return -EINVAL;

	luo_times = (struct luo_ser_times) {
		.khz = luo_cycles_khz(),
		.prepare_begin = luo_cycles(),
	};

	luo_subsystems_begin();
	err = luo_kho_begin();
	if (err) {
		luo_count(LUO_COUNT_PREPARE_REFUSED);
		pr_warn("prepare refused (%d): the record could not be begun\n", err);
		return err;
	}

	err = luo_files_outgoing() ? luo_kho_spare() : 0;
	if (err)
		goto err_record;
	err = luo_files_prepare();
	if (err)
		goto err_record;
	err = luo_subsystems_prepare();
	if (err)
		goto err_files;

	luo_count(LUO_COUNT_PREPARE);
	luo_times.prepare_end = luo_cycles();
	luo_state_set(LIVEUPDATE_STATE_PREPARED);
	return 0;

err_files:
	luo_files_cancel();
err_record:
	luo_kho_abort();
	luo_count(LUO_COUNT_PREPARE_REFUSED);
	return err;
}

static void luo_undo(void)
{
	luo_subsystems_cancel();
	luo_files_cancel();
	luo_kho_abort();
	luo_state_set(LIVEUPDATE_STATE_NORMAL);
}

/**
 * luo_freeze - move from prepared to frozen
 *
 * Context: state lock held.
 * Return: 0, -EINVAL from another state, or the error of the resource that
 * refused; the update is cancelled then and the state is normal.
 */
int luo_freeze(void)
{
	int err;

	if (luo_state != LIVEUPDATE_STATE_PREPARED)
		return -EINVAL;

	luo_times.freeze_begin = luo_cycles();
	luo_times.freeze_end = 0;

	err = luo_files_freeze() ?: luo_subsystems_freeze();
	if (err) {
		luo_count(LUO_COUNT_FREEZE_REFUSED);
		luo_undo();
		return err;
	}

	luo_count(LUO_COUNT_FREEZE);
	luo_times.freeze_end = luo_cycles();
	luo_kho_commit();
	luo_state_set(LIVEUPDATE_STATE_FROZEN);
	return 0;
}

/*
 * A kexec follows a FREEZE that may have been long ago: take in what files got
 * since, or give all up.
 */
static int luo_freeze_again(void)
{
	int err = luo_files_freeze();

	if (err) {
		luo_count(LUO_COUNT_FREEZE_REFUSED);
		luo_undo();
		return err;
	}
	luo_kho_commit();
	return 0;
}

/**
 * luo_cancel - move from prepared or frozen back to normal
 *
 * Context: state lock held.
 * Return: 0, -EINVAL from another state, or -EBUSY if a kexec is on its way.
 */
int luo_cancel(void)
{
	if (luo_state != LIVEUPDATE_STATE_PREPARED &&
	    luo_state != LIVEUPDATE_STATE_FROZEN)
		return -EINVAL;
	if (luo_leaving)
		return -EBUSY;

	luo_count(LUO_COUNT_CANCEL);
	luo_undo();
	return 0;
}

/**
 * luo_finish - move from updated to normal
 *
 * What nobody but luo.ko holds is thrown away: what was never restored, and
 * what was restored by a process that is gone.
 *
 * Context: state lock held.
 * Return: 0, or -EINVAL from another state.
 */
int luo_finish(void)
{
	unsigned long lost;

	if (luo_state != LIVEUPDATE_STATE_UPDATED)
		return -EINVAL;

	lost = luo_incoming_lost();
	if (lost)
		pr_warn("finish discards %lu resources that nobody holds\n",
			lost);
	luo_count(LUO_COUNT_FINISH);
	luo_subsystems_finish();
	luo_incoming_finish();
	luo_kho_finish();
	luo_state_set(LIVEUPDATE_STATE_NORMAL);
	return 0;
}

/**
 * luo_leave - a kexec is about to leave this kernel
 *
 * Freezes what is still only prepared. After a return of 0 there is no way
 * back, and every later call that acts is refused. It may be called twice on
 * one way out.
 *
 * Context: the reboot system call, process context; takes the state lock.
 * Return: 0 if the kexec may go ahead, else why it must not.
 */
int luo_leave(void)
{
	unsigned long n;
	int err = 0;

	down_write(&luo_lock);
	if (luo_leaving)
		goto out;

	n = luo_files_outgoing();
	switch (luo_state) {
	case LIVEUPDATE_STATE_PREPARED:
		err = luo_freeze();
		break;
	case LIVEUPDATE_STATE_NORMAL:
		if (n)
			pr_warn("kexec in state normal: %lu preserved resources are not handed over\n",
				n);
		break;
	case LIVEUPDATE_STATE_UPDATED:
		pr_warn("kexec in state updated: nothing is handed over, what came with the last update is lost (%lu not restored)\n",
			luo_incoming_unrestored());
		break;
	case LIVEUPDATE_STATE_FROZEN:
		err = luo_freeze_again();
		break;
	}
	if (err)
		luo_count(LUO_COUNT_KEXEC_REFUSED);
	else
		WRITE_ONCE(luo_leaving, true);
out:
	up_write(&luo_lock);
	return err;
}

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
	 * Nobody may see a machine that was just updated in state normal, yet
	 * a handover can be taken only once, when nothing can fail any more.
	 * So it is announced first, and callers wait until it is taken. What
	 * that needs memory for comes before all: the next load finds a
	 * handover as it was if there is none, and an init that failed after
	 * the device was there would free this code while somebody waits in it.
	 */
	down_write(&luo_lock);
	if (luo_kho_peek())
		luo_state = LIVEUPDATE_STATE_UPDATED;

	err = luo_devices_init();
	if (err)
		goto err_unlock;
	err = luo_handler_register_locked(&luo_memfd_handler);
	if (err)
		goto err_devices;
	err = luo_kho_list();
	if (err)
		goto err_devices;
	err = luo_sysfs_init();
	if (err)
		goto err_incoming;
	err = luo_ioctl_init();
	if (err)
		goto err_sysfs;

	if (luo_kho_take()) {
		__module_get(THIS_MODULE);
		luo_sysfs_notify();
	} else if (luo_state != LIVEUPDATE_STATE_NORMAL) {
		WRITE_ONCE(luo_state, LIVEUPDATE_STATE_NORMAL);
		luo_sysfs_notify();
	}
	err = luo_pci_init();
	if (err)
		pr_err("no PCI device can take part (%d)\n", err);
	up_write(&luo_lock);

	luo_image_init();
	luo_memfd_init();
	luo_debugfs_init();
	luo_reboot_init();
	pr_info("loaded, state %s\n", luo_state_name(luo_state));
	return 0;

err_sysfs:
	luo_sysfs_exit();
err_incoming:
	luo_incoming_unlist();
err_devices:
	luo_devices_exit();
err_unlock:
	up_write(&luo_lock);
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
