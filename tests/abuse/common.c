// SPDX-License-Identifier: MIT
/* The device, /sys, memory files and the kernel, for all scenarios. */
#include "abuse.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PART (16 * PAGE)

uint64_t chance;

uint64_t next_of(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

int luo_open(int flags)
{
	int fd = open("/dev/liveupdate", flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int luo_call(int dev, unsigned int command, const void *arg)
{
	return ioctl(dev, command, arg) < 0 ? -errno : 0;
}

int luo_preserve(int dev, int fd, uint64_t *token)
{
	struct liveupdate_fd arg = { .fd = fd };
	int err = luo_call(dev, LIVEUPDATE_IOCTL_FD_PRESERVE, &arg);

	if (!err)
		*token = arg.token;
	return err;
}

int luo_unpreserve(int dev, uint64_t token)
{
	return luo_call(dev, LIVEUPDATE_IOCTL_FD_UNPRESERVE, &token);
}

int luo_restore(int dev, uint64_t token)
{
	struct liveupdate_fd arg = { .fd = -1, .token = token };
	int err = luo_call(dev, LIVEUPDATE_IOCTL_FD_RESTORE, &arg);

	return err ?: arg.fd;
}

int luo_state(int dev)
{
	int state = -1;
	int err = luo_call(dev, LIVEUPDATE_IOCTL_GET_STATE, &state);

	return err ?: state;
}

const char *state_name(int state)
{
	static const char *const names[] = { "normal", "prepared", "frozen", "updated" };

	return state < 0 || state > 3 ? "(no state)" : names[state];
}

const char *error_name(int error)
{
	return error ? strerrorname_np(abs(error)) ?: "(no errno)" : "0";
}

int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
		have += n;
	if (n < 0)
		n = -errno;
	close(fd);
	text[have] = '\0';
	return n < 0 ? n : (int)have;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

bool shown_state_is(int state)
{
	char text[32] = "";

	read_text("/sys/kernel/liveupdate/state", text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, state_name(state));
}

static void attribute(uint64_t token, const char *name, char *text, size_t size)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/liveupdate/token%lu/%s", token, name);
	if (read_text(path, text, size) < 0)
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

int shown_tokens(struct shown *list)
{
	DIR *dir = opendir("/sys/class/liveupdate");
	struct dirent *entry;
	char text[32];
	int n = 0;

	while (dir && (entry = readdir(dir)) && n < MAX_TOKENS) {
		if (sscanf(entry->d_name, "token%lu", &list[n].token) != 1)
			continue;
		attribute(list[n].token, "state", list[n].state, sizeof(list[n].state));
		attribute(list[n].token, "name", list[n].name, sizeof(list[n].name));
		attribute(list[n].token, "bytes", text, sizeof(text));
		list[n].bytes = strtoul(text, NULL, 10);
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

/* KASAN keeps freed objects back; shrinking their cache lets them go. */
static void shrink_caches(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[320];

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		write_text(path, "1");
	}
	if (dir)
		closedir(dir);
}

/* What is free, with what only waits to be freed driven out first. */
long free_kib(void)
{
	static char text[65536];
	long kib = 0;
	char *at;
	int i;

	shrink_caches();

	for (i = 0; i < 2; i++) {
		write_text("/proc/sys/vm/drop_caches", "3");
		usleep(200000);
	}
	read_text("/proc/meminfo", text, sizeof(text));
	at = strstr(text, "MemFree:");
	if (at)
		kib = atol(at + 8);
	/* Pages on the CPUs' own lists are free too. */
	read_text("/proc/zoneinfo", text, sizeof(text));
	for (at = text; (at = strstr(at, " count:")); at += 7)
		kib += atol(at + 7) * (long)(PAGE / 1024);
	return kib;
}

int new_memfd(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_CLOEXEC);

	MUST(fd >= 0, "memfd_create: %m");
	return fd;
}

static void contents(uint64_t *words, size_t size, uint64_t number, off_t at)
{
	size_t i;

	for (i = 0; i < size / 8; i++)
		words[i] = (number + 1) * 0x9e3779b97f4a7c15 + at + i * 8;
}

void fill(int fd, off_t from, size_t size, uint64_t number)
{
	static __thread uint64_t part[PART / 8];
	size_t done, n;

	for (done = 0; done < size; done += n) {
		n = size - done < PART ? size - done : PART;
		contents(part, PART, number, from + done);
		CHECK(pwrite(fd, part, n, from + done) == (ssize_t)n, "%m");
	}
}

bool has(int fd, off_t from, size_t size, uint64_t number)
{
	static __thread uint64_t want[PART / 8], got[PART / 8];
	size_t done, n;

	for (done = 0; done < size; done += n) {
		n = size - done < PART ? size - done : PART;
		contents(want, PART, number, from + done);
		if (pread(fd, got, n, from + done) != (ssize_t)n || memcmp(want, got, n))
			return false;
	}
	return true;
}

bool is_zero(int fd, off_t from, size_t size)
{
	static const char zero[PART];
	char got[PART];
	size_t done, n;

	for (done = 0; done < size; done += n) {
		n = size - done < PART ? size - done : PART;
		if (pread(fd, got, n, from + done) != (ssize_t)n || memcmp(zero, got, n))
			return false;
	}
	return true;
}

int load_module(const char *name, const char *parameters)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return err;
}

int unload_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

void unload_luo(void)
{
	int err = unload_module("luo_test");

	CHECK(!err, "luo_test: %s", error_name(err));
	err = unload_module("luo");
	CHECK(!err, "luo: %s", error_name(err));
	CHECK(access("/dev/liveupdate", F_OK), "the device is still there");
	CHECK(access("/sys/kernel/liveupdate", F_OK), "its folder is still there");
	CHECK(access("/sys/class/liveupdate", F_OK), "its class is still there");
}

static int copied(const char *disk, const char *path)
{
	static char buffer[MIB];
	int from = open(disk, O_RDONLY | O_CLOEXEC);
	int to = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	MUST(from >= 0 && to >= 0, "%s: %m", disk);
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		MUST(write(to, buffer, n) == n, "%s: %m", path);
	close(from);
	/* The kernel refuses to load what somebody may still write to. */
	close(to);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The next kernel is this one; what it is told differs in the round. */
void load_image(void)
{
	char line[2048], more[96], *at;
	int kernel = copied("/dev/vda", "/tmp/kernel");
	int initrd = copied("/dev/vdb", "/tmp/initrd");
	long err;

	MUST(read_text("/proc/cmdline", line, sizeof(line)) > 0);
	at = strstr(line, " round=");
	if (!at)
		at = line + strcspn(line, "\n");
	snprintf(more, sizeof(more), " round=%d carry=%ld free=%ld", opt.round + 1, opt.carry,
		 opt.free_first);
	strcpy(at, more);
	err = syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0UL);
	MUST(err == 0, "kexec_file_load: %m");
	close(kernel);
	close(initrd);
	unlink("/tmp/kernel");
	unlink("/tmp/initrd");
}

/* Returns only if the kernel refused. */
int jump(void)
{
	say("round %d ends with a kexec, %ld checks so far", opt.round, checks);
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	return -errno;
}
