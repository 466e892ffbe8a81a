// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: A participant that fails to order
 *
 * Three subsystems, test-a, test-b and test-c, and one kind of file, for
 * tests and demonstrations of failure. What they answer, and how long they
 * take, is set at any time in /sys/module/luo_test/parameters:
 *
 * =================  ========================================================
 * prepare_result     three numbers: what each subsystem returns to PREPARE
 * freeze_result      the same for FREEZE
 * prepare_ms         three numbers: how long each takes, in milliseconds
 * freeze_ms          the same for FREEZE
 * data               three numbers that cross
 * came               read: what crossed; 0 where nothing came
 * file_result        what files answer to PRESERVE, PREPARE, FREEZE, RESTORE
 * init_result        given when loading: the module fails with it, registered
 * calls              read: who was called, in order; written: forget them
 * =================  ========================================================
 *
 * The files are those of /dev/luo-test: each keeps eight bytes, written and
 * read with pwrite() and pread().
 */
#define pr_fmt(fmt) "luo_test: " fmt

#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../luo.h"

#define LUO_TEST_SUBSYSTEMS	3
#define LUO_TEST_CALLS_LEN	(PAGE_SIZE - 256)

static int prepare_result[LUO_TEST_SUBSYSTEMS];
module_param_array(prepare_result, int, NULL, 0644);
static int freeze_result[LUO_TEST_SUBSYSTEMS];
module_param_array(freeze_result, int, NULL, 0644);
static unsigned int prepare_ms[LUO_TEST_SUBSYSTEMS];
module_param_array(prepare_ms, uint, NULL, 0644);
static unsigned int freeze_ms[LUO_TEST_SUBSYSTEMS];
module_param_array(freeze_ms, uint, NULL, 0644);
static ullong data[LUO_TEST_SUBSYSTEMS];
module_param_array(data, ullong, NULL, 0644);
static ullong came[LUO_TEST_SUBSYSTEMS];
module_param_array(came, ullong, NULL, 0444);
/* preserve, prepare, freeze, restore */
static int file_result[4];
module_param_array(file_result, int, NULL, 0644);

/* How loading ends, after the handler and the subsystems were registered. */
static int init_result;
module_param(init_result, int, 0444);

static DEFINE_MUTEX(luo_test_lock);
static char luo_test_calls[LUO_TEST_CALLS_LEN];

static void luo_test_called(const char *who, const char *what)
{
	size_t len;

	mutex_lock(&luo_test_lock);
	len = strlen(luo_test_calls);
	scnprintf(luo_test_calls + len, sizeof(luo_test_calls) - len,
		  "%s %s\n", who, what);
	mutex_unlock(&luo_test_lock);
}

static int calls_get(char *buffer, const struct kernel_param *kp)
{
	int len;

	mutex_lock(&luo_test_lock);
	len = sysfs_emit(buffer, "%s", luo_test_calls);
	mutex_unlock(&luo_test_lock);
	return len;
}

static int calls_set(const char *val, const struct kernel_param *kp)
{
	mutex_lock(&luo_test_lock);
	luo_test_calls[0] = '\0';
	mutex_unlock(&luo_test_lock);
	return 0;
}

static const struct kernel_param_ops calls_ops = {
	.get = calls_get,
	.set = calls_set,
};
module_param_cb(calls, &calls_ops, NULL, 0644);

static int luo_test_number(struct luo_subsystem *sub);

static int luo_test_prepare(struct luo_subsystem *sub, u64 *out)
{
	int i = luo_test_number(sub);

	luo_test_called(sub->name, "prepare");
	msleep(prepare_ms[i]);
	*out = data[i];
	return prepare_result[i];
}

static int luo_test_freeze(struct luo_subsystem *sub, u64 *out)
{
	int i = luo_test_number(sub);

	luo_test_called(sub->name, "freeze");
	msleep(freeze_ms[i]);
	*out = data[i];
	return freeze_result[i];
}

static void luo_test_cancel(struct luo_subsystem *sub, u64 out)
{
	luo_test_called(sub->name, "cancel");
}

static void luo_test_finish(struct luo_subsystem *sub, u64 in)
{
	luo_test_called(sub->name, "finish");
	came[luo_test_number(sub)] = 0;
}

static const struct luo_subsystem_ops luo_test_ops = {
	.prepare = luo_test_prepare,
	.freeze = luo_test_freeze,
	.cancel = luo_test_cancel,
	.finish = luo_test_finish,
};

/* Registered in another order than that in which they are called. */
static struct luo_subsystem luo_test_subsystems[LUO_TEST_SUBSYSTEMS] = {
	{ .name = "test-a", .order = 10, .owner = THIS_MODULE, .ops = &luo_test_ops },
	{ .name = "test-b", .order = 30, .owner = THIS_MODULE, .ops = &luo_test_ops },
	{ .name = "test-c", .order = 20, .owner = THIS_MODULE, .ops = &luo_test_ops },
};

static int luo_test_number(struct luo_subsystem *sub)
{
	return sub - luo_test_subsystems;
}

/* The files. What they hold is the u64 behind private_data. */

