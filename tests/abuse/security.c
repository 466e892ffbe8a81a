// SPDX-License-Identifier: MIT
/*
 * Who may do what, and who can see what. Acting needs CAP_SYS_ADMIN in the
 * first user namespace at the moment of the call, whatever descriptor is used.
 * No contents show anywhere outside the file, and no memory shows in a file
 * that its owner did not write.
 */
#include "abuse.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "Xq7#LuoSecret#7qX"
#define DIRT 0xa5
#define DIRTY_MIB 96
#define UNWRITTEN (64 * PAGE)

static int dev;
static uint64_t token;
static int files_seen;

static void *find(const void *text, size_t size)
{
	return memmem(text, size, SECRET, strlen(SECRET));
}

/* All that can be read below a folder; writing must be refused. */
static void read_folder(const char *folder, bool root)
{
	static char text[1 << 18];
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[512];
	struct stat st;
	int n, fd;

	if (!root && !dir)
		return;
	MUST(dir, "%s: %m", folder);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%.200s", folder, entry->d_name);
		if (entry->d_name[0] == '.' || lstat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode))
			read_folder(path, root);
		if (!S_ISREG(st.st_mode))
			continue;
		CHECK(!(st.st_mode & 0022) && (!(st.st_mode & 0200) || strstr(path, "uevent")),
		      "%s can be written: %o", path, st.st_mode);
		fd = open(path, O_WRONLY);
		CHECK(root || fd < 0, "%s can be written", path);
		if (fd >= 0)
			close(fd);
		n = read_text(path, text, sizeof(text));
		CHECK(root || !strstr(path, "/debug/") || n < 0, "%s can be read", path);
		if (n >= 0)
			files_seen++;
		CHECK(n < 0 || !find(text, n), "%s shows the contents", path);
	}
	closedir(dir);
}

static void read_all(bool root)
{
	char path[64];

	files_seen = 0;
	snprintf(path, sizeof(path), "/sys/class/liveupdate/token%lu", token);
	read_folder(path, root);
	read_folder("/sys/kernel/liveupdate", root);
	read_folder("/sys/kernel/debug/luo", root);
	CHECK(files_seen > (root ? 20 : 15), "%d files are too few", files_seen);
}

/* Every act, by a descriptor that somebody with the right had opened. */
static void no_act(int fd, const char *who)
{
	static const unsigned int commands[] = {
		LIVEUPDATE_IOCTL_FD_PRESERVE, LIVEUPDATE_IOCTL_FD_UNPRESERVE,
		LIVEUPDATE_IOCTL_FD_RESTORE, PREPARE, FREEZE, CANCEL, FINISH,
	};
	struct liveupdate_fd arg = { .fd = new_memfd("mine", 0), .token = token };
	int err, state = luo_state(fd);
	size_t i;

	CHECK(state >= 0 && shown_state_is(state), "%s may look", who);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		err = luo_call(fd, commands[i], &arg);
		CHECK(err == -EPERM, "%s, command %zu: %s", who, i, error_name(err));
	}
	CHECK(luo_call(fd, _IO(0xba, 9), NULL) == -ENOTTY);
	CHECK(luo_state(fd) == state, "%s changed the state", who);
	close(arg.fd);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = {};

	MUST(syscall(SYS_capset, &header, none) == 0, "%m");
}

static void as_root_without_right(void)
{
	int fd;

	drop_capabilities();
	CHECK(luo_open(O_RDWR) == -EACCES && luo_open(O_WRONLY) == -EACCES);
	no_act(dev, "root without capabilities");
	/* The mode of the device lets root look. */
	fd = luo_open(O_RDONLY);
	CHECK(fd >= 0, "%s", error_name(fd));
	no_act(fd, "who opened for reading only");
}

static void as_user(void)
{
	MUST(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
	CHECK(luo_open(O_RDWR) == -EACCES && luo_open(O_RDONLY) == -EACCES);
	no_act(dev, "a user");
	read_all(false);
}

/* Full rights, but of a user namespace of one's own. */
static void as_root_of_namespace(void)
{
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "%m");
	MUST(write_text("/proc/self/setgroups", "deny") == 0);
	MUST(write_text("/proc/self/uid_map", "0 0 1") == 0);
	MUST(write_text("/proc/self/gid_map", "0 0 1") == 0);
	CHECK(luo_open(O_RDWR) == -EACCES);
	no_act(dev, "root of a user namespace");
}

