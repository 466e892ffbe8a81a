// SPDX-License-Identifier: GPL-2.0
/* The vCPU, out of KVM and back into it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm.h"

#define MSR_TSC		0x10
#define MSR_DEADLINE	0x6e0
#define LEAF_FEATURES	1
#define APIC_ISR	0x100
#define APIC_IRR	0x200
#define APIC_LVTT	0x320
#define X2APIC		0x200000
#define DEADLINE	0x1000000

static int call(int fd, unsigned long request, void *argument, const char *what)
{
	if (ioctl(fd, request, argument) < 0)
		return fail_errno("KVM: %s", what);
	return 0;
}

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[STATE_CPUID];
};

/* What this host's KVM offers; the state keeps it, so that it never changes under the guest. */
int vcpu_cpuid(const struct vm *vm, struct state *state)
{
	struct cpuid all = { .head.nent = STATE_CPUID };
	__u32 i;

	if (call(vm->kvm, KVM_GET_SUPPORTED_CPUID, &all, "reading the CPU's features"))
		return -1;
	for (i = 0; i < all.head.nent; i++)
		if (all.entries[i].function == LEAF_FEATURES)
			all.entries[i].ecx |= X2APIC | DEADLINE;
	state->cpuids = all.head.nent;
	memcpy(state->cpuid, all.entries, sizeof(state->cpuid));
	return call(vm->cpu, KVM_SET_CPUID2, &all, "setting the CPU's features");
}

static int get_msr(const struct vm *vm, struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1, .entry.index = entry->index };

	if (ioctl(vm->cpu, KVM_GET_MSRS, &one) != 1)
		return -1;
	*entry = one.entry;
	return 0;
}

/* Many of the host's MSRs mean nothing here and cannot even be written: only what differs is. */
static int set_msr(const struct vm *vm, const struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1, .entry = *entry };
	struct kvm_msr_entry now = { .index = entry->index };

	if (!get_msr(vm, &now) && now.data == entry->data)
		return 0;
	if (ioctl(vm->cpu, KVM_SET_MSRS, &one) != 1)
		return fail("KVM: MSR 0x%x cannot be set to 0x%llx", entry->index,
			    (unsigned long long)entry->data);
	return 0;
}

static int get_msrs(const struct vm *vm, struct state *state)
{
	struct {
		struct kvm_msr_list head;
		__u32 indices[STATE_MSRS];
	} list = { .head.nmsrs = STATE_MSRS };
	struct kvm_msr_entry *entry;
	__u32 i;

	if (call(vm->kvm, KVM_GET_MSR_INDEX_LIST, &list, "listing the MSRs"))
		return -1;
	state->msrs = 0;
	for (i = 0; i < list.head.nmsrs; i++) {
		entry = &state->msr[state->msrs];
		entry->index = list.indices[i];
		/* The TSC goes as an offset: its value has moved on by now. */
		if (entry->index != MSR_TSC && !get_msr(vm, entry))
			state->msrs++;
	}
	return 0;
}

static int set_msrs(const struct vm *vm, const struct state *state)
{
	const struct kvm_msr_entry *deadline = NULL;
	__u32 i;

	/* The deadline counts only when all that it stands on is there. */
	for (i = 0; i < state->msrs; i++) {
		if (state->msr[i].index == MSR_DEADLINE)
			deadline = &state->msr[i];
		else if (set_msr(vm, &state->msr[i]))
			return -1;
	}
	return deadline ? set_msr(vm, deadline) : 0;
}

int vcpu_tsc_offset(const struct vm *vm, unsigned long request, __u64 *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (__u64)offset,
	};

	return call(vm->cpu, request, &attr, "the TSC's offset");
}

/* Only through this buffer: the kernel writes as much as the host's CPU needs. */
static void *xsave_buffer(const struct vm *vm, bool *two)
{
	int size = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	void *buffer;

	*two = size > (int)sizeof(struct kvm_xsave);
	if (size > STATE_XSAVE) {
		fail("KVM: the CPU's extended state has %d bytes, more than %d", size, STATE_XSAVE);
		return NULL;
	}
	buffer = calloc(1, STATE_XSAVE);
	if (!buffer)
		fail_errno("no memory");
	return buffer;
}

static int get_xsave(const struct vm *vm, struct state *state)
{
	bool two;
	void *buffer = xsave_buffer(vm, &two);
	int done;

	if (!buffer)
		return -1;
	done = call(vm->cpu, two ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, buffer,
		    "reading the extended state");
	memcpy(state->xsave, buffer, STATE_XSAVE);
	free(buffer);
	return done;
}

