/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of luo.ko share with each other.
 */
#ifndef _LUO_INTERNAL_H
#define _LUO_INTERNAL_H

#include <linux/device.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/types.h>

#include "liveupdate.h"

/*
 * The name of everything that crosses the kexec. It changes whenever a byte
 * of the structures below changes its meaning; nothing else is ever read.
 */
#define LUO_COMPATIBLE		"luo-ko-v1"

/* "LUO" belongs to mainline: the new kernel would panic on reading ours. */
#define LUO_KHO_SUBTREE		"liveupdate-v2"

#define LUO_COMPATIBLE_LEN	32
#define LUO_RELEASE_LEN		65
#define LUO_NAME_LEN		256
#define LUO_SER_DATA_LEN	192

/* The last word written by a good freeze: "luo done". */
#define LUO_SER_MARK		0x6c756f20646f6e65ULL

/**
 * struct luo_ser_times - raw TSC values of one update, 0 = has not happened
 * @khz: rate of the counter in the kernel that wrote them
 * @prepare_begin: PREPARE was accepted
 * @prepare_end: everything is prepared
 * @freeze_begin: FREEZE, or the freeze within reboot(2), was accepted
 * @freeze_end: the record is complete
 * @jump: the last moment of the old kernel that a module can see
 * @arrived: luo.ko of the new kernel took the data over
 */
struct luo_ser_times {
	u64 khz;
	u64 prepare_begin;
	u64 prepare_end;
	u64 freeze_begin;
	u64 freeze_end;
	u64 jump;
	u64 arrived;
};

/**
 * struct luo_ser_root - the one blob that the KHO tree points to
 * @compatible: LUO_COMPATIBLE
 * @mark: LUO_SER_MARK once the handover is complete
 * @consumed: written by the new kernel: what came was taken over
 * @nr_files: number of records in @files
 * @files: vmalloc area with an array of struct luo_ser_file
 * @times: when what happened
 * @release: release of the kernel that hands over
 */
struct luo_ser_root {
	char compatible[LUO_COMPATIBLE_LEN];
	u64 mark;
	u64 consumed;
	u64 nr_files;
	struct kho_vmalloc files;
	struct luo_ser_times times;
	char release[LUO_RELEASE_LEN];
};

/**
 * struct luo_ser_file - one preserved descriptor on its way
 * @handler: compatible string of the handler that wrote @data
 * @token: its token
 * @pid: process that preserved it (initial PID namespace)
 * @ready: not 0 once @data is whole
 * @comm: name of that process
 * @name: name of the file
 * @data: the handler's own record
 */
struct luo_ser_file {
	char handler[LUO_COMPATIBLE_LEN];
	u64 token;
	u32 pid;
	u32 ready;
	char comm[TASK_COMM_LEN];
	char name[LUO_NAME_LEN];
	u8 data[LUO_SER_DATA_LEN] __aligned(8);
};

static_assert(sizeof(struct luo_ser_file) == 512);
static_assert(sizeof(struct luo_ser_root) <= PAGE_SIZE);

struct luo_resource;

/**
 * struct luo_file_ops - what a handler does for its kind of file
 * @can_preserve: is this file mine?
 * @name: write the file's name into a buffer of LUO_NAME_LEN
 * @bytes: size of the file now
 * @prepare: pin the contents and write the record; on failure everything is
 *	undone by @cancel, which is called then too
 * @freeze: bring the record up to date; part of the blackout
 * @cancel: undo @prepare and @freeze, cannot fail
 * @restore: make a file of the record; a failure that consumed nothing can
 *	be tried again
 * @finish: throw away what was not restored, cannot fail
 *
 * All are called under the state lock, except @bytes, which must not sleep
 * on anything that waits for the lock.
 */
struct luo_file_ops {
	bool (*can_preserve)(struct file *file);
	void (*name)(struct file *file, char *name);
	u64 (*bytes)(struct luo_resource *res);
	int (*prepare)(struct luo_resource *res);
	int (*freeze)(struct luo_resource *res);
	void (*cancel)(struct luo_resource *res);
	int (*restore)(struct luo_resource *res, struct file **file);
	void (*finish)(struct luo_resource *res);
};

