// SPDX-License-Identifier: MIT
/*
 * A live update with nothing around it: what the console is measured against.
 *
 *   update tsc                  print the time stamp counter
 *   update v2-save KIND SIZE    LUO v2: memfd, preserve, prepare, load, freeze, kexec
 *   update v2-load KIND         LUO v2: restore, verify, finish
 *   update v2-hold KIND SIZE    LUO v2: memfd, preserve; the rest is another's
 *   update v2-keep KIND         LUO v2: restore, verify, and keep it while another goes on
 *   update v2-again PID         LUO v2: preserve what that v2-keep has; the rest is another's
 *   update main-save KIND SIZE  mainline: session, preserve, load, kexec
 *   update main-load KIND       mainline: retrieve, verify, finish
 *
 * KIND is "pages" (4 KiB each), "huge" (transparent huge pages) or "sparse"
 * (sixteen pages, the rest are holes), SIZE in MiB; or it is "many", and SIZE
 * the number of files of a page each (LUO v2 alone). "save" prints what it
 * measured before it jumps; the line "jump TSC" is the last one, and is written
 * to /var/lib/luo-tui/jump as well. Times are in TSC ticks, which run on
 * through the kexec.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/dev/liveupdate"
#define TOKEN_FILE "/var/lib/luo-tui/bench-token"
#define NUMBER_FILE "/var/lib/luo-tui/bench-number"
#define FIGURES "/var/lib/luo-tui/bench-figures"
#define JUMP_FILE "/var/lib/luo-tui/jump"
#define SESSION "bench"
#define SETTLE 2

struct v2_fd {
	int32_t fd;
	uint32_t flags;
	uint64_t token;
};

struct session_open {
	uint32_t size;
	int32_t fd;
	uint8_t name[64];
};

struct session_fd {
	uint32_t size;
	int32_t fd;
	uint64_t token;
};

struct session_finish {
	uint32_t size;
	uint32_t reserved;
};

#define V2_PRESERVE _IOWR(0xBA, 0x00, struct v2_fd)
#define V2_RESTORE _IOWR(0xBA, 0x02, struct v2_fd)
#define V2_PREPARE _IO(0xBA, 0x04)
#define V2_FREEZE _IO(0xBA, 0x05)
#define V2_FINISH _IO(0xBA, 0x07)
#define MAIN_CREATE _IO(0xBA, 0x00)
#define MAIN_RETRIEVE _IO(0xBA, 0x01)
#define MAIN_PRESERVE_FD _IO(0xBA, 0x40)
#define MAIN_RETRIEVE_FD _IO(0xBA, 0x41)
#define MAIN_FINISH _IO(0xBA, 0x42)

static void die(const char *what)
{
	fprintf(stderr, "update: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t tsc(void)
{
	uint32_t lo, hi;

	__asm__ __volatile__("lfence; rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static void say(const char *what, uint64_t ticks)
{
	int fd = open(FIGURES, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	/* The connection may end with the kernel, before what was printed went through it. */
	if (fd < 0 || dprintf(fd, "%s %llu\n", what, (unsigned long long)ticks) < 0)
		die(FIGURES);
	close(fd);
	printf("%s %llu\n", what, (unsigned long long)ticks);
	fflush(stdout);
}

/* When something began: by the clock, and by what this task has had of the processor. */
struct begun {
	uint64_t ticks;
	uint64_t cpu;
};

static uint64_t cpu(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
		die("the task's clock");
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct begun begun(void)
{
	struct begun now = { .cpu = cpu() };

	now.ticks = tsc();
	return now;
}

/* Ticks, and nanoseconds without what others did meanwhile who heard of it. */
static void say_since(const char *what, struct begun begin)
{
	uint64_t ticks = tsc() - begin.ticks, used = cpu() - begin.cpu;
	char name[32];

	say(what, ticks);
	snprintf(name, sizeof(name), "%s_cpu", what);
	say(name, used);
}

static uint64_t word(uint64_t i)
{
	return (i + 1) * 0x9E3779B97F4A7C15ull;
}

static size_t step_of(const char *kind, size_t bytes)
{
	return strcmp(kind, "sparse") ? 4096 : bytes / 16;
}

/* One word in each page is enough to prove the page, and keeps TCG out of the figures. */
static int filled(const char *kind, size_t bytes)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t step = step_of(kind, bytes), i;
	uint64_t *at;

	if (fd < 0 || ftruncate(fd, bytes))
		die("memfd");
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die("mmap");
	if (!strcmp(kind, "huge") && madvise(at, bytes, MADV_HUGEPAGE))
		die("huge pages");
	for (i = 0; i < bytes; i += step)
		at[i / 8] = word(i);
	munmap(at, bytes);
	return fd;
}

