// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: /dev/liveupdate
 *
 * The device keeps nothing of its own: any number of processes may have it
 * open, and closing it changes nothing. What a call may do is decided by the
 * state and by the caller's capability at that moment, not by who opened the
 * device: an inherited descriptor gives no right to act. Reading the state
 * needs an open descriptor only, and opening for reading only needs no
 * capability, so that a group can be let in to watch.
 *
 * Answers are copied to the caller while the state lock is held. A caller
 * that cannot take its answer has then changed nothing that others saw.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/uaccess.h>

#include "luo_internal.h"

static int luo_open(struct inode *inode, struct file *filp)
{
	/* Who can only read can only ask: the mode of the node decides. */
	if ((filp->f_mode & FMODE_WRITE) && !capable(CAP_SYS_ADMIN))
		return -EACCES;
	/* Reserved for a future exclusive owner. */
	if (filp->f_flags & O_EXCL)
		return -EINVAL;
	return 0;
}

static int luo_ioctl_preserve(struct liveupdate_fd __user *uarg)
{
	struct liveupdate_fd arg;
	struct file *file;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.flags)
		return -EINVAL;

	err = luo_state_lock();
	if (err)
		return err;

	if (!luo_state_open()) {
		err = -EBUSY;
		goto out_unlock;
	}

	file = fget(arg.fd);
	if (!file) {
		err = -EBADF;
		goto out_unlock;
	}

	err = luo_files_preserve(file, &arg.token);
	if (!err && copy_to_user(uarg, &arg, sizeof(arg))) {
		luo_files_unpreserve(arg.token);
		err = -EFAULT;
	}
	fput(file);
out_unlock:
	luo_state_unlock();
	return err;
}

static int luo_ioctl_unpreserve(__u64 __user *uarg)
{
	u64 token;
	int err;

	if (copy_from_user(&token, uarg, sizeof(token)))
		return -EFAULT;

	err = luo_state_lock();
	if (err)
		return err;

	if (!luo_state_open())
		err = -EBUSY;
	else
		err = luo_files_unpreserve(token);
	luo_state_unlock();
	return err;
}

static int luo_ioctl_restore(struct liveupdate_fd __user *uarg)
{
	struct liveupdate_fd arg;
	struct file *file;
	int fd, err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.flags)
		return -EINVAL;

	err = luo_state_lock_shared();
	if (err)
		return err;

	if (luo_state_get() != LIVEUPDATE_STATE_UPDATED) {
		err = -EBUSY;
		goto out_unlock;
	}

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto out_unlock;
	}

	err = luo_incoming_restore(arg.token, &file);
	if (err)
		goto out_fd;

	/* It is not restored yet for who cannot take the answer. */
	arg.fd = fd;
	if (copy_to_user(uarg, &arg, sizeof(arg))) {
		err = -EFAULT;
		goto out_file;
	}

	luo_incoming_restored(arg.token);
	fd_install(fd, file);
	luo_state_unlock_shared();
	return 0;

out_file:
	fput(file);
out_fd:
	put_unused_fd(fd);
out_unlock:
	luo_state_unlock_shared();
	return err;
}

static int luo_ioctl_event(int (*move)(void))
{
	int err = luo_state_lock();

	if (err)
		return err;
	err = move();
	luo_state_unlock();
	return err;
}

static long luo_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case LIVEUPDATE_IOCTL_GET_STATE:
		return put_user((int)luo_state_get(), (int __user *)uarg);
	case LIVEUPDATE_IOCTL_FD_PRESERVE:
	case LIVEUPDATE_IOCTL_FD_UNPRESERVE:
	case LIVEUPDATE_IOCTL_FD_RESTORE:
	case LIVEUPDATE_IOCTL_EVENT_PREPARE:
	case LIVEUPDATE_IOCTL_EVENT_FREEZE:
	case LIVEUPDATE_IOCTL_EVENT_CANCEL:
	case LIVEUPDATE_IOCTL_EVENT_FINISH:
		break;
	default:
		return -ENOTTY;
	}

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;

	switch (cmd) {
	case LIVEUPDATE_IOCTL_FD_PRESERVE:
		return luo_ioctl_preserve(uarg);
	case LIVEUPDATE_IOCTL_FD_UNPRESERVE:
		return luo_ioctl_unpreserve(uarg);
	case LIVEUPDATE_IOCTL_FD_RESTORE:
		return luo_ioctl_restore(uarg);
	case LIVEUPDATE_IOCTL_EVENT_PREPARE:
		return luo_ioctl_event(luo_prepare);
	case LIVEUPDATE_IOCTL_EVENT_FREEZE:
		return luo_ioctl_event(luo_freeze);
	case LIVEUPDATE_IOCTL_EVENT_CANCEL:
		return luo_ioctl_event(luo_cancel);
	default:
		return luo_ioctl_event(luo_finish);
	}
}

static const struct file_operations luo_fops = {
	.owner = THIS_MODULE,
	.open = luo_open,
	.unlocked_ioctl = luo_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice luo_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "liveupdate",
	.fops = &luo_fops,
	.mode = 0600,
};

/*
 * Tell who listens to the device's events of a move. Whoever misses an event
 * because memory ran out still finds the state in sysfs, whose poll(2) needs none.
 */
static int luo_ioctl_moved(struct notifier_block *nb, unsigned long state,
			   void *data)
{
	const struct luo_move *move = data;
	char now[32], was[32], number[32];
	char *envp[4] = { now, was, number, };

	if (move->from == move->to)
		return NOTIFY_DONE;
	snprintf(now, sizeof(now), "LUO_STATE=%s", luo_state_name(move->to));
	snprintf(was, sizeof(was), "LUO_PREVIOUS=%s",
		 luo_state_name(move->from));
	snprintf(number, sizeof(number), "LUO_SEQ=%llu", move->seq);
	kobject_uevent_env(&luo_misc.this_device->kobj, KOBJ_CHANGE, envp);
	return NOTIFY_OK;
}

static struct notifier_block luo_ioctl_nb = {
	.notifier_call = luo_ioctl_moved,
};

/**
 * luo_ioctl_init - make the device appear
 *
 * Return: 0 or an error.
 */
int luo_ioctl_init(void)
{
	int err = misc_register(&luo_misc);

	if (!err)
		luo_moves_listen(&luo_ioctl_nb);
	return err;
}

/**
 * luo_ioctl_exit - make the device go
 */
void luo_ioctl_exit(void)
{
	luo_moves_ignore(&luo_ioctl_nb);
	misc_deregister(&luo_misc);
}