static ssize_t luo_test_read(struct file *file, char __user *buf, size_t len,
			     loff_t *pos)
{
	return simple_read_from_buffer(buf, len, pos, file->private_data,
				       sizeof(u64));
}

static ssize_t luo_test_write(struct file *file, const char __user *buf,
			      size_t len, loff_t *pos)
{
	return simple_write_to_buffer(file->private_data, sizeof(u64), pos,
				      buf, len);
}

static int luo_test_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static int luo_test_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc_obj(u64);
	return file->private_data ? 0 : -ENOMEM;
}

static const struct file_operations luo_test_fops = {
	.owner = THIS_MODULE,
	.open = luo_test_open,
	.release = luo_test_release,
	.read = luo_test_read,
	.write = luo_test_write,
	.llseek = noop_llseek,
};

static struct miscdevice luo_test_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "luo-test",
	.fops = &luo_test_fops,
	.mode = 0600,
};

static bool luo_test_file_can(struct file *file)
{
	return file->f_op == &luo_test_fops;
}

/* All of them share the inode of the device. */
static unsigned long luo_test_file_id(struct file *file)
{
	return (unsigned long)file->private_data;
}

static void luo_test_file_name(struct file *file, char *name, size_t len)
{
	strscpy(name, "luo-test", len);
}

static void luo_test_file_size(struct luo_file *lf, u64 *bytes, u64 *pages)
{
	*bytes = sizeof(u64);
	*pages = 0;
}

static int luo_test_file_preserve(struct luo_file *lf)
{
	luo_test_called("file", "preserve");
	return file_result[0];
}

static void luo_test_file_unpreserve(struct luo_file *lf)
{
	luo_test_called("file", "unpreserve");
}

static int luo_test_file_prepare(struct luo_file *lf)
{
	luo_test_called("file", "prepare");
	return file_result[1];
}

static int luo_test_file_freeze(struct luo_file *lf)
{
	luo_test_called("file", "freeze");
	memcpy(lf->record, lf->file->private_data, sizeof(u64));
	return file_result[2];
}

static void luo_test_file_cancel(struct luo_file *lf)
{
	luo_test_called("file", "cancel");
}

static int luo_test_file_restore(struct luo_file *lf, struct file **file)
{
	struct file *restored;
	void *value;

	luo_test_called("file", "restore");
	if (file_result[3])
		return file_result[3];

	value = kmemdup(lf->record, sizeof(u64), GFP_KERNEL);
	if (!value)
		return -ENOMEM;
	restored = anon_inode_getfile_fmode("[luo-test]", &luo_test_fops,
					    value, O_RDWR,
					    FMODE_PREAD | FMODE_PWRITE);
	if (IS_ERR(restored)) {
		kfree(value);
		return PTR_ERR(restored);
	}
	*file = restored;
	return 0;
}

static void luo_test_file_finish(struct luo_file *lf)
{
	luo_test_called("file", "finish");
}

static const struct luo_file_ops luo_test_file_ops = {
	.can_preserve = luo_test_file_can,
	.id = luo_test_file_id,
	.name = luo_test_file_name,
	.size = luo_test_file_size,
	.preserve = luo_test_file_preserve,
	.unpreserve = luo_test_file_unpreserve,
	.prepare = luo_test_file_prepare,
	.freeze = luo_test_file_freeze,
	.cancel = luo_test_file_cancel,
	.restore = luo_test_file_restore,
	.finish = luo_test_file_finish,
};

static struct luo_file_handler luo_test_handler = {
	.compatible = "test-v1",
	.kind = "test",
	.owner = THIS_MODULE,
	.ops = &luo_test_file_ops,
};

static int __init luo_test_init(void)
{
	int err, i;

	err = luo_register_file_handler(&luo_test_handler);
	if (err)
		return err;

	for (i = 0; i < LUO_TEST_SUBSYSTEMS; i++) {
		err = luo_register_subsystem(&luo_test_subsystems[i]);
		if (err)
			goto err_subsystems;
		if (luo_subsystem_data(&luo_test_subsystems[i], &came[i]))
			came[i] = 0;
	}

	err = init_result;
	if (err)
		goto err_subsystems;
	/* From here on there can be files, and they need the handler. */
	err = misc_register(&luo_test_misc);
	if (err)
		goto err_subsystems;
	return 0;

err_subsystems:
	while (i--)
		luo_unregister_subsystem(&luo_test_subsystems[i]);
	/* Nothing was preserved yet that could keep it. */
	WARN_ON(luo_unregister_file_handler(&luo_test_handler));
	return err;
}

static void __exit luo_test_exit(void)
{
	int i;

	misc_deregister(&luo_test_misc);
	for (i = LUO_TEST_SUBSYSTEMS - 1; i >= 0; i--)
		luo_unregister_subsystem(&luo_test_subsystems[i]);
	/* Every preserved file pins this module. */
	WARN_ON(luo_unregister_file_handler(&luo_test_handler));
}

module_init(luo_test_init);
module_exit(luo_test_exit);

MODULE_DESCRIPTION("Participant of live updates that fails to order");
MODULE_LICENSE("GPL");
