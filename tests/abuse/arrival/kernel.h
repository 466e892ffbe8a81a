/* SPDX-License-Identifier: MIT */
/* What mutate.c needs of a kernel, where KASAN watches instead of the compiler's sanitizers. */
#ifndef MUTATE_KERNEL_H
#define MUTATE_KERNEL_H

#include <linux/fcntl.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>

#define printf(...) printk(KERN_WARNING __VA_ARGS__)
#define exit(code) panic("mutate: the checks have failed")
#define calloc(number, size) kcalloc(number, size, GFP_KERNEL)
#define free(bytes) kfree(bytes)

#endif
