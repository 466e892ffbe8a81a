/* SPDX-License-Identifier: MIT */
/*
 * A guest for a stock QEMU, of one sector: it counts each time that its timer wakes
 * it, and looks whether its memory, its registers and its disk are what they were.
 * A second processor, if it has one, counts each time that the first one wakes it.
 *
 * TOP is where the memory ends that it fills. Its figures are 32-bit words at FIGURES.
 */
	.set	FIGURES, 0x600
	.set	COUNT, FIGURES
	.set	PASSES, FIGURES + 4	/* how often all memory was looked at */
	.set	WRONG_RAM, FIGURES + 8
	.set	WRONG_REGISTER, FIGURES + 12
	.set	WRONG_DISK, FIGURES + 16
	.set	BORN, FIGURES + 20	/* its time stamp counter when it began */
	.set	SECOND, FIGURES + 24	/* what the second processor has counted */
	.set	LAST, FIGURES + 28
	.set	WRITTEN, FIGURES + 32	/* what was written last to the third sector */
	.set	BUFFER, 0x8000
	.set	BOTTOM, 0x100000
	.set	STRIDE, 8188		/* two pages, less a word: at other places in each */
	.set	KEY, 0x5aa5c33c
	.set	ON_DISK, 0x6b736964
	.set	AT_ONCE, 128
	.set	STUB, 0x9000		/* where a processor that is started begins */
	.set	NMI, 8			/* the vector of that interrupt */
	/* The local APIC's command register (Intel SDM 3A, 11.6.1), and commands to all others. */
	.set	ICR, 0xfee00300
	.set	INIT, 0xc4500
	.set	STARTUP, 0xc4600 + STUB / 0x1000
	.set	WAKE, 0xc4400		/* an NMI, which needs nothing set up there */

	.code16
	.globl	_start
_start:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	mov	%dl, drive
	xor	%eax, %eax
	mov	$FIGURES, %di
	mov	$(WRITTEN - FIGURES + 4) / 4, %cx
	rep stosl
	rdtsc
	mov	%eax, BORN
	xor	%ebp, %ebp

	call	reach
	mov	$BOTTOM, %esi
fill:
	mov	%esi, %eax
	xor	$KEY, %eax
	mov	%eax, %fs:(%esi)
	add	$STRIDE, %esi
	cmp	$TOP, %esi
	jb	fill
	movl	$BOTTOM, LAST

	movl	$nmi, NMI
	movb	$0xea, STUB		/* ljmp $0, $second */
	movl	$second, STUB + 1
	mov	$INIT, %eax
	call	command
	sti
	hlt
	cli
	call	reach
	mov	$STARTUP, %eax
	call	command

tick:
	sti
	hlt
	cli
	incl	COUNT
	inc	%ebp
	cmp	%ebp, COUNT
	je	look
	lock incl	WRONG_REGISTER
look:
	call	reach
	mov	$WAKE, %eax
	call	command
	mov	LAST, %esi
	mov	$AT_ONCE, %cx
word:
	mov	%esi, %eax
	xor	$KEY, %eax
	cmp	%fs:(%esi), %eax
	je	next
	incl	WRONG_RAM
next:
	add	$STRIDE, %esi
	cmp	$TOP, %esi
	jae	disk
	loop	word
	mov	%esi, LAST
	jmp	tick

	/* The second sector of its disk is as it was made, the third as it was written last. */
disk:
	movl	$BOTTOM, LAST
	mov	$2, %cl
	mov	$ON_DISK, %esi
	call	read
	mov	$3, %cl
	mov	WRITTEN, %esi
	call	read
	incl	%esi
	mov	%esi, WRITTEN
	mov	%esi, BUFFER
	mov	$0x0301, %ax
	call	sector
	incl	PASSES
	jmp	tick

	/* Looks whether sector cl begins with esi. */
read:
	movl	$0, BUFFER
	mov	$0x0201, %ax
	call	sector
	cmp	%esi, BUFFER
	jne	wrong
	ret

	/* Does ax of the firmware's with sector cl. */
sector:
	xor	%ch, %ch
	xor	%dh, %dh
	mov	drive, %dl
	mov	$BUFFER, %bx
	int	$0x13
	jc	wrong
	ret
wrong:
	incl	WRONG_DISK
	ret

	/* Has the local APIC do eax. */
command:
	mov	$ICR, %esi
	mov	%eax, %fs:(%esi)
	ret

	/* The second processor, which nothing but an NMI wakes. */
second:
	mov	$0x7000, %sp
	xor	%ebp, %ebp
sleep:
	hlt
	incl	SECOND
	inc	%ebp
	cmp	%ebp, SECOND
	je	sleep
	lock incl	WRONG_REGISTER
	jmp	sleep
nmi:
	iret

	/* Has fs reach all memory, by the limit that it keeps from protected mode. */
reach:
	lgdtl	table
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	jmp	1f
1:	mov	$8, %bx
	mov	%bx, %fs
	and	$0xfe, %al
	mov	%eax, %cr0
	jmp	1f
1:	xor	%bx, %bx
	mov	%bx, %fs
	ret

	.balign	8
descriptors:
	.quad	0, 0x00cf92000000ffff
table:
	.word	. - descriptors - 1
	.long	descriptors
drive:
	.byte	0

	.org	510
	.word	0xaa55
	/* The second sector. */
	.ascii	"disk"
	.org	1024