static void verify(const char *kind, int fd)
{
	size_t bytes = lseek(fd, 0, SEEK_END), step = step_of(kind, bytes), i;
	uint64_t *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		die("mmap of the restored file");
	for (i = 0; i < bytes; i += step) {
		if (at[i / 8] != word(i)) {
			fprintf(stderr, "update: byte %zu differs\n", i);
			exit(2);
		}
	}
	printf("bytes %zu\n", bytes);
}

static void write_number(const char *path, uint64_t number)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%llu\n", (unsigned long long)number) < 0 || fsync(fd))
		die(path);
	close(fd);
}

static uint64_t read_number(const char *path)
{
	unsigned long long number;
	FILE *file = fopen(path, "re");

	if (!file || fscanf(file, "%llu", &number) != 1)
		die(path);
	fclose(file);
	return number;
}

/* The other one of the two kernels in /boot, with this one's command line. */
static void load_image(void)
{
	char image[512], initrd[1024], line[4096];
	struct utsname u;
	const char *tail;
	ssize_t got;
	int k, i, c;

	uname(&u);
	tail = strstr(u.release, "-luo-");
	if (!tail) {
		fprintf(stderr, "update: %s is not one of the lab's kernels\n", u.release);
		exit(1);
	}
	snprintf(image, sizeof(image), "/boot/vmlinuz-%.*s-luo-%s", (int)(tail - u.release),
		 u.release, strcmp(tail, "-luo-old") ? "old" : "new");
	snprintf(initrd, sizeof(initrd), "/boot/initrd.img-%s", image + strlen("/boot/vmlinuz-"));
	c = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	got = c < 0 ? -1 : read(c, line, sizeof(line) - 1);
	if (got < 0)
		die("/proc/cmdline");
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	k = open(image, O_RDONLY | O_CLOEXEC);
	i = open(initrd, O_RDONLY | O_CLOEXEC);
	if (k < 0 || i < 0)
		die(k < 0 ? image : initrd);
	if (syscall(SYS_kexec_file_load, k, i, strlen(line) + 1, line, 0UL))
		die("kexec_file_load");
}

static void jump(void)
{
	uint64_t now;

	sync();
	now = tsc();
	write_number(JUMP_FILE, now);
	say("jump", tsc());
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	die("reboot");
}

static int device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die(DEVICE);
	return fd;
}

/* From here on it is the same for one file and for many. */
static void v2_go(int dev)
{
	struct begun begin;

	/* Who listens to events of what was preserved has done so. */
	sleep(SETTLE);
	begin = begun();
	if (ioctl(dev, V2_PREPARE))
		die("prepare");
	say_since("prepare", begin);
	load_image();
	begin = begun();
	if (ioctl(dev, V2_FREEZE))
		die("freeze");
	say_since("freeze", begin);
	jump();
}

static void v2_end(int dev)
{
	struct begun begin = begun();

	if (ioctl(dev, V2_FINISH))
		die("finish");
	say_since("finish", begin);
	say("normal_at", tsc());
}

static int v2_preserve(int fd)
{
	struct v2_fd arg = { .fd = fd };
	int dev = device();
	struct begun begin;

	begin = begun();
	if (ioctl(dev, V2_PRESERVE, &arg))
		die("preserve");
	say_since("preserve", begin);
	write_number(TOKEN_FILE, arg.token);
	return dev;
}

static int v2_hold(const char *kind, size_t bytes)
{
	return v2_preserve(filled(kind, bytes));
}

/* The memory stays where it is from update to update, as a guest's does. */
static void v2_again(const char *pid)
{
	char path[64], link[64];
	int fd, n;

	for (fd = 3; fd < 16; fd++) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, fd);
		n = readlink(path, link, sizeof(link) - 1);
		if (n > 0 && !strncmp(link, "/memfd:", 7)) {
			v2_preserve(open(path, O_RDWR | O_CLOEXEC));
			return;
		}
	}
	die("the memfd of v2-keep");
}

