// SPDX-License-Identifier: MIT
/*
 * Damages what crosses the next kexec, as the very last act of this kernel: some bytes in
 * the root of a handover, in the list of its files, or in a list of folios. Nothing makes
 * the checksums right again. Loaded before PREPARE, of an update that is not cancelled.
 */
#define pr_fmt(fmt) "damage: " fmt

#include <linux/io.h>
#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/string.h>

#include "luo_abi.h"

#define PAGES 64

static unsigned long seed = 1;
module_param(seed, ulong, 0);

static struct luo_ser_root *root;
static u8 *pages[PAGES];
static unsigned int nr_pages;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int added(struct kprobe *p, struct pt_regs *regs)
{
	if (!strcmp((char *)regs_get_kernel_argument(regs, 0), LUO_KHO_SUBTREE))
		root = (void *)regs_get_kernel_argument(regs, 1);
	return 0;
}
NOKPROBE_SYMBOL(added);

static struct kprobe probe = {
	.symbol_name = "kho_add_subtree",
	.pre_handler = added,
};

static void collect(u64 phys)
{
	struct luo_ser_page *page;

	for (; phys && nr_pages < PAGES; phys = page->next) {
		page = phys_to_virt(phys);
		pages[nr_pages++] = (u8 *)page;
	}
}

static void collect_all(void)
{
	struct luo_ser_page *page;
	struct luo_ser_file *file;
	u64 phys;
	u32 i;

	pages[nr_pages++] = (u8 *)root;
	collect(root->files);
	for (phys = root->files; phys; phys = page->next) {
		page = phys_to_virt(phys);
		for (i = 0; i < page->nr; i++) {
			file = (void *)(page->entries + i * root->file_size);
			if (!strcmp(file->handler, LUO_MEMFD_COMPATIBLE))
				collect(((struct luo_ser_memfd *)file->data)->folios);
		}
	}
}

static void change(u8 *page, unsigned int off)
{
	u32 *word = (u32 *)(page + off / 4 * 4);
	u64 *other = (u64 *)(page + rnd() % LUO_SER_PAGE / 8 * 8);
	u64 *one = (u64 *)(page + off / 8 * 8);
	u64 was = *one;

	switch (rnd() % 5) {
	case 0:
		page[off] ^= 1 << rnd() % 8;
		break;
	case 1:
		*word += rnd() % 2 ? 1 : -1;
		break;
	case 2:
		*word = rnd() % 2 ? ~0 : rnd();
		break;
	case 3:
		*one = *other;
		*other = was;
		break;
	default:
		memset(page + off, 0, LUO_SER_PAGE - off);
		break;
	}
}

/* After luo.ko's own, which writes for the last time. All other CPUs are stopped. */
static void last(struct kmsg_dumper *dumper, struct kmsg_dump_detail *detail)
{
	unsigned int n, page, off;

	if (detail->reason != KMSG_DUMP_SHUTDOWN || !root)
		return;
	collect_all();
	for (n = 1 + rnd() % 3; n; n--) {
		page = rnd() % nr_pages;
		/* Entries fill the front of a page more often than its end. */
		off = rnd() % (rnd() % 2 ? 384 : LUO_SER_PAGE);
		pr_warn("page %u of %u at %u\n", page, nr_pages, off);
		change(pages[page], off);
	}
}

static struct kmsg_dumper dumper = {
	.dump = last,
	.max_reason = KMSG_DUMP_SHUTDOWN,
};

static int __init damage_init(void)
{
	int err = register_kprobe(&probe);

	/* A seed of 0 stays 0, and small ones begin alike. */
	seed = seed * 2654435761u + 1;
	return err ?: kmsg_dump_register(&dumper);
}
module_init(damage_init);

MODULE_DESCRIPTION("Damages a handover, for tests of luo.ko");
MODULE_LICENSE("Dual MIT/GPL");
