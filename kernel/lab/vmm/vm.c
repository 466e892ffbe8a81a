// SPDX-License-Identifier: GPL-2.0
/* The virtual machine: its RAM, its first state, and running it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm.h"

#define PRESENT_WRITABLE	0x3
#define LARGE			0x80
#define CR0_PE_MP_WP_PG		0x80010003
#define CR4_PAE_OSFXSR		0x620
#define EFER_LME_LMA		0x500
#define APIC_ENABLED_X2		0xc00
#define GATE_INTERRUPT		0x8e00
#define DESCRIPTOR_CODE		0x00af9b000000ffff
#define DESCRIPTOR_DATA		0x00cf93000000ffff
#define PERIOD_MS		10
#define KERNEL_SIGSET		8
#define SPLIT_PINS		24

static int open_kvm(struct vm *vm)
{
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0 && errno == ENOENT)
		return fail("there is no /dev/kvm: this kernel has no KVM for this CPU");
	if (vm->kvm < 0)
		return fail_errno("/dev/kvm cannot be opened");
	if (ioctl(vm->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return fail("/dev/kvm speaks another version of KVM's interface");
	return 0;
}

/* SIGIO, which stands for a request, gets through inside KVM_RUN alone: none is missed. */
static int requests_interrupt(struct vm *vm)
{
	struct {
		struct kvm_signal_mask head;
		__u8 mask[KERNEL_SIGSET];
	} inside = { .head.len = KERNEL_SIGSET };
	sigset_t all;

	sigprocmask(SIG_BLOCK, NULL, &all);
	sigdelset(&all, SIGIO);
	memcpy(inside.mask, &all, sizeof(inside.mask));
	if (ioctl(vm->cpu, KVM_SET_SIGNAL_MASK, &inside))
		return fail_errno("KVM: setting the signals");
	return 0;
}

/**
 * vm_create - make a virtual machine around the RAM in @vm->ram_fd
 * @vm: the guest
 *
 * Return: 0 or -1.
 */
int vm_create(struct vm *vm)
{
	struct kvm_enable_cap apic = {
		.cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { SPLIT_PINS },
	};
	struct kvm_userspace_memory_region slot = { .memory_size = GUEST_RAM };
	int size;

	if (open_kvm(vm))
		return -1;
	vm->ram = mmap(NULL, GUEST_RAM, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, vm->ram_fd, 0);
	if (vm->ram == MAP_FAILED)
		return fail_errno("the guest's RAM cannot be mapped");
	vm->page = (__u64 *)(vm->ram + GUEST_PAGE);
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return fail_errno("KVM makes no virtual machine");
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &apic))
		return fail_errno("KVM has no APIC for the guest");
	/* The rate as it is known now: KVM would take the boot's first guess, and scale. */
	if (ioctl(vm->fd, KVM_SET_TSC_KHZ, 0))
		return fail_errno("KVM does not set the TSC's rate");
	slot.userspace_addr = (__u64)vm->ram;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return fail_errno("KVM does not take the guest's RAM");
	vm->cpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->cpu < 0)
		return fail_errno("KVM makes no vCPU");
	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->cpu, 0);
	if (vm->run == MAP_FAILED)
		return fail_errno("the vCPU cannot be mapped");
	return requests_interrupt(vm);
}

static void store(struct vm *vm, size_t at, __u64 word)
{
	memcpy(vm->ram + at, &word, sizeof(word));
}

/* An identity map of all RAM, flat segments, one interrupt. */
static void tables(struct vm *vm)
{
	__u64 handler = GUEST_CODE + (guest_timer - guest_code);
	size_t i;

	store(vm, GUEST_PML4, GUEST_PDPT | PRESENT_WRITABLE);
	store(vm, GUEST_PDPT, GUEST_PD | PRESENT_WRITABLE);
	for (i = 0; i < GUEST_RAM >> 21; i++)
		store(vm, GUEST_PD + i * 8, i << 21 | PRESENT_WRITABLE | LARGE);
	store(vm, GUEST_GDT + GUEST_CS, DESCRIPTOR_CODE);
	store(vm, GUEST_GDT + GUEST_DS, DESCRIPTOR_DATA);
	store(vm, GUEST_IDT + GUEST_TIMER * 16,
	      (handler & 0xffff) | GUEST_CS << 16 | (__u64)GATE_INTERRUPT << 32 |
	      (handler >> 16 & 0xffff) << 48);
}

static int random_bytes(__u8 *to, size_t bytes)
{
	while (bytes) {
		ssize_t n = getrandom(to, bytes < 256 ? bytes : 256, 0);

		if (n < 0 && errno != EINTR)
			return fail_errno("no random bytes");
		if (n > 0) {
			to += n;
			bytes -= n;
		}
	}
	return 0;
}

static void segment(struct kvm_segment *segment, __u16 selector, __u8 type)
{
	*segment = (struct kvm_segment) {
		.limit = 0xffffffff, .selector = selector, .type = type,
		.present = 1, .s = 1, .g = 1, .l = selector == GUEST_CS,
		.db = selector != GUEST_CS,
	};
}

