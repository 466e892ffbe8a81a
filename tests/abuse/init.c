// SPDX-License-Identifier: MIT
/*
 * Process 1: makes a small system, runs the scenario that the command line
 * names, looks at what it left behind, and switches the machine off.
 */
#include "abuse.h"

#include <fcntl.h>
#include <linux/reboot.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MANY 20

struct options opt = { .seed = 1, .round = 1, .patience = 300, .detectors = 1 };
long checks;
static long failures;

static const struct {
	const char *name;
	void (*run)(void);
	const char *parameters; /* of luo.ko */
} scenarios[] = {
	{ "fuzz", fuzz, "" }, { "threads", threads, "" }, { "faults", faults, "" },
	{ "rounds", rounds, "" }, { "security", security, "" },
	{ "image", image, "experimental_pci=1" }, { "damage", damage, "" },
	{ "arrival", arrival, "" },
};

void say(const char *format, ...)
{
	char line[512];
	va_list args;
	int n = snprintf(line, sizeof(line), "abuse: ");

	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	/* One write, so that threads and the kernel do not get in between. */
	strcat(line, "\n");
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(1);
}

void complain(const char *file, int line, const char *what, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say("FAILED %s:%d: %s:%s", file, line, what, text);
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED) >= MANY) {
		say("too many failures");
		end();
	}
}

/* A detector that has switched itself off finds nothing. */
static void detectors_are_on(void)
{
	char text[8192];
	int n;

	if (opt.detectors) {
		n = read_text("/proc/lockdep_stats", text, sizeof(text));
		CHECK(n > 0 && strstr(text, "debug_locks:                             1"),
		      "lockdep is off");
		CHECK(write_text("/sys/kernel/debug/kmemleak", "scan=off") == 0,
		      "kmemleak is off");
	}
	CHECK(read_text("/proc/sys/kernel/tainted", text, sizeof(text)) > 0);
	/* A module from outside the tree (4096). Warnings (512) are the log's to tell. */
	CHECK((atol(text) & ~(4096L | 512L)) == 0, "tainted: %s", text);
}

void look_for_leaks(void)
{
	static char text[65536];
	char *line, *rest = text;

	if (!opt.detectors)
		return;
	/* It takes nothing for lost that is younger than five seconds. */
	sleep(6);
	CHECK(write_text("/sys/kernel/debug/kmemleak", "scan") == 0);
	CHECK(write_text("/sys/kernel/debug/kmemleak", "scan") == 0);
	CHECK(read_text("/sys/kernel/debug/kmemleak", text, sizeof(text)) == 0,
	      "memory was lost:");
	while ((line = strsep(&rest, "\n")) && *line)
		say("%s", line);
}

void end(void)
{
	/* Threads may still want to tell something; the first end counts. */
	static int ended;

	if (getpid() != 1)
		_exit(1);
	if (__atomic_exchange_n(&ended, 1, __ATOMIC_SEQ_CST))
		for (;;)
			pause();
	detectors_are_on();
	say("end of %s: %ld checks, %ld failed", opt.scenario, checks, failures);
	sync();
	reboot(LINUX_REBOOT_CMD_RESTART);
	for (;;)
		pause();
}

static void read_options(void)
{
	char text[2048], *word, *rest = text;

	if (read_text("/proc/cmdline", text, sizeof(text)) <= 0)
		return;
	while ((word = strsep(&rest, " \n"))) {
		sscanf(word, "abuse=%31s", opt.scenario);
		sscanf(word, "seed=%lu", &opt.seed);
		sscanf(word, "count=%ld", &opt.count);
		sscanf(word, "round=%d", &opt.round);
		sscanf(word, "patience=%d", &opt.patience);
		sscanf(word, "carry=%ld", &opt.carry);
		sscanf(word, "free=%ld", &opt.free_first);
		sscanf(word, "detectors=%d", &opt.detectors);
	}
}

static void make_system(void)
{
	static const char *const types[][2] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
		{ "tmpfs", "/tmp" }, { "debugfs", "/sys/kernel/debug" },
	};
	int console;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		mkdir(types[i][1], 0755);
		mount(types[i][0], types[i][1], types[i][0], 0, NULL);
	}
	console = open("/dev/console", O_RDWR);
	for (i = 0; i < 3; i++)
		dup2(console, i);
	if (console > 2)
		close(console);
}

/* A machine that hangs tells which tasks wait, and for which locks. */
static void watch(void)
{
	if (fork())
		return;
	sleep(opt.patience);
	say("FAILED: not done after %d s", opt.patience);
	write_text("/proc/sysrq-trigger", "w");
	write_text("/proc/sysrq-trigger", "d");
	reboot(LINUX_REBOOT_CMD_RESTART);
	_exit(1);
}

int main(void)
{
	size_t i;

	make_system();
	read_options();
	chance = opt.seed * 1000003 + opt.round;
	opt.free_now = free_kib();
	if (opt.round == 1)
		opt.free_first = opt.free_now;
	say("start of %s: round %d, seed %lu, count %ld, %ld KiB free",
	    opt.scenario, opt.round, opt.seed, opt.count, opt.free_now);
	detectors_are_on();
	watch();

	for (i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (strcmp(opt.scenario, scenarios[i].name))
			continue;
		if (scenarios[i].run == faults && opt.round == 2)
			faults_in_load();
		MUST(load_module("luo", scenarios[i].parameters) == 0, "%m");
		MUST(load_module("luo_test", "") == 0, "%m");
		scenarios[i].run();
		closefrom(3);
		unload_luo();
		look_for_leaks();
		end();
	}
	complain(__FILE__, __LINE__, opt.scenario, "there is such scenario");
	end();
}
