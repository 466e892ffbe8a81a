/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest and lab-vmm both know: where things lie in the guest's RAM.
 * Read by the assembler too.
 */
#ifndef _LAB_VMM_GUEST_H
#define _LAB_VMM_GUEST_H

#define GUEST_RAM	0x800000
#define GUEST_PML4	0x1000
#define GUEST_PDPT	0x2000
#define GUEST_PD	0x3000
#define GUEST_GDT	0x4000
#define GUEST_IDT	0x5000
#define GUEST_PAGE	0x6000
#define GUEST_STACK	0x8000
#define GUEST_CODE	0x10000
/* From here on the guest touches nothing: random bytes that must arrive. */
#define GUEST_UNTOUCHED	0x100000

#define GUEST_CS	0x08
#define GUEST_DS	0x10
#define GUEST_TIMER	0x40
#define GUEST_PORT	0xe9

/* The page at GUEST_PAGE, in words of 64 bits. */
#define G_COUNT		0	/* iterations */
#define G_GAP		1	/* longest time between two of them, TSC ticks */
#define G_GAP_AT	2	/* the count at which it ended */
#define G_BACK		3	/* how often the TSC was less than before */
#define G_WRONG_RAM	4	/* how often the count here was not the register's */
#define G_WRONG_XMM	5	/* how often an XMM register was not G_XMM's */
#define G_PERIOD	6	/* TSC ticks between two timer interrupts */
#define G_INTERRUPTS	7	/* timer interrupts taken */
#define G_ID		8	/* the same number as in the state that goes with it */
#define G_XMM		10	/* what xmm5 and xmm13 hold */
#define G_LINE		14	/* 32 bytes to write a number in */

#endif /* _LAB_VMM_GUEST_H */