static int first_registers(struct vm *vm)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rdi = GUEST_PAGE, .rsp = GUEST_STACK, .rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(vm->cpu, KVM_GET_SREGS, &sregs))
		return fail_errno("KVM: reading the system registers");
	segment(&sregs.cs, GUEST_CS, 0xb);
	segment(&sregs.ss, GUEST_DS, 0x3);
	sregs.ds = sregs.ss;
	sregs.es = sregs.ss;
	sregs.fs = sregs.ss;
	sregs.gs = sregs.ss;
	sregs.gdt.base = GUEST_GDT;
	sregs.gdt.limit = GUEST_DS + 7;
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 0xfff;
	sregs.cr0 = CR0_PE_MP_WP_PG;
	sregs.cr3 = GUEST_PML4;
	sregs.cr4 = CR4_PAE_OSFXSR;
	sregs.efer = EFER_LME_LMA;
	sregs.apic_base |= APIC_ENABLED_X2;
	if (ioctl(vm->cpu, KVM_SET_SREGS, &sregs) || ioctl(vm->cpu, KVM_SET_REGS, &regs))
		return fail_errno("KVM: setting the first registers");
	return 0;
}

/**
 * vm_start - give a new guest its memfds, its RAM's contents and its first state
 * @vm: the guest
 *
 * Return: 0 or -1.
 */
int vm_start(struct vm *vm)
{
	int khz;

	vm->ram_fd = memfd_create("lab-guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	vm->state_fd = memfd_create("lab-guest-state", MFD_CLOEXEC);
	if (vm->ram_fd < 0 || vm->state_fd < 0 || ftruncate(vm->ram_fd, GUEST_RAM) ||
	    fcntl(vm->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return fail_errno("no memory for the guest");
	if (vm_create(vm) || vcpu_cpuid(vm, &vm->state))
		return -1;
	/* Every page is touched now: one that is new after a freeze would not arrive. */
	memset(vm->ram, 0, GUEST_UNTOUCHED);
	tables(vm);
	memcpy(vm->ram + GUEST_CODE, guest_code, guest_end - guest_code);
	khz = ioctl(vm->cpu, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		return fail("KVM does not know the rate of the TSC");
	vm->state.tsc_khz = khz;
	vm->state.ram = GUEST_RAM;
	if (random_bytes((__u8 *)&vm->state.id, sizeof(vm->state.id)) ||
	    random_bytes(vm->ram + GUEST_PAGE + G_XMM * 8, 32) ||
	    random_bytes(vm->ram + GUEST_UNTOUCHED, GUEST_RAM - GUEST_UNTOUCHED))
		return -1;
	vm->page[G_ID] = vm->state.id;
	vm->page[G_PERIOD] = vm->state.tsc_khz * PERIOD_MS;
	/* The guest's TSC begins at 0, and stays as far behind the host's for ever. */
	vm->state.tsc_offset = -tsc();
	if (first_registers(vm) ||
	    vcpu_tsc_offset(vm, KVM_SET_DEVICE_ATTR, &vm->state.tsc_offset))
		return -1;
	return state_write(vm->state_fd, &vm->state);
}

/* What the guest writes to its port, line by line. */
static void take_output(struct vm *vm)
{
	const char *at = (const char *)vm->run + vm->run->io.data_offset;
	size_t bytes = (size_t)vm->run->io.size * vm->run->io.count;
	struct state *state = &vm->state;

	for (; bytes; at++, bytes--) {
		if (*at == '\n') {
			state->line[state->line_length] = 0;
			memcpy(state->said, state->line, sizeof(state->said));
			state->line_length = 0;
		} else if (state->line_length < sizeof(state->line) - 1) {
			state->line[state->line_length++] = *at;
		}
	}
}

/**
 * vm_run - run the guest until somebody asks for something
 * @vm: the guest
 *
 * Nothing of what the guest began is half done on return: the vCPU can be saved.
 *
 * Return: 0; or -1 when the guest cannot go on, and words() says why.
 */
int vm_run(struct vm *vm)
{
	const struct timespec now = { 0 };
	const struct kvm_run *run = vm->run;
	sigset_t requests;

	sigemptyset(&requests);
	sigaddset(&requests, SIGIO);
	for (;;) {
		if (ioctl(vm->cpu, KVM_RUN, 0) < 0) {
			if (errno != EINTR)
				return fail_errno("KVM runs it no longer");
			while (sigtimedwait(&requests, NULL, &now) > 0)
				;
			return 0;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.direction != KVM_EXIT_IO_OUT || run->io.port != GUEST_PORT)
				return fail("it used port 0x%x, which it does not have",
					    run->io.port);
			take_output(vm);
			break;
		case KVM_EXIT_SHUTDOWN:
			return fail("it had a triple fault");
		case KVM_EXIT_FAIL_ENTRY:
			return fail("the CPU refused to enter it, reason 0x%llx",
				    (unsigned long long)
				    run->fail_entry.hardware_entry_failure_reason);
		case KVM_EXIT_INTERNAL_ERROR:
			return fail("KVM could not go on with it, internal error %u",
				    run->internal.suberror);
		default:
			return fail("KVM left it for an unexpected reason, number %u",
				    run->exit_reason);
		}
	}
}

/* Checksum of what the guest never touches. */
__u64 vm_sum(const struct vm *vm)
{
	return sum_words(vm->ram + GUEST_UNTOUCHED, GUEST_RAM - GUEST_UNTOUCHED);
}