/**
 * vcpu_get - take the paused vCPU's whole state
 * @vm: the guest
 * @state: where to
 *
 * Return: 0 or -1.
 */
int vcpu_get(const struct vm *vm, struct state *state)
{
	int cpu = vm->cpu;

	if (call(cpu, KVM_GET_MP_STATE, &state->mp, "reading the running state") ||
	    call(cpu, KVM_GET_REGS, &state->regs, "reading the registers") ||
	    call(cpu, KVM_GET_SREGS, &state->sregs, "reading the system registers") ||
	    call(cpu, KVM_GET_DEBUGREGS, &state->debugregs, "reading the debug registers") ||
	    call(cpu, KVM_GET_XCRS, &state->xcrs, "reading XCR0") ||
	    call(cpu, KVM_GET_LAPIC, &state->lapic, "reading the APIC") ||
	    call(cpu, KVM_GET_VCPU_EVENTS, &state->events, "reading pending events") ||
	    get_xsave(vm, state) || get_msrs(vm, state))
		return -1;
	return vcpu_tsc_offset(vm, KVM_GET_DEVICE_ATTR, &state->tsc_offset);
}

/**
 * vcpu_tell - say in one line where the vCPU stands, for whoever looks for a fault
 * @vm: the guest, not running at this moment
 * @text: where to
 * @size: of @text
 *
 * The APIC's request and service bits are those of the timer's interrupt alone.
 *
 * Return: 0 or -1.
 */
int vcpu_tell(const struct vm *vm, char *text, size_t size)
{
	struct kvm_msr_entry deadline = { .index = MSR_DEADLINE };
	struct kvm_lapic_state apic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	__u64 offset;
	const int at = GUEST_TIMER / 32 * 16, bit = GUEST_TIMER % 32 / 8;

	if (call(vm->cpu, KVM_GET_REGS, &regs, "reading the registers") ||
	    call(vm->cpu, KVM_GET_MP_STATE, &mp, "reading the running state") ||
	    call(vm->cpu, KVM_GET_LAPIC, &apic, "reading the APIC") ||
	    call(vm->cpu, KVM_GET_VCPU_EVENTS, &events, "reading pending events") ||
	    vcpu_tsc_offset(vm, KVM_GET_DEVICE_ATTR, &offset) || get_msr(vm, &deadline))
		return -1;
	snprintf(text, size,
		 "rip %#llx rflags %#llx rsp %#llx mp %u injected %u shadow %u request %d service %d timer %#x deadline %lld ticks away",
		 regs.rip, regs.rflags, regs.rsp, mp.mp_state, events.interrupt.injected,
		 events.interrupt.shadow, !!apic.regs[APIC_IRR + at + bit],
		 !!apic.regs[APIC_ISR + at + bit], (__u8)apic.regs[APIC_LVTT + 2],
		 deadline.data ? (long long)(deadline.data - (tsc() + offset)) : 0LL);
	return 0;
}

/**
 * vcpu_set - make a new vCPU what the saved one was
 * @vm: the guest, never run yet
 * @state: from vcpu_get
 *
 * The order matters: features decide what the rest may hold, the APIC's mode is
 * in the system registers, its timer needs the TSC, pending events need all.
 *
 * Return: 0 or -1.
 */
int vcpu_set(const struct vm *vm, const struct state *state)
{
	struct state copy = *state;
	struct cpuid all = { .head.nent = state->cpuids };
	int cpu = vm->cpu;

	memcpy(all.entries, state->cpuid, sizeof(all.entries));
	if (call(cpu, KVM_SET_CPUID2, &all, "this host's CPU lacks features of the old one") ||
	    vcpu_tsc_offset(vm, KVM_SET_DEVICE_ATTR, &copy.tsc_offset) ||
	    call(cpu, KVM_SET_SREGS, &copy.sregs, "setting the system registers") ||
	    call(cpu, KVM_SET_XCRS, &copy.xcrs, "setting XCR0") ||
	    call(cpu, KVM_SET_XSAVE, copy.xsave, "setting the extended state") ||
	    call(cpu, KVM_SET_REGS, &copy.regs, "setting the registers") ||
	    call(cpu, KVM_SET_DEBUGREGS, &copy.debugregs, "setting the debug registers") ||
	    call(cpu, KVM_SET_LAPIC, &copy.lapic, "setting the APIC") ||
	    set_msrs(vm, state) ||
	    call(cpu, KVM_SET_VCPU_EVENTS, &copy.events, "setting pending events") ||
	    call(cpu, KVM_SET_MP_STATE, &copy.mp, "setting the running state"))
		return -1;
	return 0;
}
