/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What luo.ko offers to other parts of the kernel that take part in a live
 * update: subsystems, with one number that crosses, and handlers for kinds of
 * files. Drivers of PCI devices find theirs in luo_pci.h.
 */
#ifndef _LUO_H
#define _LUO_H

#include <linux/list.h>
#include <linux/types.h>

#include "luo_abi.h"

struct file;
struct luo_subsystem_entry;
struct luo_subsystem;
struct module;

/**
 * struct luo_subsystem_ops - what a subsystem does in a live update
 * @prepare: get ready to be handed over; what is stored at *@data crosses.
 *	The subsystem goes on working until the kexec. Optional
 * @freeze: the last call in the old kernel, part of the blackout; may store
 *	another *@data. Optional
 * @cancel: undo @prepare and @freeze; called also for a subsystem whose own
 *	@prepare or @freeze failed; cannot fail. Optional
 * @finish: the update is over in the new kernel: let go of what came with
 *	@data; cannot fail. Optional
 *
 * An error of @prepare or @freeze ends the update: everybody who was called
 * is cancelled in reverse order, the one that failed first.
 *
 * Context: process context under the state lock, which makes calls into
 * luo.ko from here a deadlock.
 */
struct luo_subsystem_ops {
	int (*prepare)(struct luo_subsystem *sub, u64 *data);
	int (*freeze)(struct luo_subsystem *sub, u64 *data);
	void (*cancel)(struct luo_subsystem *sub, u64 data);
	void (*finish)(struct luo_subsystem *sub, u64 data);
};

/**
 * struct luo_subsystem - a part of the kernel that takes part
 * @name: its name, unique, below LUO_COMPATIBLE_LEN bytes, of the characters
 *	a-z, 0-9, "-", "_" and "."; it says also which version @data has:
 *	change the name when the meaning of @data changes
 * @order: PREPARE and FREEZE call files first, then subsystems from the
 *	lowest order to the highest; CANCEL and FINISH go the other way
 * @owner: the module that must stay while an update is under way
 * @ops: what it does
 */
struct luo_subsystem {
	const char *name;
	int order;
	struct module *owner;
	const struct luo_subsystem_ops *ops;
	/* private: */
	struct luo_subsystem_entry *entry;
};

int luo_register_subsystem(struct luo_subsystem *sub);
void luo_unregister_subsystem(struct luo_subsystem *sub);
int luo_subsystem_data(struct luo_subsystem *sub, u64 *data);

/**
 * struct luo_file - a preserved or incoming file, as its handler sees it
 * @token: its token
 * @file: the file; NULL for one that came and was not restored yet
 * @record: LUO_FILE_RECORD_LEN bytes that cross, zero at first; there from
 *	prepare to cancel, and in the new kernel until finish; NULL otherwise
 * @private: the handler's own
 * @shortage: bytes that were missing when prepare or restore returned -ENOMEM
 *	last, if the handler knows it; 0 otherwise
 * @lost: bytes that were written too late to come along
 * @name: what users see
 */
struct luo_file {
	u64 token;
	struct file *file;
	void *record;
	void *private;
	u64 shortage;
	u64 lost;
	const char *name;
};

/**
 * struct luo_file_ops - what a handler does for its kind of file
 * @can_preserve: is this file mine?
 * @id: what makes two descriptors the same thing; the address of the inode
 *	if there is no such function
 * @name: write the file's name into a buffer of @len bytes; optional
 * @size: size of the file in bytes, and how many pages of memory go along.
 *	Called without the state lock
 * @preserve: FD_PRESERVE: last chance to refuse early; optional
 * @unpreserve: undo @preserve, cannot fail; optional
 * @prepare: make the contents stay where they are and write the record
 * @freeze: bring the record up to date; part of the blackout. Called again if
 *	the kexec comes after a FREEZE of its own; optional
 * @late: the very last moment: take in what came after @freeze. All other CPUs
 *	are stopped with whatever they had locked: no lock, no allocation, no
 *	sleep. Return true if the record has changed; optional
 * @cancel: undo @prepare and @freeze; called also if these failed; cannot
 *	fail
 * @check: can the record that came be read? NULL, or in words why not; looks
 *	at it, notes what of it was lost, and changes nothing. Asked before any
 *	other call in the new kernel, and if the answer is no there is no other.
 *	Optional
 * @restore: make a file of the record; a failure that consumed nothing can
 *	be tried again
 * @finish: throw away what was not restored; cannot fail
 *
 * Context: all but @size and @late are called in process context under the state
 * lock, which makes calls into luo.ko from there a deadlock. @restore shares it:
 * several files are restored side by side, but each by one caller at a time.
 */
struct luo_file_ops {
	bool (*can_preserve)(struct file *file);
	unsigned long (*id)(struct file *file);
	void (*name)(struct file *file, char *name, size_t len);
	void (*size)(struct luo_file *lf, u64 *bytes, u64 *pages);
	int (*preserve)(struct luo_file *lf);
	void (*unpreserve)(struct luo_file *lf);
	int (*prepare)(struct luo_file *lf);
	int (*freeze)(struct luo_file *lf);
	bool (*late)(struct luo_file *lf);
	void (*cancel)(struct luo_file *lf);
	const char *(*check)(struct luo_file *lf);
	int (*restore)(struct luo_file *lf, struct file **file);
	void (*finish)(struct luo_file *lf);
};

/**
 * struct luo_file_handler - a kind of file that can be preserved
 * @compatible: version of its record; only a handler of the same string
 *	reads it in the new kernel
 * @kind: the word shown to users
 * @owner: module that must stay while a file of this kind is preserved
 * @ops: what it does
 */
struct luo_file_handler {
	const char *compatible;
	const char *kind;
	struct module *owner;
	const struct luo_file_ops *ops;
	/* private: */
	struct list_head node;
};

int luo_register_file_handler(struct luo_file_handler *handler);
int luo_unregister_file_handler(struct luo_file_handler *handler);

#endif /* _LUO_H */
