// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Does the loaded image carry the handover?
 *
 * kexec_file_load(2) puts the address of the handover into the image,
 * kexec_load(2) does not: such a kernel boots, knows nothing of what was
 * preserved, and takes that memory for its own. Which image is loaded no module
 * can ask, so two probes follow it: kimage_terminate() sees each one when it is
 * whole, directly before it takes the place of the one before, and kimage_free()
 * sees it go. An image that was loaded before this module is not known.
 *
 * The one that went and the one that has come can both exist for a moment, and
 * so can one that fails at its very end. The answer is yes only if all that exist
 * carry the handover.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/kexec.h>
#include <linux/kprobes.h>
#include <linux/ptrace.h>
#include <linux/spinlock.h>

#include "luo_internal.h"

#ifdef CONFIG_KPROBES

/* One is loaded, one on its way, and each that is being freed needs a task. */
#define LUO_IMAGES	8

/**
 * struct luo_image - an image that exists
 * @image: which; NULL: none
 * @carries: the handover is in it
 */
struct luo_image {
	const struct kimage *image;
	bool carries;
};

/* Freeing happens beside loading. */
static DEFINE_RAW_SPINLOCK(luo_image_lock);
static struct luo_image luo_images[LUO_IMAGES];
/* There were too many to follow: nothing is known until the next load. */
static bool luo_image_missed;

/* The slot of an image, or with NULL an empty one. */
static struct luo_image *luo_image_find(const struct kimage *image)
{
	int i;

	for (i = 0; i < LUO_IMAGES; i++) {
		if (luo_images[i].image == image)
			return &luo_images[i];
	}
	return NULL;
}
NOKPROBE_SYMBOL(luo_image_find);

static int luo_image_whole(struct kprobe *p, struct pt_regs *regs)
{
	const struct kimage *image = (void *)regs_get_kernel_argument(regs, 0);
	struct luo_image *slot;
	unsigned long flags;

	if (image->type != KEXEC_TYPE_DEFAULT)
		return 0;
	raw_spin_lock_irqsave(&luo_image_lock, flags);
	slot = luo_image_find(NULL);
	if (slot)
		*slot = (struct luo_image) {
			.image = image,
			.carries = image->kho.fdt && image->kho.scratch,
		};
	else
		luo_image_missed = true;
	raw_spin_unlock_irqrestore(&luo_image_lock, flags);
	return 0;
}
NOKPROBE_SYMBOL(luo_image_whole);

static int luo_image_gone(struct kprobe *p, struct pt_regs *regs)
{
	const struct kimage *image = (void *)regs_get_kernel_argument(regs, 0);
	struct luo_image *slot;
	unsigned long flags;

	if (!image)
		return 0;
	raw_spin_lock_irqsave(&luo_image_lock, flags);
	slot = luo_image_find(image);
	if (slot)
		slot->image = NULL;
	raw_spin_unlock_irqrestore(&luo_image_lock, flags);
	return 0;
}
NOKPROBE_SYMBOL(luo_image_gone);

static struct kprobe luo_image_probes[] = {
	/* In this order: what is seen to come is seen to go. */
	{ .symbol_name = "kimage_free", .pre_handler = luo_image_gone },
	{ .symbol_name = "kimage_terminate", .pre_handler = luo_image_whole },
};

static int luo_image_probing;

/**
 * luo_image_init - follow images from now on
 */
void luo_image_init(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(luo_image_probes); i++) {
		err = register_kprobe(&luo_image_probes[i]);
		if (err) {
			pr_warn("no kprobe on %s (%d): no image is known to carry the handover\n",
				luo_image_probes[i].symbol_name, err);
			return;
		}
		luo_image_probing++;
	}
}

/**
 * luo_image_exit - undo luo_image_init()
 */
void luo_image_exit(void)
{
	while (luo_image_probing)
		unregister_kprobe(&luo_image_probes[--luo_image_probing]);
}

/**
 * luo_image_known - can this be told of an image?
 *
 * Return: true if so, for an image that is loaded from now on.
 */
bool luo_image_known(void)
{
	int i;

	for (i = 0; i < luo_image_probing; i++) {
		/* Hit while another probe ran, and not called. */
		if (READ_ONCE(luo_image_probes[i].nmissed))
			return false;
	}
	return i == ARRAY_SIZE(luo_image_probes) && !READ_ONCE(luo_image_missed);
}

/**
 * luo_image_carries - is the loaded image known to carry the handover?
 *
 * Context: any. On the way into the image no other can be loaded any more.
 * Return: true if so; false also where that is not known.
 */
bool luo_image_carries(void)
{
	unsigned long flags;
	int i, with = 0, without = 0;

	if (!luo_image_known())
		return false;
	raw_spin_lock_irqsave(&luo_image_lock, flags);
	for (i = 0; i < LUO_IMAGES; i++) {
		if (!luo_images[i].image)
			continue;
		if (luo_images[i].carries)
			with++;
		else
			without++;
	}
	raw_spin_unlock_irqrestore(&luo_image_lock, flags);
	return with && !without;
}

#else /* !CONFIG_KPROBES */

void luo_image_init(void)
{
}

void luo_image_exit(void)
{
}

bool luo_image_known(void)
{
	return false;
}

bool luo_image_carries(void)
{
	return false;
}

#endif /* CONFIG_KPROBES */
