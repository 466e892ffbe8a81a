// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Memory that fails after it was pinned
 *
 * A probe counts the failures of memory, so that FREEZE looks at the folios of a
 * file only if there was one since they were pinned.
 */
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "luo_memfd_out.h"

/* How often memory failed; whether that can be seen at all. */
static atomic_t luo_poison_nr;
static bool luo_poison_seen;

#if defined(CONFIG_KPROBES) && defined(CONFIG_MEMORY_FAILURE)

static int luo_poison_pre(struct kprobe *p, struct pt_regs *regs)
{
	atomic_inc(&luo_poison_nr);
	return 0;
}
NOKPROBE_SYMBOL(luo_poison_pre);

static struct kprobe luo_poison_probe = {
	.symbol_name = "memory_failure",
	.pre_handler = luo_poison_pre,
};

/**
 * luo_memfd_init - see memory fail from now on
 *
 * Where that is not possible FREEZE looks at every folio.
 */
void luo_memfd_init(void)
{
	luo_poison_seen = !register_kprobe(&luo_poison_probe);
}

/**
 * luo_memfd_exit - undo luo_memfd_init()
 */
void luo_memfd_exit(void)
{
	if (luo_poison_seen)
		unregister_kprobe(&luo_poison_probe);
}

#else

void luo_memfd_init(void)
{
	luo_poison_seen = !IS_ENABLED(CONFIG_MEMORY_FAILURE);
}

void luo_memfd_exit(void)
{
}

#endif

static int luo_memfd_look(const struct luo_ser_folio *list, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (folio_contain_hwpoisoned_page(pfn_folio(PHYS_PFN(list[i].where))))
			return -EHWPOISON;
	}
	cond_resched();
	return 0;
}

/**
 * luo_memfd_poison_now - how often memory has failed
 *
 * Return: the number, to compare with a later one.
 */
int luo_memfd_poison_now(void)
{
	return atomic_read(&luo_poison_nr);
}

/**
 * luo_memfd_poisoned - has memory failed that was good when it was pinned?
 * @lf: the file
 *
 * Return: 0 or -EHWPOISON.
 */
int luo_memfd_poisoned(struct luo_file *lf)
{
	struct luo_memfd *m = lf->private;
	int err, nr = luo_memfd_poison_now();

	if (luo_poison_seen && nr == m->poison)
		return 0;
	err = luo_memfd_each(lf, luo_memfd_look);
	m->poison = nr;
	return err;
}
