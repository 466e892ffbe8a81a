// SPDX-License-Identifier: MIT
/*
 * Memory that runs out. The kernel lets the Nth allocation of a task fail; each
 * call is made with N = 1, 2, 3 ... until it gets through without a failure.
 * After each failure everything has to be as before the call: the state, the
 * tokens, the files (not one page pinned, none too few), and the call has to
 * work when it is made again.
 */
#include "abuse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAULTS "/sys/kernel/debug/"
#define MOST 100000 /* no call allocates that often */
#define EXACT 100 /* so many of a call's first and last allocations are tried */
#define STEP 16 /* and one of so many of those between */
#define INCOMING 90
#define PAGES 6
#define HOLE (40 * PAGE)
#define NOISE 4096 /* KiB; what comes and goes by itself */
#define RAIN 60
#define WARM 50

static int dev;
static int nth_fd, chance_fd;
static long faulted;

static void allow_faults(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		/* Each would tell of itself with a stack dump. */
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};
	char path[96];
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), FAULTS "%s", settings[i][0]);
		MUST(write_text(path, settings[i][1]) == 0, "%s", path);
	}
	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	chance_fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	MUST(nth_fd >= 0 && chance_fd >= 0, "%m");
}

static void fail_nth(int n)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%d", n);

	MUST(pwrite(nth_fd, text, size, 0) == size, "%m");
}

static int not_counted(void)
{
	char text[16] = "";

	MUST(pread(nth_fd, text, sizeof(text) - 1, 0) > 0, "%m");
	fail_nth(0);
	return atoi(text);
}

/* Did it fail one? Also ends it. */
static bool has_failed(void)
{
	char text[16] = "";

	MUST(pread(nth_fd, text, sizeof(text) - 1, 0) > 0, "%m");
	if (text[0] == '0') {
		faulted++;
		return true;
	}
	fail_nth(0);
	return false;
}

/* Two files: one that needs little, and one with holes and many folios. */
struct pair {
	int fd[2];
	uint64_t token[2];
};

static int new_file(int i, uint64_t number)
{
	int fd = new_memfd("faulty", MFD_ALLOW_SEALING);
	int page;

	CHECK(ftruncate(fd, HOLE + PAGE) == 0);
	for (page = 0; page < (i ? 4 * PAGES : PAGES); page++)
		fill(fd, page * (i ? 1 : 2) * PAGE, PAGE, number);
	return fd;
}

static void make_pair(struct pair *p)
{
	int i;

	for (i = 0; i < 2; i++) {
		p->fd[i] = new_file(i, i);
		CHECK(luo_preserve(dev, p->fd[i], &p->token[i]) == 0);
	}
}

/* Is nothing pinned and nothing held any more? Sealing needs just that. */
static void drop_pair(struct pair *p, bool kept)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (kept)
			CHECK(luo_unpreserve(dev, p->token[i]) == 0);
		CHECK(has(p->fd[i], 0, PAGE, i));
		CHECK(ftruncate(p->fd[i], HOLE + 2 * PAGE) == 0, "still frozen: %m");
		CHECK(fcntl(p->fd[i], F_ADD_SEALS, F_SEAL_WRITE) == 0, "still pinned: %m");
		close(p->fd[i]);
	}
}

static void stands_at(int state, int tokens, const char *what, int n)
{
	static struct shown list[MAX_TOKENS];

	CHECK(luo_state(dev) == state && shown_state_is(state),
	      "%s, allocation %d failed: state %s, not %s", what, n,
	      state_name(luo_state(dev)), state_name(state));
	CHECK(shown_tokens(list) == tokens, "%s, allocation %d failed", what, n);
}

/*
 * One call in all its failures. It may get over one, and it may say ENOMEM if
 * it may say anything.
 */
static void sweep(const char *what, int (*begin)(struct pair *), int (*call)(struct pair *),
		  int (*undo)(struct pair *), bool may_fail)
{
	int n, err, all, tried = 0, refused = 0;
	struct pair p;
	bool failed;

	make_pair(&p);
	CHECK(!begin || begin(&p) == 0);
	fail_nth(MOST);
	CHECK(call(&p) == 0);
	all = MOST - not_counted();
	CHECK(!undo || undo(&p) == 0);
	drop_pair(&p, true);

	for (n = 1; n < MOST; n += n < EXACT || n > all - EXACT ? 1 : STEP) {
		tried++;
		make_pair(&p);
		CHECK(!begin || begin(&p) == 0);
		fail_nth(n);
		err = call(&p);
		failed = has_failed();
		CHECK(!err || (failed && may_fail && err == -ENOMEM), "%s, allocation %d: %s",
		      what, n, error_name(err));
		if (err) {
			refused++;
			/* A refused move ends in normal, whatever it began in. */
			stands_at(0, 2, what, n);
			CHECK(!begin || begin(&p) == 0);
			err = call(&p);
			CHECK(!err, "%s again after allocation %d failed: %s", what, n,
			      error_name(err));
		}
		CHECK(!undo || undo(&p) == 0);
		stands_at(0, 2, what, n);
		drop_pair(&p, true);
		if (!failed)
			break;
	}
	say("%s: %d allocations, %d of them failed, %d refusals", what, n - 1, tried - 1, refused);
	CHECK(n < MOST, "%s: more than %d allocations", what, MOST);
	CHECK(!may_fail || refused, "%s was never refused", what);
}