/* Files that only the kernel holds. */
static void v2_save_many(size_t number)
{
	uint64_t first = 0;
	struct begun begin = begun();
	int dev = device();
	size_t i;

	for (i = 0; i < number; i++) {
		struct v2_fd arg = { .fd = filled("pages", 4096) };

		if (ioctl(dev, V2_PRESERVE, &arg))
			die("preserve");
		close(arg.fd);
		if (!i)
			first = arg.token;
	}
	say_since("preserve", begin);
	write_number(TOKEN_FILE, first);
	write_number(NUMBER_FILE, number);
	v2_go(dev);
}

static void v2_load_many(void)
{
	uint64_t first = read_number(TOKEN_FILE), number = read_number(NUMBER_FILE), i;
	struct begun begin;
	int dev = device();

	begin = begun();
	for (i = 0; i < number; i++) {
		struct v2_fd arg = { .fd = -1, .token = first + i };

		if (ioctl(dev, V2_RESTORE, &arg))
			die("restore");
		close(arg.fd);
	}
	say_since("restore", begin);
	v2_end(dev);
}

static int v2_restore(int dev)
{
	struct v2_fd arg = { .fd = -1, .token = read_number(TOKEN_FILE) };
	struct begun begin;

	begin = begun();
	if (ioctl(dev, V2_RESTORE, &arg))
		die("restore");
	say_since("restore", begin);
	say("restored_at", tsc());
	return arg.fd;
}

static void v2_load(const char *kind)
{
	int dev = device();

	verify(kind, v2_restore(dev));
	v2_end(dev);
}

static void v2_keep(const char *kind)
{
	verify(kind, v2_restore(device()));
	if (daemon(0, 0))
		die("daemon");
	pause();
}

static int session(int dev, unsigned long command)
{
	struct session_open arg = { .size = sizeof(arg), .fd = -1, .name = SESSION };

	if (ioctl(dev, command, &arg))
		die("session");
	return arg.fd;
}

static void main_save(const char *kind, size_t bytes)
{
	struct session_fd arg = { .size = sizeof(arg), .fd = filled(kind, bytes), .token = 1 };
	int s = session(device(), MAIN_CREATE);
	struct begun begin;

	sleep(SETTLE);
	begin = begun();
	if (ioctl(s, MAIN_PRESERVE_FD, &arg))
		die("preserve");
	say_since("prepare", begin);
	load_image();
	jump();
}

static void main_load(const char *kind)
{
	struct session_fd arg = { .size = sizeof(arg), .fd = -1, .token = 1 };
	struct session_finish end = { .size = sizeof(end) };
	int s = session(device(), MAIN_RETRIEVE);
	struct begun begin = begun();

	if (ioctl(s, MAIN_RETRIEVE_FD, &arg))
		die("retrieve");
	say_since("restore", begin);
	say("restored_at", tsc());
	verify(kind, arg.fd);
	begin = begun();
	if (ioctl(s, MAIN_FINISH, &end))
		die("finish");
	say_since("finish", begin);
	say("normal_at", tsc());
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *kind = argc > 2 ? argv[2] : "";
	size_t number = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, bytes = number << 20;

	if (!strcmp(what, "tsc"))
		say("tsc", tsc());
	else if (!strcmp(what, "v2-save") && !strcmp(kind, "many") && number)
		v2_save_many(number);
	else if (!strcmp(what, "v2-load") && !strcmp(kind, "many"))
		v2_load_many();
	else if (!strcmp(what, "v2-save") && bytes)
		v2_go(v2_hold(kind, bytes));
	else if (!strcmp(what, "v2-hold") && bytes)
		v2_hold(kind, bytes);
	else if (!strcmp(what, "v2-keep") && *kind)
		v2_keep(kind);
	else if (!strcmp(what, "v2-again") && *kind)
		v2_again(kind);
	else if (!strcmp(what, "v2-load") && *kind)
		v2_load(kind);
	else if (!strcmp(what, "main-save") && bytes)
		main_save(kind, bytes);
	else if (!strcmp(what, "main-load") && *kind)
		main_load(kind);
	else {
		fprintf(stderr,
			"usage: update tsc | v2-save KIND SIZE | v2-load KIND | v2-hold KIND SIZE | v2-keep KIND | v2-again PID | main-save KIND SIZE | main-load KIND\n");
		return 1;
	}
	return 0;
}
