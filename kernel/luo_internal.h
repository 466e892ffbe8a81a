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
#include <linux/seq_file.h>
#include <linux/types.h>

#include "liveupdate.h"
#include "luo.h"

/*
 * The name of everything that crosses the kexec. It changes whenever a byte
 * of the structures below changes its meaning; nothing else is ever read.
 */
#define LUO_COMPATIBLE		"luo-ko-v2"

/* "LUO" belongs to mainline: the new kernel would panic on reading ours. */
#define LUO_KHO_SUBTREE		"liveupdate-v2"

#define LUO_RELEASE_LEN		65
#define LUO_NAME_LEN		256

/* So many subsystems can take part; their records lie in the root itself. */
#define LUO_MAX_SUBSYSTEMS	64

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
 * struct luo_ser_subsystem - one subsystem on its way
 * @name: its name
 * @data: the number that it hands over
 */
struct luo_ser_subsystem {
	char name[LUO_COMPATIBLE_LEN];
	u64 data;
};

/**
 * struct luo_ser_root - the one blob that the KHO tree points to
 * @compatible: LUO_COMPATIBLE
 * @mark: LUO_SER_MARK once the handover is complete
 * @consumed: written by the new kernel: what came was taken over
 * @nr_files: number of records in @files
 * @files: vmalloc area with an array of struct luo_ser_file
 * @nr_subsystems: number of records in @subsystems
 * @times: when what happened
 * @release: release of the kernel that hands over
 * @subsystems: those that take part, in the order in which they were called
 */
struct luo_ser_root {
	char compatible[LUO_COMPATIBLE_LEN];
	u64 mark;
	u64 consumed;
	u64 nr_files;
	struct kho_vmalloc files;
	u64 nr_subsystems;
	struct luo_ser_times times;
	char release[LUO_RELEASE_LEN];
	struct luo_ser_subsystem subsystems[LUO_MAX_SUBSYSTEMS];
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
	u8 data[LUO_FILE_RECORD_LEN] __aligned(8);
};

static_assert(sizeof(struct luo_ser_file) == 512);
static_assert(sizeof(struct luo_ser_root) <= PAGE_SIZE);

/**
 * struct luo_node - a device of the class liveupdate, embedded in what it shows
 * @dev: the device; its type has the attributes, the variables of its events
 *	and the release of the memory around it
 * @added: it is in the class
 */
struct luo_node {
	struct device dev;
	bool added;
};

/**
 * struct luo_step - how one call of a participant went
 * @ns: how long it took, in nanoseconds; 0: has not been called
 * @result: what it returned
 */
struct luo_step {
	u64 ns;
	int result;
};

/**
 * enum luo_resource_state - the life of one descriptor, as users see it
 * @LUO_RES_PRESERVED: outgoing: goes along with the next update
 * @LUO_RES_INCOMING: came over, nobody has restored it yet
 * @LUO_RES_RESTORED: came over and was given out, once or more
 */
enum luo_resource_state {
	LUO_RES_PRESERVED,
	LUO_RES_INCOMING,
	LUO_RES_RESTORED,
};

/**
 * struct luo_resource - a preserved or incoming file
 * @node: its device in the class, which also owns this memory
 * @lf: what its handler sees of it
 * @handler: the kind; NULL if it came and its handler is not loaded
 * @list: in the list of outgoing or of incoming resources
 * @ser: its record, between prepare and cancel, or until finish
 * @state: see enum luo_resource_state
 * @result: what its handler said last to prepare or freeze
 * @broken: its handler went in the middle of a restore: nothing to try again
 * @pid: who preserved it
 * @comm: name of that process
 * @name: name of the file
 */
struct luo_resource {
	struct luo_node node;
	struct luo_file lf;
	struct luo_file_handler *handler;
	struct list_head list;
	struct luo_ser_file *ser;
	enum luo_resource_state state;
	int result;
	bool broken;
	pid_t pid;
	char comm[TASK_COMM_LEN];
	char name[LUO_NAME_LEN];
};

/* What is counted since the module was loaded. */
enum luo_count {
	LUO_COUNT_PRESERVE,
	LUO_COUNT_UNPRESERVE,
	LUO_COUNT_PREPARE,
	LUO_COUNT_PREPARE_REFUSED,
	LUO_COUNT_FREEZE,
	LUO_COUNT_FREEZE_REFUSED,
	LUO_COUNT_CANCEL,
	LUO_COUNT_RESTORE,
	LUO_COUNT_RESTORE_FAILED,
	LUO_COUNT_FINISH,
	LUO_COUNT_KEXEC_REFUSED,
	LUO_COUNTS,
};

/* luo_core.c */
extern struct luo_ser_times luo_times;
extern char luo_from_release[LUO_RELEASE_LEN];
extern unsigned long luo_counts[LUO_COUNTS];

u64 luo_cycles(void);
enum liveupdate_state luo_state_get(void);
const char *luo_state_name(enum liveupdate_state state);
int luo_state_lock(void);
void luo_state_lock_always(void);
void luo_state_unlock(void);
bool luo_state_open(void);
bool luo_state_leaving(void);
int luo_prepare(void);
int luo_freeze(void);
int luo_cancel(void);
int luo_finish(void);
int luo_leave(void);