static int prepare(struct pair *p)
{
	(void)p;
	return luo_call(dev, PREPARE, NULL);
}

static int freeze(struct pair *p)
{
	(void)p;
	return luo_call(dev, FREEZE, NULL);
}

static int cancel(struct pair *p)
{
	(void)p;
	return luo_call(dev, CANCEL, NULL);
}

/* New pages after PREPARE are what FREEZE needs memory for. */
static int prepare_and_write(struct pair *p)
{
	int err = prepare(p), i;

	for (i = 0; i < 2; i++)
		CHECK(pwrite(p->fd[i], "x", 1, HOLE) == 1);
	return err;
}

static int prepare_and_freeze(struct pair *p)
{
	return prepare_and_write(p) ?: freeze(p);
}

static int new_fd = -1;
static uint64_t new_token;

static int preserve_one(struct pair *p)
{
	(void)p;
	return luo_preserve(dev, new_fd, &new_token);
}

static int unpreserve_one(struct pair *p)
{
	(void)p;
	int err = luo_unpreserve(dev, new_token);

	close(new_fd);
	new_fd = -1;
	return err;
}

static int make_one(struct pair *p)
{
	(void)p;
	if (new_fd < 0)
		new_fd = new_file(0, 9);
	return 0;
}

static int preserved_one(struct pair *p)
{
	return make_one(p) ?: preserve_one(p);
}

/* RESTORE goes on where it failed: each token has its own failure. */
static void sweep_restore(void)
{
	int n, fd, refused = 0;
	bool failed = true;

	for (n = 1; n <= INCOMING && failed; n++) {
		uint64_t token = opt.carry + n - 1;

		fail_nth(n);
		fd = luo_restore(dev, token);
		failed = has_failed();
		CHECK(fd >= 0 || (failed && fd == -ENOMEM), "allocation %d: %s", n,
		      error_name(fd));
		if (fd < 0) {
			refused++;
			stands_at(3, INCOMING, "RESTORE", n);
			fd = luo_restore(dev, token);
			CHECK(fd >= 0, "again after allocation %d failed: %s", n,
			      error_name(fd));
		}
		CHECK(has(fd, 0, PAGE, n - 1) && has(fd, 3 * PAGE, PAGE, n - 1),
		      "allocation %d failed: the contents are wrong", n);
		CHECK(is_zero(fd, 5 * PAGES * PAGE, PAGE));
		close(fd);
	}
	say("RESTORE: %d allocations, %d refusals", n - 2, refused);
	CHECK(!failed, "more allocations than files");
	CHECK(refused > 1);
	fail_nth(1);
	CHECK(luo_call(dev, FINISH, NULL) == 0);
	has_failed();
	stands_at(0, 0, "FINISH", 1);
}

/* Saying so needs memory too. */
static void make_it_fail(char how)
{
	while (pwrite(chance_fd, &how, 1, 0) != 1)
		MUST(errno == ENOMEM, "%m");
}

/* Many allocations of this task fail by chance, in everything it does. */
static void rain(void)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	char path[96];
	struct pair p;
	int i, k, err, refused = 0;

	for (k = 0; k < 2; k++) {
		snprintf(path, sizeof(path), FAULTS "%s/task-filter", kinds[k]);
		CHECK(write_text(path, "Y") == 0);
		snprintf(path, sizeof(path), FAULTS "%s/times", kinds[k]);
		CHECK(write_text(path, "-1") == 0);
		snprintf(path, sizeof(path), FAULTS "%s/probability", kinds[k]);
		CHECK(write_text(path, "2") == 0);
	}
	make_pair(&p);
	for (i = 0; i < RAIN; i++) {
		make_it_fail('1');
		err = prepare(&p);
		if (!err)
			err = freeze(&p);
		make_it_fail('0');
		CHECK(!err || err == -ENOMEM, "%s", error_name(err));
		refused += !!err;
		if (!err)
			CHECK(cancel(&p) == 0);
		stands_at(0, 2, "rain", i);
	}
	for (k = 0; k < 2; k++) {
		snprintf(path, sizeof(path), FAULTS "%s/probability", kinds[k]);
		CHECK(write_text(path, "0") == 0);
	}
	CHECK(prepare(&p) == 0 && freeze(&p) == 0 && cancel(&p) == 0);
	drop_pair(&p, true);
	say("by chance: %d of %d refused", refused, RAIN);
	CHECK(refused > 3);
}

