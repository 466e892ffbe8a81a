// SPDX-License-Identifier: MIT
/*
 * An image that knows nothing of the handover, loaded by kexec_load(2) in place of one
 * that does. A PCI device takes part; before such an image it has to be shut down. The
 * image is a few instructions that look for themselves: they read the command register
 * of the device, say on the serial line how all of this ended, and reset the machine.
 */
#include "abuse.h"

#include <fcntl.h>
#include <linux/kexec.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WHERE 0x2000000UL
#define NODE "/sys/class/liveupdate/pci-0000:00:10.0/state"

/* Offsets in the page, known below as well. */
#define GOOD 1024
#define BAD 2048

extern const char look[], look_end[];

__asm__(".pushsection .rodata\n"
	"look:\n"
	/* The command register of 00:10.0; bit 2: master of the bus. */
	"	mov $0xcf8, %dx\n"
	"	mov $0x80008004, %eax\n"
	"	out %eax, %dx\n"
	"	mov $0xcfc, %dx\n"
	"	in %dx, %eax\n"
	"	lea look+1024(%rip), %rsi\n"
	"	test $4, %al\n"
	"	jz 1f\n"
	"	lea look+2048(%rip), %rsi\n"
	"1:	mov $0x3fd, %dx\n"
	"	in %dx, %al\n"
	"	test $0x20, %al\n"
	"	jz 1b\n"
	"	mov (%rsi), %al\n"
	"	inc %rsi\n"
	"	test %al, %al\n"
	"	jz 2f\n"
	"	mov $0x3f8, %dx\n"
	"	out %al, %dx\n"
	"	jmp 1b\n"
	"2:	mov $0xfe, %al\n"
	"	out %al, $0x64\n"
	"3:	hlt\n"
	"	jmp 3b\n"
	"look_end:\n"
	".popsection\n");

static void load_look(void)
{
	static char page[PAGE];
	struct kexec_segment segment = {
		.buf = page, .bufsz = PAGE, .mem = (void *)WHERE, .memsz = PAGE,
	};

	MUST(look_end - look < GOOD);
	memcpy(page, look, look_end - look);
	snprintf(page + GOOD, BAD - GOOD, "\r\nabuse: end of %s: %ld checks, 0 failed\r\n",
		 opt.scenario, checks + 1);
	snprintf(page + BAD, PAGE - BAD,
		 "\r\nabuse: FAILED: the device is still master of its bus\r\n");
	MUST(syscall(SYS_kexec_load, WHERE, 1UL, &segment, 0UL) == 0, "kexec_load: %m");
}

static bool device_is(const char *state)
{
	char text[32] = "";

	read_text(NODE, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, state);
}

void image(void)
{
	int dev;

	MUST(load_module("luo_edu", "") == 0, "%m");
	dev = luo_open(O_RDWR);
	MUST(dev >= 0 && device_is("registered"));
	load_image();
	MUST(luo_call(dev, PREPARE, NULL) == 0 && device_is("prepared"));
	load_look();
	MUST(false, "the kexec came back: %s", error_name(jump()));
}
