/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of luo.ko share with each other.
 */
#ifndef _LUO_INTERNAL_H
#define _LUO_INTERNAL_H

#include <linux/atomic.h>
#include <linux/device.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/stringify.h>
#include <linux/types.h>

#include "liveupdate.h"
#include "luo.h"
#include "luo_abi.h"
#include "luo_check.h"

/* Each part as "VERSION/NEEDS/READS", for who wants to know before a kexec. */
#define LUO_ABI_PART(_part) \
	__stringify(LUO_##_part##_VERSION) "/" \
	__stringify(LUO_##_part##_NEEDS) "/" \
	__stringify(LUO_##_part##_READS)
#define LUO_ABI_TEXT \
	"root:" LUO_ABI_PART(ROOT) " file:" LUO_ABI_PART(FILE) \
	" memfd:" LUO_ABI_PART(MEMFD) " pci:" LUO_ABI_PART(PCI)

/**
 * struct luo_node - a device of the class liveupdate, embedded in what it shows
 * @dev: the device; its type has the attributes and the variables of its events
 * @memory: what it is in, freed with it
 * @added: it is in the class
 */
struct luo_node {
	struct device dev;
	void *memory;
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

/* What a participant is called for. */
enum luo_step_kind {
	LUO_STEP_PREPARE,
	LUO_STEP_FREEZE,
	LUO_STEP_CANCEL,
	LUO_STEP_FINISH,
	LUO_STEPS,
};

/**
 * struct luo_timed_node - a node of something that is called in an update
 * @node: the node
 * @last: the latest call
 * @result: what the latest prepare or freeze returned
 * @steps: how each call went
 */
struct luo_timed_node {
	struct luo_node node;
	enum luo_step_kind last;
	int result;
	struct luo_step steps[LUO_STEPS];
};

struct luo_participant;

/**
 * struct luo_participant_ops - what the moves ask of a participant
 * @begin: a PREPARE begins: forget how the last update went; optional
 * @prepare: get ready; undone by @cancel, also if it failed
 * @freeze: the last call in the old kernel
 * @again: a kexec follows a FREEZE of long ago: take in what came since; optional
 * @cancel: undo @prepare and @freeze, as far as they were called
 * @finish: let go of what came; may end the participant
 * @late: the very last moment: take in what came after the last veto, with all
 *	other CPUs stopped, no lock, no allocation and no sleep; optional
 * @lost: a kexec goes without an update: say what is lost by it; optional
 *
 * Context: state lock held, but for @late.
 */
struct luo_participant_ops {
	void (*begin)(struct luo_participant *p);
	int (*prepare)(struct luo_participant *p);
	int (*freeze)(struct luo_participant *p);
	int (*again)(struct luo_participant *p);
	void (*cancel)(struct luo_participant *p);
	void (*finish)(struct luo_participant *p);
	void (*late)(struct luo_participant *p);
	void (*lost)(struct luo_participant *p);
};

/**
 * struct luo_participant - whoever takes part in updates
 * @list: in the list of all, by order
 * @order: PREPARE and FREEZE begin with the lowest, CANCEL and FINISH with the
 *	highest; same orders stay in the order of adding
 * @ops: what it does
 */
struct luo_participant {
	struct list_head list;
	int order;
	const struct luo_participant_ops *ops;
};

/**
 * struct luo_move - a move, as listeners hear of it
 * @from: the state before
 * @to: the state now; the same if the machine was found in it
 * @seq: number of this move since the module was loaded
 */
struct luo_move {
	enum liveupdate_state from;
	enum liveupdate_state to;
	u64 seq;
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
 * @lock: one restore of it at a time
 * @ser: its record, between prepare and cancel, or until finish
 * @state: see enum luo_resource_state
 * @result: what its handler said last to prepare or freeze; of one that came,
 *	-EIO if it cannot be read
 * @broken: what came cannot be read, or its handler went in the middle of a
 *	restore: there is nothing to try again
 * @pid: who preserved it
 * @comm: name of that process
 * @name: name of the file
 */
struct luo_resource {
	struct luo_node node;
	struct luo_file lf;
	struct luo_file_handler *handler;
	struct list_head list;
	struct mutex lock; /* see above */
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
extern atomic_long_t luo_counts[LUO_COUNTS];
extern struct rw_semaphore luo_lock;

void luo_participant_add(struct luo_participant *p, int order);
void luo_participant_del(struct luo_participant *p);
void luo_moves_listen(struct notifier_block *nb);
void luo_moves_ignore(struct notifier_block *nb);

static inline void luo_count(enum luo_count what)
{
	atomic_long_inc(&luo_counts[what]);
}

u64 luo_cycles(void);
enum liveupdate_state luo_state_get(void);
const char *luo_state_name(enum liveupdate_state state);
int luo_state_lock(void);
void luo_state_lock_always(void);
void luo_state_unlock(void);
int luo_state_lock_shared(void);
void luo_state_unlock_shared(void);
bool luo_state_open(void);
void luo_state_begin(enum liveupdate_state state);
void luo_state_found(enum liveupdate_state state);
bool luo_state_leaving(void);
int luo_prepare(void);
int luo_freeze(void);
int luo_cancel(void);
int luo_finish(void);
int luo_leave(void);
void luo_late(void);

/* luo_reboot.c */
void luo_reboot_init(void);
void luo_reboot_exit(void);
const char *luo_reboot_veto_name(void);
bool luo_reboot_is_kexec(void);

/* luo_image.c */
void luo_image_init(void);
void luo_image_exit(void);
bool luo_image_known(void);
bool luo_image_carries(void);

/* luo_ioctl.c */
int luo_ioctl_init(void);
void luo_ioctl_exit(void);

/* luo_sysfs.c */
int luo_sysfs_init(void);
void luo_sysfs_exit(void);
bool luo_sysfs_device_taken(void);

/* luo_devices.c */
int luo_devices_init(void);
void luo_devices_exit(void);
void luo_node_init(struct luo_node *node, const struct device_type *type,
		   void *memory);
int luo_node_add(struct luo_node *node);
void luo_node_changed(struct luo_node *node);
void luo_node_del(struct luo_node *node);
const char *luo_step_name(enum luo_step_kind step);
void luo_timed_forget(struct luo_timed_node *timed);
void luo_timed_done(struct luo_timed_node *timed, enum luo_step_kind step,
		    ktime_t began, int err);
extern const struct attribute_group luo_timed_group;
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
u64 luo_token_next(void);
struct luo_resource *luo_token_find(u64 token);
int luo_token_insert(struct luo_resource *res);
void luo_token_pass(u64 token);
void luo_token_erase(u64 token);

/* luo_handlers.c */
int luo_handler_add(struct luo_file_handler *handler);
void luo_handler_del(struct luo_file_handler *handler);
struct luo_file_handler *luo_handler_get_for(struct file *file);
struct luo_file_handler *luo_handler_get_named(const char *compatible);
void luo_handler_put(struct luo_file_handler *handler);

/* luo_files.c */
int luo_files_preserve(struct file *file, u64 *token);
int luo_files_unpreserve(u64 token);
int luo_files_prepare(void);
int luo_files_freeze(void);
void luo_files_late(void);
void luo_files_cancel(void);
unsigned long luo_files_outgoing(void);
bool luo_files_use(const struct luo_file_handler *handler);
struct list_head *luo_files_list(void);

/* luo_incoming.c */
int luo_incoming_list(struct luo_ser_file *ser, u32 len);
void luo_incoming_unlist(void);
void luo_incoming_show(void);
bool luo_incoming_discard(struct luo_ser_file *ser, u32 len);
void luo_incoming_adopt(struct luo_file_handler *handler);
void luo_incoming_give_back(struct luo_file_handler *handler);
int luo_incoming_restore(u64 token, struct file **file);
void luo_incoming_restored(u64 token);
void luo_incoming_finish(void);
unsigned long luo_incoming_unrestored(void);
unsigned long luo_incoming_lost(void);

/* luo_file.c */
int luo_files_init(void);
int luo_handler_register_locked(struct luo_file_handler *handler);

/* luo_subsystems.c */
int luo_subsystem_register_locked(struct luo_subsystem *sub);
int luo_subsystem_data_locked(struct luo_subsystem *sub, u64 *data);
void luo_subsystems_take(const struct luo_ser_subsystem *ser);
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

/* luo_memfd.c */
extern struct luo_file_handler luo_memfd_handler;

/* luo_memfd_poison.c */
void luo_memfd_init(void);
void luo_memfd_exit(void);

/* luo_chain.c */
extern const struct luo_check luo_here;

void luo_chain_add(__u64 *first, struct luo_ser_page *last,
		   struct luo_ser_page *page);
struct luo_ser_page *luo_chain_grow(__u64 *first, struct luo_ser_page *last);
void luo_chain_free(__u64 *first);
void luo_chain_release(u64 first);

/* luo_spare.c */
int luo_spare_get(struct luo_ser_root *root);
void luo_spare_drop(struct luo_ser_root *root);
void *luo_spare_take(void);
void luo_spare_give(void);
void luo_spare_arrive(const struct luo_ser_root *root);
bool luo_spare_holds(u64 phys, u64 len);
void luo_spare_release(void);

/* luo_kho.c */
int luo_kho_begin(void);
struct luo_ser_file *luo_kho_record(void);
void luo_kho_seal_record(struct luo_ser_file *ser);
void luo_kho_seal(void);
int luo_kho_spare(void);
bool luo_kho_committed(void);
void luo_kho_seal_late(void);
void luo_kho_subsystem(const char *name, u64 data);
void luo_kho_commit(void);
void luo_kho_stamp_jump(void);
void luo_kho_abort(void);
bool luo_kho_peek(void);
const struct luo_ser_root *luo_kho_in(void);
int luo_kho_each(int (*use)(struct luo_ser_file *ser, u32 len));
void luo_kho_consume(void);
void luo_kho_finish(void);

/* luo_arrival.c */
int luo_arrival_list(void);
bool luo_arrival_take(void);

/* luo_debugfs.c */
#ifdef CONFIG_LUO_DEBUGFS
void luo_debugfs_init(void);
void luo_debugfs_exit(void);
#else
static inline void luo_debugfs_init(void) { }
static inline void luo_debugfs_exit(void) { }
#endif

#endif /* _LUO_INTERNAL_H */