static void as_user_of_namespace(void)
{
	MUST(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
	/* Whoever has changed his user does not own his own files in /proc. */
	MUST(prctl(PR_SET_DUMPABLE, 1) == 0);
	MUST(unshare(CLONE_NEWUSER) == 0, "%m");
	MUST(write_text("/proc/self/uid_map", "0 1000 1") == 0);
	CHECK(getuid() == 0);
	CHECK(luo_open(O_RDWR) == -EACCES && luo_open(O_RDONLY) == -EACCES);
	no_act(dev, "a user who is root of a user namespace");
	read_all(false);
}

static void as_each(void)
{
	static void (*const roles[])(void) = {
		as_root_without_right, as_user, as_root_of_namespace, as_user_of_namespace,
	};
	int status = -1;
	size_t i;

	for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		long before = checks;
		pid_t child = fork();

		if (!child) {
			roles[i]();
			/* Failures are told already; tell that all were made. */
			_exit(checks - before > 8 ? 0 : 1);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0, "role %zu: %x", i,
		      status);
	}
}

static int listen_to_events(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int s = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       NETLINK_KOBJECT_UEVENT);

	MUST(s >= 0 && bind(s, (void *)&address, sizeof(address)) == 0, "%m");
	return s;
}

static void events_show_nothing(int s)
{
	char text[8192];
	ssize_t n;
	int events = 0;

	while ((n = recv(s, text, sizeof(text), 0)) > 0) {
		events++;
		CHECK(!find(text, n), "an event shows the contents");
	}
	CHECK(events > 1, "%d events", events);
	close(s);
}

/* Fill what is free with something that would be noticed. */
static void make_dirty(void)
{
	char *map = mmap(NULL, DIRTY_MIB * MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(map != MAP_FAILED);
	memset(map, DIRT, DIRTY_MIB * MIB);
	munmap(map, DIRTY_MIB * MIB);
}

static void depart(void)
{
	int fd = new_memfd("secret", 0), s = listen_to_events();
	char text[PAGE];
	struct stat st;

	CHECK(stat("/dev/liveupdate", &st) == 0 && (st.st_mode & 07777) == 0600 && !st.st_uid);
	memset(text, 0, sizeof(text));
	memcpy(text + 100, SECRET, strlen(SECRET));
	CHECK(write(fd, text, 200) == 200);

	make_dirty();
	/* Allocated but not written, then a hole, then one byte, then the end. */
	CHECK(fallocate(fd, 0, 2 * PAGE, UNWRITTEN) == 0, "%m");
	CHECK(pwrite(fd, "x", 1, 2 * UNWRITTEN) == 1);
	CHECK(luo_preserve(dev, fd, &token) == 0);
	as_each();
	read_all(true);
	opt.carry = token;
	load_image();
	make_dirty();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	/* A hole that is filled by a fault alone. */
	CHECK(pwrite(fd, "y", 1, UNWRITTEN + 8 * PAGE + 5) == 1);
	as_each();
	CHECK(luo_call(dev, FREEZE, NULL) == 0);
	as_each();
	read_all(true);
	events_show_nothing(s);
	MUST(false, "the kexec came back: %s", error_name(jump()));
}

static void arrive(void)
{
	int fd;
	char text[200];

	token = opt.carry;
	MUST(luo_state(dev) == LIVEUPDATE_STATE_UPDATED);
	as_each();
	read_all(true);
	make_dirty();
	fd = luo_restore(dev, token);
	MUST(fd >= 0, "%s", error_name(fd));
	CHECK(pread(fd, text, sizeof(text), 0) == sizeof(text) && find(text, sizeof(text)));
	CHECK(is_zero(fd, 0, 100) && is_zero(fd, 200, UNWRITTEN + 8 * PAGE + 5 - 200));
	CHECK(is_zero(fd, UNWRITTEN + 8 * PAGE + 6, UNWRITTEN - 8 * PAGE - 6));
	CHECK(ftruncate(fd, 2 * UNWRITTEN + PAGE) == 0, "%m");
	CHECK(is_zero(fd, 2 * UNWRITTEN + 1, PAGE - 1), "beyond the old end");
	as_each();
	read_all(true);
	CHECK(luo_call(dev, FINISH, NULL) == 0);
	close(fd);
}

void security(void)
{
	dev = luo_open(O_RDWR);
	MUST(dev >= 0);
	if (opt.round == 1)
		depart();
	arrive();
}