/**
 * struct luo_file_handler - a kind of file that can be preserved
 * @compatible: version of its record
 * @kind: the word shown to users
 * @owner: module to pin while a file of this kind is preserved
 * @ops: its operations
 */
struct luo_file_handler {
	const char *compatible;
	const char *kind;
	struct module *owner;
	const struct luo_file_ops *ops;
};

/**
 * enum luo_resource_state - the life of one descriptor, as users see it
 * @LUO_RES_PRESERVED: outgoing: goes along with the next update
 * @LUO_RES_INCOMING: came over, nobody has restored it yet
 * @LUO_RES_RESTORED: came over and was given out
 */
enum luo_resource_state {
	LUO_RES_PRESERVED,
	LUO_RES_INCOMING,
	LUO_RES_RESTORED,
};

/**
 * struct luo_resource - a preserved or incoming descriptor
 * @dev: its device in the class, which also owns this memory
 * @has_dev: @dev was added
 * @node: in the list of outgoing or of incoming resources
 * @token: its token
 * @handler: the kind
 * @file: reference held by us; incoming: NULL until it is restored
 * @ser: its record, between prepare and cancel, or until finish
 * @priv: the handler's
 * @state: see enum luo_resource_state
 * @pid: who preserved it
 * @comm: name of that process
 * @name: name of the file
 */
struct luo_resource {
	struct device dev;
	bool has_dev;
	struct list_head node;
	u64 token;
	const struct luo_file_handler *handler;
	struct file *file;
	struct luo_ser_file *ser;
	void *priv;
	enum luo_resource_state state;
	pid_t pid;
	char comm[TASK_COMM_LEN];
	char name[LUO_NAME_LEN];
};

/* luo_core.c */
extern struct luo_ser_times luo_times;
extern char luo_from_release[LUO_RELEASE_LEN];

u64 luo_cycles(void);
enum liveupdate_state luo_state_get(void);
const char *luo_state_name(enum liveupdate_state state);
int luo_state_lock(void);
void luo_state_unlock(void);
int luo_prepare(void);
int luo_freeze(void);
int luo_cancel(void);
int luo_finish(void);
int luo_leave(void);

/* luo_reboot.c */
void luo_reboot_init(void);
void luo_reboot_exit(void);

/* luo_ioctl.c */
int luo_ioctl_init(void);
void luo_ioctl_exit(void);

/* luo_sysfs.c */
int luo_sysfs_init(void);
void luo_sysfs_exit(void);
void luo_sysfs_notify(void);
bool luo_sysfs_device_taken(void);

/* luo_devices.c */
int luo_devices_init(void);
void luo_devices_exit(void);
struct luo_resource *luo_device_alloc(u64 token);
int luo_device_add(struct luo_resource *res);
void luo_device_changed(struct luo_resource *res);
void luo_device_del(struct luo_resource *res);

/* luo_files.c */
int luo_files_preserve(struct file *file, u64 *token);
int luo_files_unpreserve(u64 token);
int luo_files_prepare(void);
int luo_files_freeze(void);
void luo_files_cancel(void);
int luo_files_restore(u64 token, struct file **file);
void luo_files_restored(u64 token);
int luo_files_take(struct luo_ser_file *ser);
void luo_files_discard(struct luo_ser_file *ser);
void luo_files_finish(void);
unsigned long luo_files_outgoing(void);
unsigned long luo_files_unrestored(void);

/* luo_memfd.c, luo_memfd_restore.c */
extern const struct luo_file_handler luo_memfd_handler;

/* luo_kho.c */
int luo_kho_begin(unsigned long nr_files);
struct luo_ser_file *luo_kho_record(unsigned long i);
void luo_kho_commit(void);
void luo_kho_stamp_jump(void);
void luo_kho_abort(void);
bool luo_kho_peek(void);
bool luo_kho_take(void);
void luo_kho_finish(void);

#endif /* _LUO_INTERNAL_H */
