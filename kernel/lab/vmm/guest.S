/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest: counts without end, and holds each step against what it knew.
 *
 * It is started in 64-bit mode with interrupts off, rdi at its page. The count
 * lives in rbx, the TSC of the last iteration in r12: what the page says of the
 * count must never differ. Between two bursts it halts until its own timer wakes
 * it, so that a host with one CPU has time for others.
 */
#include "guest.h"

#define G(word)		((word) * 8)(%rdi)
#define BURST		256
#define LINE_EVERY	64

#define MSR_APIC_EOI	0x80b
#define MSR_APIC_SPIV	0x80f
#define MSR_APIC_LVTT	0x832
#define MSR_DEADLINE	0x6e0
#define APIC_ENABLED	0x1ff
#define LVTT_DEADLINE	(2 << 17)

	.section .rodata
	.globl	guest_code, guest_timer, guest_end
guest_code:
	movdqu	G(G_XMM), %xmm5
	movdqu	G(G_XMM + 2), %xmm13
	mov	G(G_COUNT), %rbx
	xor	%r15d, %r15d

	xor	%edx, %edx
	mov	$MSR_APIC_SPIV, %ecx
	mov	$APIC_ENABLED, %eax
	wrmsr
	mov	$MSR_APIC_LVTT, %ecx
	mov	$(LVTT_DEADLINE | GUEST_TIMER), %eax
	wrmsr

	rdtsc
	shl	$32, %rdx
	lea	(%rax, %rdx), %r12

.Lburst:
	mov	$BURST, %r8d
.Lnext:
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %r9
	sub	%r12, %r9
	jae	.Lforward
	incq	G(G_BACK)
	xor	%r9d, %r9d
.Lforward:
	mov	%rax, %r12
	cmp	G(G_GAP), %r9
	jbe	.Lchecks
	mov	%r9, G(G_GAP)
	mov	%rbx, G(G_GAP_AT)

.Lchecks:
	cmp	%rbx, G(G_COUNT)
	je	.Lxmm
	incq	G(G_WRONG_RAM)
.Lxmm:
	movdqu	G(G_XMM), %xmm0
	movdqu	G(G_XMM + 2), %xmm1
	pcmpeqb	%xmm5, %xmm0
	pcmpeqb	%xmm13, %xmm1
	pand	%xmm1, %xmm0
	pmovmskb %xmm0, %eax
	cmp	$0xffff, %eax
	je	.Lcount
	incq	G(G_WRONG_XMM)
.Lcount:
	inc	%rbx
	mov	%rbx, G(G_COUNT)
	dec	%r8d
	jnz	.Lnext

	inc	%r15d
	test	$(LINE_EVERY - 1), %r15d
	jnz	.Lhalt

	/* The count in decimal digits, from the line's end on backwards. */
	mov	%rbx, %rax
	lea	G(G_LINE + 4), %r10
	mov	%r10, %r13
	dec	%r10
	movb	$'\n', (%r10)
	mov	$10, %r11d
.Ldigit:
	xor	%edx, %edx
	div	%r11
	add	$'0', %dl
	dec	%r10
	mov	%dl, (%r10)
	test	%rax, %rax
	jnz	.Ldigit
	mov	%r10, %rsi
	mov	%r13, %rcx
	sub	%r10, %rcx
	mov	$GUEST_PORT, %edx
	rep outsb

.Lhalt:
	mov	%r12, %rax
	add	G(G_PERIOD), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$MSR_DEADLINE, %ecx
	wrmsr
	/* An interrupt comes no earlier than after hlt. */
	sti
.Lsleep:
	hlt
	cli
	jmp	.Lburst

guest_timer:
	push	%rax
	push	%rcx
	push	%rdx
	incq	G(G_INTERRUPTS)
	xor	%eax, %eax
	xor	%edx, %edx
	mov	$MSR_APIC_EOI, %ecx
	wrmsr
	/*
	 * Nested in an emulator it does come before hlt now and then, which would
	 * then wait for an interrupt that was here already.
	 */
	lea	.Lsleep(%rip), %rax
	cmp	%rax, 24(%rsp)
	jne	.Lawake
	incq	24(%rsp)
.Lawake:
	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq
guest_end:

	.section .note.GNU-stack, "", @progbits
