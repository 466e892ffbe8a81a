// SPDX-License-Identifier: GPL-2.0
/* /dev/liveupdate, and the note on a disk that says which tokens are the guest's. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../liveupdate.h"
#include "vmm.h"

static int device = -1;

const char *luo_state_name(int state)
{
	static const char *const names[] = { "normal", "prepared", "frozen", "updated" };

	return state >= 0 && state < 4 ? names[state] : "unknown";
}

int luo_open(void)
{
	if (device >= 0)
		return 0;
	device = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (device < 0 && errno == ENOENT)
		return fail("there is no /dev/liveupdate: luo.ko is not loaded");
	return device < 0 ? fail_errno("/dev/liveupdate cannot be opened") : 0;
}

/* The orchestrator's state, or -1. */
int luo_state(void)
{
	int state;

	if (luo_open())
		return -1;
	if (ioctl(device, LIVEUPDATE_IOCTL_GET_STATE, &state))
		return fail_errno("the orchestrator does not tell its state");
	return state;
}

static int refused(const char *what, const char *act)
{
	int error = errno;
	int state = luo_state();

	errno = error;
	return fail_errno("%s is not %s (the orchestrator is in state %s)", what, act,
			  luo_state_name(state));
}

int luo_preserve(int fd, const char *what, __u64 *token)
{
	struct liveupdate_fd request = { .fd = fd };

	if (luo_open())
		return -1;
	if (ioctl(device, LIVEUPDATE_IOCTL_FD_PRESERVE, &request))
		return refused(what, "preserved");
	*token = request.token;
	return 0;
}

/* Gives a token back and forgets it; one that is forgotten already is no error. */
int luo_unpreserve(__u64 *token, const char *what)
{
	__u64 number = *token;

	if (*token == NO_TOKEN)
		return 0;
	if (luo_open())
		return -1;
	if (ioctl(device, LIVEUPDATE_IOCTL_FD_UNPRESERVE, &number) && errno != ENOENT)
		return refused(what, "given back");
	*token = NO_TOKEN;
	return 0;
}

int luo_restore(__u64 token, const char *what, int *fd)
{
	struct liveupdate_fd request = { .token = token };

	if (luo_open())
		return -1;
	if (ioctl(device, LIVEUPDATE_IOCTL_FD_RESTORE, &request))
		return refused(what, "restored");
	*fd = request.fd;
	return 0;
}

/*
 * A note of long ago may hold the number of somebody else's memfd, and what is
 * restored by mistake is lost to its owner: ask for its name first.
 */
int luo_is_ours(__u64 token, const char *name)
{
	char path[80], line[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/liveupdate/token%llu/name", token);
	file = fopen(path, "re");
	if (!file)
		return fail("token %llu did not come with this update", token);
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	if (strcmp(line, name))
		return fail("token %llu is of \"%s\", not of \"%s\"", token, line, name);
	return 0;
}

static int this_boot(char *to, size_t size)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	bool read = file && fgets(to, size, file);

	if (file)
		fclose(file);
	if (!read)
		return fail("this boot's id cannot be read");
	to[strcspn(to, "\n")] = 0;
	return 0;
}

static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	int fd, done;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	done = fsync(fd);
	close(fd);
	return done;
}

/**
 * tokens_write - note the tokens where the next kernel finds them
 * @path: the note
 * @tokens: what to note
 *
 * Return: 0 when it is on the disk; else -1, and no note is there.
 */
int tokens_write(const char *path, const struct tokens *tokens)
{
	char boot[40], fresh[PATH_MAX];
	struct tokens there;
	FILE *file;
	bool bad;

	if (this_boot(boot, sizeof(boot)))
		return -1;
	if (!tokens_read(path, &there) && !strcmp(there.boot, boot))
		return fail("another guest of this boot is noted in %s", path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	file = fopen(fresh, "we");
	if (!file)
		return fail_errno("%s cannot be written", fresh);
	bad = fprintf(file, "boot %s\nram %llu\nstate %llu\n", boot,
		      tokens->ram, tokens->state) < 0;
	bad |= fflush(file) || fsync(fileno(file));
	bad |= fclose(file) != 0;
	if (bad || rename(fresh, path) || sync_folder(path)) {
		fail_errno("%s cannot be written", path);
		unlink(fresh);
		unlink(path);
		return -1;
	}
	return 0;
}

/* A note of this very boot is no error here. */
int tokens_read(const char *path, struct tokens *tokens)
{
	FILE *file = fopen(path, "re");
	int found;

	if (!file)
		return fail_errno("no guest is noted in %s", path);
	found = fscanf(file, "boot %39s ram %llu state %llu", tokens->boot,
		       &tokens->ram, &tokens->state);
	fclose(file);
	return found == 3 ? 0 : fail("%s is not a note of tokens", path);
}

int tokens_of_this_boot(const struct tokens *tokens)
{
	char boot[40];

	return this_boot(boot, sizeof(boot)) ? -1 : !strcmp(tokens->boot, boot);
}

int tokens_remove(const char *path)
{
	if ((unlink(path) && errno != ENOENT) || sync_folder(path))
		return fail_errno("%s cannot be removed", path);
	return 0;
}
