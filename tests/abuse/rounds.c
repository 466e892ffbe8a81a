// SPDX-License-Identifier: MIT
/*
 * A kexec in each state, one after the other, and what of it arrives:
 *
 *   round 1  normal, with files preserved    -> nothing arrives
 *   round 2  prepared; new pages after it    -> all arrives, half is restored
 *   round 3  updated, finished, frozen       -> all arrives
 *   round 4  updated, half of it restored    -> nothing arrives
 *   round 5  frozen, cancelled, normal       -> nothing arrives
 *   round 6  prepared, a participant refuses the freeze -> the kexec is refused, by
 *            a probe that in the debug kernel stands on the function tracer
 *
 * Memory that came is all free again after FINISH, restored or not, and what
 * did not come costs the new kernel nothing.
 */
#include "abuse.h"

#include <fcntl.h>
#include <linux/kexec.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 8
#define SIZE (8 * MIB)
#define ALL_KIB ((long)(FILES * SIZE / 1024))
#define NOISE 4096 /* KiB */

static int dev;
static int fds[FILES];
static uint64_t tokens[FILES];

static uint64_t number(int round, int i)
{
	return opt.seed * 1000 + round * 100 + i;
}

static void preserve_files(void)
{
	int i;

	for (i = 0; i < FILES; i++) {
		fds[i] = new_memfd("round", MFD_ALLOW_SEALING);
		/* The second half is a hole until it is written, or for ever. */
		CHECK(ftruncate(fds[i], 2 * SIZE) == 0);
		fill(fds[i], 0, SIZE - PAGE, number(opt.round, i));
		CHECK(luo_preserve(dev, fds[i], &tokens[i]) == 0);
	}
	opt.carry = tokens[0];
}

static void write_into_holes(void)
{
	int i;

	for (i = 0; i < FILES; i++) {
		fill(fds[i], SIZE, 3 * PAGE, number(opt.round, i) + 50);
		fill(fds[i], 0, PAGE, number(opt.round, i) + 51);
	}
}

/* What came in this round was made in the one before. */
static void restore_one(int i, bool late_writes)
{
	uint64_t was = number(opt.round - 1, i);
	int fd = luo_restore(dev, opt.carry + i);
	struct stat st;

	if (!CHECK(fd >= 0, "file %d: %s", i, error_name(fd)))
		return;
	CHECK(fstat(fd, &st) == 0 && st.st_size == (off_t)(2 * SIZE));
	CHECK(has(fd, 0, PAGE, late_writes ? was + 51 : was), "file %d", i);
	CHECK(has(fd, PAGE, SIZE - 2 * PAGE, was), "file %d", i);
	if (late_writes)
		CHECK(has(fd, SIZE, 3 * PAGE, was + 50), "file %d", i);
	CHECK(st.st_blocks * 512 == (off_t)(SIZE - PAGE + (late_writes ? 3 * PAGE : 0)),
	      "file %d has %ld blocks", i, (long)st.st_blocks);
	CHECK(is_zero(fd, SIZE + 3 * PAGE, SIZE / 4), "file %d", i);
	CHECK(lseek(fd, SIZE + 3 * PAGE, SEEK_DATA) < 0 && errno == ENXIO);
	close(fd);
}

static void nothing_came(void)
{
	static struct shown list[MAX_TOKENS];

	CHECK(luo_state(dev) == 0 && shown_state_is(0));
	CHECK(shown_tokens(list) == 0);
	CHECK(opt.free_now > opt.free_first - NOISE, "%ld KiB were free in round 1, %ld are now",
	      opt.free_first, opt.free_now);
	CHECK(luo_restore(dev, opt.carry) == -EBUSY);
}

/* Restore the first so many of what came, finish, and count the memory. */
static void all_came(int restored, bool late_writes)
{
	long before, after;
	int i;

	MUST(luo_state(dev) == LIVEUPDATE_STATE_UPDATED);
	before = free_kib();
	for (i = 0; i < restored; i++)
		restore_one(i, late_writes);
	CHECK(luo_call(dev, FINISH, NULL) == 0);
	after = free_kib();
	say("%ld KiB came and %ld are free again after FINISH", ALL_KIB, after - before);
	CHECK(after - before > ALL_KIB - NOISE && after - before < ALL_KIB + NOISE);
	CHECK(luo_state(dev) == 0 && shown_state_is(0));
}

static void go(void)
{
	load_image();
	MUST(false, "the kexec came back: %s", error_name(jump()));
}

static void depart_normal(void)
{
	preserve_files();
	go();
}

static void depart_prepared(void)
{
	nothing_came();
	preserve_files();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	write_into_holes();
	go();
}

static void depart_frozen(void)
{
	all_came(FILES / 2, true);
	look_for_leaks();
	preserve_files();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	CHECK(luo_call(dev, FREEZE, NULL) == 0);
	CHECK(luo_call(dev, CANCEL, NULL) == 0);
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	CHECK(luo_call(dev, FREEZE, NULL) == 0);
	go();
}

static void depart_updated(void)
{
	int i;

	MUST(luo_state(dev) == LIVEUPDATE_STATE_UPDATED);
	for (i = 0; i < FILES / 2; i++)
		restore_one(i, false);
	go();
}

static void depart_cancelled(void)
{
	nothing_came();
	preserve_files();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	CHECK(luo_call(dev, FREEZE, NULL) == 0);
	CHECK(luo_call(dev, CANCEL, NULL) == 0);
	go();
}

/* Probes stand on the function tracer where there is one: in the kernel with detectors. */
static void veto_is_armed(void)
{
	char text[32] = "";

	read_text("/sys/kernel/liveupdate/veto", text, sizeof(text));
	CHECK(!strcmp(text, opt.detectors ? "kprobe-ftrace\n" : "kprobe\n"), "%s", text);
}

static void refused(void)
{
	long before, after;
	int i, err;

	nothing_came();
	veto_is_armed();
	before = free_kib();
	preserve_files();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	err = jump();
	CHECK(err == -EINVAL, "kexec without an image: %s", error_name(err));
	CHECK(luo_state(dev) == LIVEUPDATE_STATE_PREPARED);
	load_image();
	write_into_holes();
	CHECK(write_text("/sys/module/luo_test/parameters/freeze_result", "0,0,-5") == 0);
	err = jump();
	CHECK(err == -EIO, "kexec: %s", error_name(err));
	CHECK(luo_state(dev) == 0 && shown_state_is(0));
	for (i = 0; i < FILES; i++) {
		CHECK(has(fds[i], PAGE, SIZE - 2 * PAGE, number(opt.round, i)));
		CHECK(luo_unpreserve(dev, tokens[i]) == 0);
		CHECK(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE) == 0, "still pinned: %m");
		close(fds[i]);
	}
	CHECK(syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, KEXEC_FILE_UNLOAD) == 0, "%m");
	after = free_kib();
	CHECK(after > before - NOISE, "%ld KiB free before, %ld after", before, after);
	CHECK(write_text("/sys/module/luo_test/parameters/freeze_result", "0,0,0") == 0);
}

void rounds(void)
{
	static void (*const departures[])(void) = {
		depart_normal, depart_prepared, depart_frozen, depart_updated,
		depart_cancelled, refused,
	};

	dev = luo_open(O_RDWR);
	MUST(dev >= 0 && opt.round >= 1 && opt.round <= 6);
	departures[opt.round - 1]();
}
