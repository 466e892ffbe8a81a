/* SPDX-License-Identifier: GPL-2.0 */
/* lab-vmm: a small virtual machine monitor whose guest outlives the host's kernel. */
#ifndef _LAB_VMM_H
#define _LAB_VMM_H

#include <linux/kvm.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "guest.h"

#define STATE_MAGIC	"lab-vmm"
#define STATE_VERSION	1
#define STATE_XSAVE	16384
#define STATE_CPUID	128
#define STATE_MSRS	512

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/**
 * struct state - all of a guest that is not its RAM; lies in a memfd of its own
 * @magic: STATE_MAGIC
 * @version: STATE_VERSION, to be raised with every change below
 * @size: of this structure
 * @sum: over all that follows
 * @saved: the vCPU has been paused and is in here; 0 while the guest runs
 * @follow: the guest saves itself at each freeze
 * @id: the same as in the RAM that belongs to it
 * @ram: size of the RAM in bytes
 * @tsc_khz: rate of the TSC
 * @tsc_offset: what KVM adds to the host's TSC. The host's counter runs on through
 *	a kexec, so with the same offset the guest's does too.
 * @paused: host's TSC when the vCPU had stopped
 * @done: host's TSC when all was saved
 * @said: the last whole line that the guest wrote
 * @line: the line that it is writing
 */
struct state {
	char magic[8];
	__u32 version;
	__u32 size;
	__u64 sum;
	__u32 saved;
	__u32 follow;
	__u64 id;
	__u64 ram;
	__u64 tsc_khz;
	__u64 tsc_offset;
	__u64 paused;
	__u64 done;
	char said[64], line[64];
	__u64 line_length;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	__u32 cpuids;
	__u32 msrs;
	struct kvm_cpuid_entry2 cpuid[STATE_CPUID];
	struct kvm_msr_entry msr[STATE_MSRS];
	__u8 xsave[STATE_XSAVE];
};

/**
 * struct vm - the one guest of this process
 * @ram_fd: memfd of its RAM
 * @state_fd: memfd of its state
 * @state: what is written there
 * @page: the guest's own page of figures
 */
struct vm {
	int kvm, fd, cpu;
	int ram_fd, state_fd;
	struct kvm_run *run;
	__u8 *ram;
	struct state state;
	__u64 *page;
};

/* words.c: every failure is one sentence for the user; all functions give 0 or -1. */
#define __printf(format, first) __attribute__((__format__(printf, format, first)))

int __printf(1, 2) fail(const char *format, ...);
int __printf(1, 2) fail_errno(const char *format, ...);
const char *words(void);

/* guest.S */
extern const __u8 guest_code[], guest_timer[], guest_end[];

/* vm.c */
int vm_create(struct vm *vm);
int vm_start(struct vm *vm);
int vm_run(struct vm *vm);
__u64 vm_sum(const struct vm *vm);

/* vcpu.c */
int vcpu_get(const struct vm *vm, struct state *state);
int vcpu_set(const struct vm *vm, const struct state *state);
int vcpu_tell(const struct vm *vm, char *text, size_t size);
int vcpu_cpuid(const struct vm *vm, struct state *state);
int vcpu_tsc_offset(const struct vm *vm, unsigned long request, __u64 *offset);

/* state.c */
__u64 sum_words(const void *data, size_t bytes);
int state_write(int fd, struct state *state);
int state_read(int fd, struct state *state);

/* blackout.c */
double blackout_tell(const struct vm *vm, __u64 began);

/* update.c */
#define NO_TOKEN (~0ULL)

struct tokens {
	__u64 ram, state;
	char boot[40];
};

int luo_open(void);
int luo_state(void);
const char *luo_state_name(int state);
int luo_preserve(int fd, const char *what, __u64 *token);
int luo_unpreserve(__u64 *token, const char *what);
int luo_restore(__u64 token, const char *what, int *fd);
int luo_is_ours(__u64 token, const char *name);
int tokens_write(const char *path, const struct tokens *tokens);
int tokens_read(const char *path, struct tokens *tokens);
int tokens_of_this_boot(const struct tokens *tokens);
int tokens_remove(const char *path);

/* follow.c */
int follow_open(__u64 tsc_khz);
unsigned long long follow_heard(int fd);
void follow_done(unsigned long long move);

/* server.c */
typedef int (*answer_fn)(const char *request, char *answer, size_t size);

int server_open(const char *path);
void server_close(void);
int server_interrupts(int fd);
void server_serve(bool wait, int events, void (*happened)(void), answer_fn answer);
int server_ask(const char *path, const char *request, unsigned int every);

static inline __u64 tsc(void)
{
	__u32 low, high;

	__asm__ __volatile__("lfence; rdtsc" : "=a"(low), "=d"(high));
	return (__u64)high << 32 | low;
}

#endif /* _LAB_VMM_H */