/*
 * Pages that nobody would miss, and that kmemleak does not know: so many turns
 * that a few lost pages in each are more than what comes and goes by itself; in a
 * soak one page is.
 */
static void count_pages(void)
{
	static const char *const refusals[] = { "0,-12,0", "0,0,0" };
	long before = 0, after;
	struct pair p;
	int i;

	make_pair(&p);
	for (i = -WARM; i < opt.count; i++) {
		if (!i)
			before = free_kib();
		CHECK(write_text("/sys/module/luo_test/parameters/calls", "") == 0);
		CHECK(write_text("/sys/module/luo_test/parameters/prepare_result",
				 refusals[0]) == 0);
		CHECK(prepare(&p) == -ENOMEM);
		CHECK(write_text("/sys/module/luo_test/parameters/prepare_result",
				 refusals[1]) == 0);
		CHECK(prepare_and_freeze(&p) == 0 && cancel(&p) == 0);
	}
	after = free_kib();
	drop_pair(&p, true);
	say("%ld turns: %ld KiB free, %ld before", opt.count, after, before);
	CHECK(after > before - NOISE, "%ld KiB are lost", before - after);
}

/* Only what is allocated on behalf of one function of the kernel may fail. */
static void only_within(const char *function)
{
	unsigned long at, from = 0, to = 0;
	char line[512], name[128], text[32];
	FILE *symbols = fopen("/proc/kallsyms", "re");

	MUST(symbols, "%m");
	while (fgets(line, sizeof(line), symbols)) {
		if (sscanf(line, "%lx %*c %127s", &at, name) != 2)
			continue;
		if (from && at > from) {
			to = at;
			break;
		}
		if (!strcmp(name, function))
			from = at;
	}
	fclose(symbols);
	MUST(from && to, "no %s", function);
	snprintf(text, sizeof(text), "%#lx", from);
	MUST(write_text(FAULTS "failslab/require-start", text) == 0);
	snprintf(text, sizeof(text), "%#lx", to);
	MUST(write_text(FAULTS "failslab/require-end", text) == 0);
}

/*
 * Each part of luo.ko needs memory when it is loaded. Without it the module is not
 * loaded, and nothing is lost: the next load finds everything, which sweep_restore()
 * then looks at.
 */
void faults_in_load(void)
{
	/* What luo.ko calls, and the kernel's module loader does not. */
	static const char *const within[] = {
		"class_register", "__xa_insert", "sysfs_create_groups", "misc_register",
	};
	size_t i;
	int err;

	allow_faults();
	CHECK(write_text(FAULTS "failslab/task-filter", "Y") == 0);
	CHECK(write_text(FAULTS "failslab/times", "-1") == 0);
	CHECK(write_text(FAULTS "failslab/probability", "100") == 0);
	for (i = 0; i < sizeof(within) / sizeof(within[0]); i++) {
		only_within(within[i]);
		make_it_fail('1');
		err = load_module("luo", "");
		make_it_fail('0');
		CHECK(err == -ENOMEM, "load without memory in %s: %s", within[i],
		      error_name(err));
		CHECK(access("/sys/kernel/liveupdate", F_OK) && access("/dev/liveupdate", F_OK),
		      "after %s", within[i]);
		say("load without memory in %s: refused", within[i]);
	}
	CHECK(write_text(FAULTS "failslab/probability", "0") == 0);
	CHECK(write_text(FAULTS "failslab/require-start", "0") == 0);
	CHECK(write_text(FAULTS "failslab/require-end", "0xffffffffffffffff") == 0);
}

void faults(void)
{
	uint64_t token;
	int i, fd;

	allow_faults();
	dev = luo_open(O_RDWR);
	MUST(dev >= 0);
	if (opt.round == 2) {
		sweep_restore();
		say("%ld allocations failed", faulted);
		return;
	}
	sweep("PRESERVE", make_one, preserve_one, unpreserve_one, true);
	sweep("UNPRESERVE", preserved_one, unpreserve_one, NULL, false);
	sweep("PREPARE", NULL, prepare, cancel, true);
	sweep("FREEZE", prepare_and_write, freeze, cancel, true);
	sweep("CANCEL", prepare_and_freeze, cancel, NULL, false);
	rain();
	say("%ld allocations failed", faulted);
	count_pages();

	for (i = 0; i < INCOMING; i++) {
		fd = new_file(1, i);
		CHECK(luo_preserve(dev, fd, &token) == 0);
		if (!i)
			opt.carry = token;
		close(fd);
	}
	load_image();
	CHECK(prepare(NULL) == 0);
	MUST(false, "the kexec came back: %s", error_name(jump()));
}