/* luo_reboot.c */
void luo_reboot_init(void);
void luo_reboot_exit(void);
const char *luo_reboot_veto_name(void);

/* luo_ioctl.c */
int luo_ioctl_init(void);
void luo_ioctl_exit(void);
void luo_ioctl_moved(enum liveupdate_state from, enum liveupdate_state to,
		     u64 seq);

/* luo_sysfs.c */
int luo_sysfs_init(void);
void luo_sysfs_exit(void);
void luo_sysfs_notify(void);
bool luo_sysfs_device_taken(void);

/* luo_devices.c */
int luo_devices_init(void);
void luo_devices_exit(void);
void luo_node_init(struct luo_node *node, const struct device_type *type);
int luo_node_add(struct luo_node *node);
void luo_node_changed(struct luo_node *node);
void luo_node_del(struct luo_node *node);
ssize_t luo_emit_escaped(char *buf, const char *name);

static inline struct luo_node *to_luo_node(const struct device *dev)
{
	return container_of(dev, struct luo_node, dev);
}

/* luo_resource.c */
struct luo_resource *luo_resource_alloc(u64 token);
void luo_resource_size(struct luo_resource *res, u64 *bytes, u64 *pages);
bool luo_resource_held(struct luo_resource *res);
void luo_resource_forget_handler(struct luo_resource *res);
void luo_resource_drop(struct luo_resource *res);

/* luo_handlers.c */
int luo_handler_register_locked(struct luo_file_handler *handler);
struct luo_file_handler *luo_handler_get_for(struct file *file);
struct luo_file_handler *luo_handler_get_named(const char *compatible);
void luo_handler_put(struct luo_file_handler *handler);

/* luo_files.c */
int luo_files_preserve(struct file *file, u64 *token);
int luo_files_unpreserve(u64 token);
int luo_files_prepare(void);
int luo_files_freeze(void);
void luo_files_cancel(void);
unsigned long luo_files_outgoing(void);
bool luo_files_use(const struct luo_file_handler *handler);
struct list_head *luo_files_list(void);
struct luo_resource *luo_token_find(u64 token);
int luo_token_insert(struct luo_resource *res);
void luo_token_erase(u64 token);

/* luo_incoming.c */
int luo_incoming_take(struct luo_ser_file *ser);
void luo_incoming_discard(struct luo_ser_file *ser);
void luo_incoming_adopt(struct luo_file_handler *handler);
void luo_incoming_give_back(struct luo_file_handler *handler);
int luo_incoming_restore(u64 token, struct file **file);
void luo_incoming_restored(u64 token);
void luo_incoming_finish(void);
unsigned long luo_incoming_unrestored(void);
unsigned long luo_incoming_lost(void);

/* luo_subsystems.c */
int luo_subsystem_register_locked(struct luo_subsystem *sub);
int luo_subsystem_data_locked(struct luo_subsystem *sub, u64 *data);
void luo_subsystems_begin(void);
int luo_subsystems_prepare(void);
int luo_subsystems_freeze(void);
void luo_subsystems_cancel(void);
void luo_subsystems_take(const struct luo_ser_subsystem *ser);
void luo_subsystems_finish(void);
void luo_subsystems_show(struct seq_file *m);
void luo_subsystems_exit(void);

/* luo_pci.c, luo_pci_node.c */
#ifdef CONFIG_PCI
int luo_pci_init(void);
void luo_pci_show(struct seq_file *m);
#else
static inline int luo_pci_init(void) { return 0; }
static inline void luo_pci_show(struct seq_file *m) { }
#endif

/* luo_memfd.c, luo_memfd_restore.c */
extern struct luo_file_handler luo_memfd_handler;

/**
 * struct luo_area - an array that came through kexec handover, mapped
 * @addr: where; NULL if it is not mapped
 * @pages: what is mapped
 * @nr_pages: their number
 * @owned: they were taken out of kexec handover, and are freed in the end
 */
struct luo_area {
	void *addr;
	struct page **pages;
	unsigned int nr_pages;
	bool owned;
};

/* luo_area.c */
int luo_area_map(struct luo_area *area, const struct kho_vmalloc *from);
int luo_area_own(struct luo_area *area, const struct kho_vmalloc *from);
void luo_area_drop(struct luo_area *area);

/* luo_kho.c */
int luo_kho_begin(unsigned long nr_files);
struct luo_ser_file *luo_kho_record(unsigned long i);
void luo_kho_subsystem(const char *name, u64 data);
void luo_kho_commit(void);
void luo_kho_stamp_jump(void);
void luo_kho_abort(void);
bool luo_kho_peek(void);
int luo_kho_map(void);
bool luo_kho_take(void);
void luo_kho_finish(void);

/* luo_debugfs.c */
#ifdef CONFIG_LUO_DEBUGFS
void luo_debugfs_init(void);
void luo_debugfs_exit(void);
#else
static inline void luo_debugfs_init(void) { }
static inline void luo_debugfs_exit(void) { }
#endif

#endif /* _LUO_INTERNAL_H */
