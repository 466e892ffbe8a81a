// SPDX-License-Identifier: MIT
/*
 * Random calls, and a model that knows what may come of each.
 *
 * For every call the model collects the errors that apply to it, in whatever
 * order the kernel may look for them. If none applies the call has to succeed,
 * else it has to fail with one of them. After each call the state is what the
 * model says, by GET_STATE and in /sys; now and then all tokens are too.
 *
 * The model itself crosses the kexec in a memfd.
 */
#include "abuse.h"
#include "model.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 2 /* one kexec between them */

/* Pointers to an argument, good and bad. */
enum pointer { GOOD, CROOKED, READ_ONLY, HALF, UNMAPPED, NOWHERE, KERNEL, POINTERS };

static char *window; /* a page, and nothing behind it */
static char *window_ro; /* the same page, read-only */

static void make_windows(void)
{
	int fd = new_memfd("window", 0);

	MUST(ftruncate(fd, PAGE) == 0);
	window = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mmap(window, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	window_ro = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
}

static enum pointer some_pointer(void)
{
	return below(8) ? GOOD : below(POINTERS);
}

static bool readable(enum pointer p)
{
	return p == GOOD || p == CROOKED || p == READ_ONLY;
}

static bool writable(enum pointer p)
{
	return p == GOOD || p == CROOKED;
}

/* Put an argument where the pointer leads, as far as that is possible. */
static void *place(enum pointer p, const void *arg, size_t size)
{
	switch (p) {
	case GOOD:
		return memcpy(window + 64, arg, size);
	case CROOKED:
		return memcpy(window + 67, arg, size);
	case READ_ONLY:
		memcpy(window + 64, arg, size);
		return window_ro + 64;
	case HALF:
		memcpy(window + PAGE - size / 2, arg, size / 2);
		return window + PAGE - size / 2;
	case UNMAPPED:
		return window + PAGE + 8;
	case NOWHERE:
		return (void *)below(PAGE);
	default:
		return (void *)(0xffff888000000000 + below(1UL << 32));
	}
}

static int some_dev(void)
{
	static int devs[3] = { -1, -1, -1 };
	int i = below(3);

	if (devs[i] >= 0 && !below(50)) {
		close(devs[i]);
		devs[i] = -1;
	}
	if (devs[i] < 0)
		devs[i] = luo_open(i ? O_RDWR : O_RDONLY);
	MUST(devs[i] >= 0, "%s", error_name(devs[i]));
	return devs[i];
}

/* What the call may say, and what it said. */
static bool allowed[140];
static int nr_allowed;

static void may(bool applies, int error)
{
	if (applies) {
		allowed[error] = true;
		nr_allowed++;
	}
}

/* True if the call succeeded, as it had to. */
static bool judge(const char *what, int result)
{
	bool good = nr_allowed ? result < 0 && result > -140 && allowed[-result] :
				 !result;

	CHECK(good, "call %ld, %s in %s gave %s; %d errors were possible",
	      model.calls, what, state_name(model.state), error_name(result), nr_allowed);
	memset(allowed, 0, sizeof(allowed));
	nr_allowed = 0;
	return good && !result;
}

static bool resting(void)
{
	return model.state == LIVEUPDATE_STATE_NORMAL ||
	       model.state == LIVEUPDATE_STATE_UPDATED;
}

static void do_preserve(void)
{
	enum pointer p = some_pointer();
	struct liveupdate_fd arg = { .token = rnd() };
	struct file *file = NULL;
	int error = 0, fd, result;
	bool mine = false;

	if (!below(3))
		fd = foreign_fd(&error);
	else
		fd = file_fd(&file, &mine);
	arg.fd = fd;
	if (!below(8))
		arg.flags = rnd() >> below(32);

	may(!readable(p) || !writable(p), EFAULT);
	may(readable(p) && arg.flags, EINVAL);
	may(!resting(), EBUSY);
	if (readable(p)) {
		may(!file, error);
		may(file && file->preserved, EEXIST);
	}

	result = luo_call(some_dev(), LIVEUPDATE_IOCTL_FD_PRESERVE,
			  place(p, &arg, sizeof(arg)));
	if (judge("PRESERVE", result)) {
		memcpy(&arg, window + (p == CROOKED ? 67 : 64), sizeof(arg));
		CHECK(arg.token >= model.next_token, "call %ld: token %llu was given before",
		      model.calls, (unsigned long long)arg.token);
		CHECK(arg.fd == fd && !arg.flags);
		model.next_token = arg.token + 1;
		file->token = arg.token;
		file->preserved = true;
		model.preserved++;
	}
	if (mine)
		close(fd);
}

static void do_unpreserve(void)
{
	enum pointer p = some_pointer();
	uint64_t token = some_token();
	struct file *file = file_of(token);

	may(!readable(p), EFAULT);
	may(!resting(), EBUSY);
	may(readable(p) && !file, ENOENT);
	if (judge("UNPRESERVE", luo_call(some_dev(), LIVEUPDATE_IOCTL_FD_UNPRESERVE,
					 place(p, &token, sizeof(token)))))
		file_let_go(file);
}

static void do_restore(void)
{
	enum pointer p = some_pointer();
	struct liveupdate_fd arg = { .fd = rnd(), .token = some_token() };
	struct incoming *in = incoming_of(arg.token);
	bool full = !below(20);
	struct rlimit limit, none = { 3, 1024 };
	int dev = some_dev(), result;

	if (!below(8))
		arg.flags = rnd() >> below(32);

	may(!readable(p) || !writable(p), EFAULT);
	may(model.state != LIVEUPDATE_STATE_UPDATED, EBUSY);
	may(full, EMFILE);
	if (readable(p)) {
		may(arg.flags, EINVAL);
		may(!in, ENOENT);
	}

	getrlimit(RLIMIT_NOFILE, &limit);
	if (full)
		setrlimit(RLIMIT_NOFILE, &none);
	result = luo_call(dev, LIVEUPDATE_IOCTL_FD_RESTORE, place(p, &arg, sizeof(arg)));
	setrlimit(RLIMIT_NOFILE, &limit);
	if (!judge("RESTORE", result))
		return;
	memcpy(&arg, window + (p == CROOKED ? 67 : 64), sizeof(arg));
	CHECK(fcntl(arg.fd, F_GETFD) == FD_CLOEXEC, "not close-on-exec: %m");
	/* The same open file as the first time: what became of it is followed there. */
	if (in->restored) {
		close(arg.fd);
		return;
	}
	in->restored = true;
	file_adopt(in, arg.fd);
}

static void do_get_state(void)
{
	enum pointer p = some_pointer();
	int state = -1;

	may(!writable(p), EFAULT);
	if (judge("GET_STATE", luo_call(some_dev(), LIVEUPDATE_IOCTL_GET_STATE,
					place(p, &state, sizeof(state))))) {
		memcpy(&state, window + (p == CROOKED ? 67 : 64), sizeof(state));
		CHECK(state == model.state);
	}
}

static void do_move(void)
{
	static const struct {
		const char *name;
		unsigned int command;
		int from, also, to;
	} moves[] = {
		{ "PREPARE", PREPARE, 0, 0, 1 },
		{ "FREEZE", FREEZE, 1, 1, 2 },
		{ "CANCEL", CANCEL, 1, 2, 0 },
		{ "FINISH", FINISH, 3, 3, 0 },
	};
	int i = below(4), refusal = 0, result;
	bool can = model.state == moves[i].from || model.state == moves[i].also;

	/* Leaving `updated` is once in a while only: it does not come back. */
	if (moves[i].command == FINISH && model.state == 3 && below(400))
		return;
	if (i < 2 && !below(6))
		refusal = order_refusal(i == 1);

	may(!can, EINVAL);
	may(can && refusal, refusal);
	result = luo_call(some_dev(), moves[i].command, (void *)rnd());
	if (judge(moves[i].name, result))
		model_moved(moves[i].to);
	else if (can)
		model_moved(0);
	if (refusal)
		order_refusal(-1);
}

/* Commands that are none: a wrong type, number, size or direction. */
static void do_nonsense(void)
{
	static const unsigned char types[] = { 0xba, 0xbb, 0xb9, 0x3a, 0xfa, 0xff };
	unsigned int command = _IOC(below(4), types[below(2) ? 0 : below(6)],
				    below(3) ? below(10) : below(256),
				    below(2) ? below(33) : below(1 << 14));
	struct liveupdate_fd arg = { .fd = 0, .token = some_token() };

	switch (command) {
	case LIVEUPDATE_IOCTL_FD_PRESERVE:
	case LIVEUPDATE_IOCTL_FD_UNPRESERVE:
	case LIVEUPDATE_IOCTL_FD_RESTORE:
	case LIVEUPDATE_IOCTL_GET_STATE:
	case PREPARE:
	case FREEZE:
	case CANCEL:
	case FINISH:
		return;
	}
	may(true, ENOTTY);
	judge("nonsense", luo_call(some_dev(), command,
				   place(some_pointer(), &arg, sizeof(arg))));
}

static void do_open(void)
{
	int fd = luo_open(O_RDWR | (below(2) ? O_EXCL : 0) | (below(2) ? O_TRUNC : 0));

	CHECK(fd >= 0 || fd == -EINVAL, "open: %s", error_name(fd));
	if (fd >= 0)
		close(fd);
}

static void (*const acts[])(void) = {
	do_preserve, do_preserve, do_preserve, do_unpreserve, do_unpreserve,
	do_restore, do_restore, do_get_state, do_move, do_move, do_move, do_move,
	do_nonsense, do_nonsense, do_open, files_change, files_change,
};

/* The state has to be what it should, whoever is asked. */
static void same_state(int dev, int sysfs)
{
	char text[32] = "";
	int state = luo_state(dev);

	CHECK(state == model.state, "call %ld: %s, not %s", model.calls,
	      state_name(state), state_name(model.state));
	if (pread(sysfs, text, sizeof(text) - 1, 0) > 0)
		text[strcspn(text, "\n")] = '\0';
	CHECK(!strcmp(text, state_name(model.state)), "call %ld: /sys says %s, not %s",
	      model.calls, text, state_name(model.state));
}

void fuzz(void)
{
	int dev = luo_open(O_RDWR), sysfs;
	long last = opt.count * opt.round / ROUNDS;

	MUST(dev >= 0);
	make_windows();
	if (opt.round == 1)
		model_begin();
	else
		model_arrive(dev);
	sysfs = open("/sys/kernel/liveupdate/state", O_RDONLY | O_CLOEXEC);

	for (; model.calls < last; model.calls++) {
		acts[below(sizeof(acts) / sizeof(acts[0]))]();
		same_state(dev, sysfs);
		if (!(model.calls % 256))
			model_compare();
	}
	model_compare();
	say("%ld calls, %.1f s; %ld preserved, %ld restored, %ld prepared", model.calls,
	    clock() / 1e6, model.preserved, model.restored, model.prepared);
	if (opt.round < ROUNDS) {
		CHECK(model.prepared > last / 200 && model.preserved > last / 100,
		      "the calls are too one-sided");
		model_depart(dev);
	} else {
		CHECK(model.restored > 3, "nothing was restored");
		model_end(dev);
	}
	close(sysfs);
	close(dev);
}
