/* SPDX-License-Identifier: MIT */
/*
 * A guest for a stock QEMU, of one sector: it counts each time that its timer wakes
 * it, and looks whether its memory, its registers and its disk are what they were.
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
	.set	LAST, FIGURES + 24
	.set	BUFFER, 0x8000
	.set	BOTTOM, 0x100000
	.set	STRIDE, 8188		/* two pages, less a word: at other places in each */
	.set	KEY, 0x5aa5c33c
	.set	ON_DISK, 0x6b736964
	.set	AT_ONCE, 128

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
	mov	$(LAST - FIGURES + 4) / 4, %cx
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

tick:
	sti
	hlt
	cli
	incl	COUNT
	inc	%ebp
	cmp	%ebp, COUNT
	je	look
	incl	WRONG_REGISTER
look:
	call	reach
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
	jb	more
	incl	PASSES
	mov	$BOTTOM, %esi
	mov	$1, %cx
more:
	loop	word
	mov	%esi, LAST
	cmp	$BOTTOM, %esi
	jne	tick

	/* The second sector of its disk. */
	movl	$0, BUFFER
	mov	$0x0201, %ax
	mov	$0x0002, %cx
	xor	%dh, %dh
	mov	drive, %dl
	mov	$BUFFER, %bx
	int	$0x13
	jc	no_disk
	cmpl	$ON_DISK, BUFFER
	je	tick
no_disk:
	incl	WRONG_DISK
	jmp	tick

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
