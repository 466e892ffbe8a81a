// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: debugfs
 *
 * For whoever looks for a fault, in <debugfs>/luo, readable by root: what
 * would be handed over now, what each subsystem did, and how often what was
 * done. Nothing here is an interface that stays.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "luo_internal.h"

static struct dentry *luo_debugfs;

static const char * const luo_count_names[] = {
	[LUO_COUNT_PRESERVE] = "preserve",
	[LUO_COUNT_UNPRESERVE] = "unpreserve",
	[LUO_COUNT_PREPARE] = "prepare",
	[LUO_COUNT_PREPARE_REFUSED] = "prepare_refused",
	[LUO_COUNT_FREEZE] = "freeze",
	[LUO_COUNT_FREEZE_REFUSED] = "freeze_refused",
	[LUO_COUNT_CANCEL] = "cancel",
	[LUO_COUNT_RESTORE] = "restore",
	[LUO_COUNT_RESTORE_FAILED] = "restore_failed",
	[LUO_COUNT_FINISH] = "finish",
	[LUO_COUNT_KEXEC_REFUSED] = "kexec_refused",
};

/* A portion is of one moment; a long list can change between two of them. */
static void *handover_start(struct seq_file *m, loff_t *pos)
{
	if (luo_state_lock())
		return ERR_PTR(-EINTR);
	return seq_list_start_head(luo_files_list(), *pos);
}

static void *handover_next(struct seq_file *m, void *v, loff_t *pos)
{
	return seq_list_next(v, luo_files_list(), pos);
}

static void handover_stop(struct seq_file *m, void *v)
{
	if (!IS_ERR(v))
		luo_state_unlock();
}

static int handover_show(struct seq_file *m, void *v)
{
	struct luo_resource *res;
	u64 bytes, pages;

	if (v == luo_files_list()) {
		seq_printf(m, "compatible=%s state=%s files=%lu\n",
			   LUO_COMPATIBLE, luo_state_name(luo_state_get()),
			   luo_files_outgoing());
		return 0;
	}

	res = list_entry(v, struct luo_resource, list);
	luo_resource_size(res, &bytes, &pages);
	seq_printf(m, "token=%llu kind=%s handler=%s recorded=%s bytes=%llu pages=%llu pid=%d name=",
		   res->lf.token, res->handler->kind, res->handler->compatible,
		   res->ser && res->ser->ready ? "yes" : "no", bytes, pages,
		   res->pid);
	seq_escape_mem(m, res->name, strlen(res->name), ESCAPE_ANY_NP, " ");
	seq_putc(m, '\n');
	return 0;
}

static const struct seq_operations handover_sops = {
	.start = handover_start,
	.next = handover_next,
	.stop = handover_stop,
	.show = handover_show,
};
DEFINE_SEQ_ATTRIBUTE(handover);

static int participants_show(struct seq_file *m, void *v)
{
	int err = luo_state_lock();

	if (err)
		return err;
	luo_subsystems_show(m);
	luo_state_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(participants);

static int pci_show(struct seq_file *m, void *v)
{
	int err = luo_state_lock();

	if (err)
		return err;
	luo_pci_show(m);
	luo_state_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pci);

static int counters_show(struct seq_file *m, void *v)
{
	int i;

	for (i = 0; i < LUO_COUNTS; i++)
		seq_printf(m, "%s %ld\n", luo_count_names[i],
			   atomic_long_read(&luo_counts[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

/**
 * luo_debugfs_init - make the folder, if there is a debugfs
 */
void luo_debugfs_init(void)
{
	luo_debugfs = debugfs_create_dir("luo", NULL);
	debugfs_create_file("handover", 0400, luo_debugfs, NULL,
			    &handover_fops);
	debugfs_create_file("participants", 0400, luo_debugfs, NULL,
			    &participants_fops);
	debugfs_create_file("pci", 0400, luo_debugfs, NULL, &pci_fops);
	debugfs_create_file("counters", 0400, luo_debugfs, NULL,
			    &counters_fops);
}

/**
 * luo_debugfs_exit - remove the folder
 */
void luo_debugfs_exit(void)
{
	debugfs_remove(luo_debugfs);
}
