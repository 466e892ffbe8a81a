// SPDX-License-Identifier: MIT
/*
 * Everybody at once: threads that make every call against each other and
 * against whoever writes, truncates, looks, loads and unloads; then processes
 * that are killed in the middle of a call; then, after a kexec, threads that
 * want the same tokens back. What each call may answer is known, a token is
 * given out once and taken back once, and in the end the numbers agree.
 */
#include "abuse.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define SHARED 12
#define SHARED_SIZE (96 * PAGE)
#define LARGE 6
#define LARGE_SIZE (8 * MIB)
#define SMALL 24
#define SMALL_SIZE (20 * PAGE + 100)
#define TOKENS (1 << 20)
#define ENOUGH 100 /* moves, however slow the machine is */

static int shared[SHARED];
static atomic_ulong live[SHARED]; /* token + 1 */
static atomic_uchar given[TOKENS], taken[TOKENS];
static atomic_long nr_given, nr_taken, moves;
static atomic_bool stop, drain;
static atomic_int busy;
static int unloads;

static bool is_one_of(int result, const int *errors)
{
	while (*errors && result != -*errors)
		errors++;
	return !result || *errors;
}

#define EXPECT(what, result, ...)                                              \
	({                                                                     \
		int result_ = (result);                                        \
		CHECK(is_one_of(result_, (const int[]){ __VA_ARGS__, 0 }),     \
		      "%s: %s", what, error_name(result_));                    \
		!result_;                                                      \
	})

static bool preserve(int dev, int fd, uint64_t *token)
{
	if (!EXPECT("PRESERVE", luo_preserve(dev, fd, token), EBUSY, EEXIST))
		return false;
	if (CHECK(*token < TOKENS))
		CHECK(!atomic_exchange(&given[*token], 1), "token %lu given twice", *token);
	nr_given++;
	return true;
}

static bool unpreserve(int dev, uint64_t token)
{
	if (!EXPECT("UNPRESERVE", luo_unpreserve(dev, token), EBUSY, ENOENT))
		return false;
	CHECK(!atomic_exchange(&taken[token], 1), "token %lu taken back twice", token);
	nr_taken++;
	return true;
}

/* A file of one's own: whatever happens to it, it goes again. */
static void private_file(int dev, uint64_t *seed)
{
	int fd = new_memfd("private", MFD_ALLOW_SEALING);
	uint64_t token;
	bool kept;

	CHECK(ftruncate(fd, next_of(seed) % (32 * PAGE)) == 0);
	kept = preserve(dev, fd, &token);
	if (next_of(seed) % 2)
		fcntl(fd, F_ADD_SEALS, 1 << next_of(seed) % 5);
	close(fd);
	while (kept && !unpreserve(dev, token))
		EXPECT("CANCEL", luo_call(dev, CANCEL, NULL), EINVAL);
}

static void touch(uint64_t *seed)
{
	int fd = shared[next_of(seed) % SHARED];
	off_t at = next_of(seed) % (SHARED_SIZE / PAGE) * PAGE;
	size_t size = (1 + next_of(seed) % 16) * PAGE;
	void *map;
	int n;

	switch (next_of(seed) % 5) {
	case 0:
		/* Faults pages in, and says so where the file has ended. */
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
		madvise(map, size, MADV_POPULATE_WRITE);
		munmap(map, size);
		break;
	case 1:
		n = ftruncate(fd, at) ? errno : 0;
		CHECK(!n || n == EPERM, "truncating: %s", error_name(n));
		break;
	case 2:
		n = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size) ?
			    errno : 0;
		CHECK(!n || n == EPERM, "punching: %s", error_name(n));
		break;
	default:
		n = pwrite(fd, &at, sizeof(at), at) < 0 ? errno : 0;
		CHECK(!n || n == EPERM, "writing: %s", error_name(n));
	}
}

static void look(void)
{
	static const char *const paths[] = {
		"/sys/kernel/debug/luo/handover", "/sys/kernel/debug/luo/participants",
		"/sys/kernel/debug/luo/counters", "/sys/kernel/liveupdate/times/prepare_end",
	};
	struct shown *list = calloc(MAX_TOKENS, sizeof(*list));
	char text[PAGE];
	size_t i;

	shown_tokens(list);
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		read_text(paths[i], text, sizeof(text));
	free(list);
}

static void one_act(int dev, uint64_t *seed)
{
	int i = next_of(seed) % SHARED, err;
	uint64_t token;

	switch (next_of(seed) % 16) {
	case 0:
	case 1:
		if (preserve(dev, shared[i], &token))
			atomic_store(&live[i], token + 1);
		break;
	case 2:
		token = atomic_load(&live[i]);
		if (token)
			unpreserve(dev, token - 1);
		break;
	case 3:
	case 4:
		moves += EXPECT("PREPARE", luo_call(dev, PREPARE, NULL), EINVAL);
		break;
	case 5:
		moves += EXPECT("FREEZE", luo_call(dev, FREEZE, NULL), EINVAL);
		break;
	case 6:
	case 7:
		moves += EXPECT("CANCEL", luo_call(dev, CANCEL, NULL), EINVAL);
		break;
	case 8:
		CHECK(luo_call(dev, FINISH, NULL) == -EINVAL);
		CHECK(luo_restore(dev, atomic_load(&live[i])) == -EBUSY);
		break;
	case 9:
		private_file(dev, seed);
		break;
	case 10:
		if (!(next_of(seed) % 4))
			look();
		break;
	case 11:
		if (next_of(seed) % 8)
			break;
		err = load_module("luo_test", "");
		EXPECT("loading luo_test", err, EEXIST, EBUSY, ENOENT);
		break;
	case 12:
		if (next_of(seed) % 8)
			break;
		EXPECT("unloading luo_test", unload_module("luo_test"), EAGAIN, EBUSY, ENOENT);
		break;
	default:
		touch(seed);
	}
}

static void *work(void *arg)
{
	uint64_t seed = opt.seed * 100 + (uintptr_t)arg;
	int dev = -1, state;

	while (!stop) {
		if (drain || !(next_of(&seed) % 64)) {
			/* Opening goes on while somebody unloads. */
			if (dev >= 0)
				close(dev);
			dev = -1;
			usleep(1000);
		}
		if (dev < 0) {
			dev = luo_open(O_RDWR);
			if (dev < 0) {
				CHECK(dev == -ENOENT || dev == -ENODEV || dev == -ENXIO,
				      "open: %s", error_name(dev));
				continue;
			}
		}
		state = luo_state(dev);
		CHECK(state >= 0 && state < 3, "%s", error_name(state));
		if (drain)
			continue;
		busy++;
		if (!drain)
			one_act(dev, &seed);
		busy--;
	}
	if (dev >= 0)
		close(dev);
	return NULL;
}

/* Everything back to nothing; the numbers have to agree with what is shown. */
static void let_all_go(void)
{
	static struct shown list[MAX_TOKENS];
	int dev = luo_open(O_RDWR), n, i;

	MUST(dev >= 0, "%s", error_name(dev));
	EXPECT("CANCEL", luo_call(dev, CANCEL, NULL), EINVAL);
	CHECK(luo_state(dev) == 0 && shown_state_is(0));
	n = shown_tokens(list);
	CHECK(n == nr_given - nr_taken, "%d are shown, %ld are preserved", n,
	      nr_given - nr_taken);
	for (i = 0; i < n; i++)
		CHECK(unpreserve(dev, list[i].token), "token %lu", list[i].token);
	close(dev);
}

/* Unload and load while others open: they must be let in or not, never half. */
static void unload_once(void)
{
	int tries, err;

	drain = true;
	while (busy)
		usleep(1000);
	let_all_go();
	unload_module("luo_test");
	for (tries = 0; tries < 2000; tries++) {
		err = unload_module("luo");
		if (err != -EAGAIN)
			break;
		usleep(500);
	}
	CHECK(!err || err == -EAGAIN, "unloading luo: %s", error_name(err));
	if (!err) {
		unloads++;
		CHECK(load_module("luo", "") == 0);
	}
	/* A new module begins its tokens anew. */
	memset(given, 0, sizeof(given));
	memset(taken, 0, sizeof(taken));
	memset(live, 0, sizeof(live));
	nr_given = nr_taken = 0;
	drain = false;
}

static void all_against_all(void)
{
	pthread_t thread[THREADS];
	time_t until = time(NULL) + opt.count;
	int i;

	for (i = 0; i < SHARED; i++) {
		shared[i] = new_memfd("shared", MFD_ALLOW_SEALING);
		CHECK(ftruncate(shared[i], SHARED_SIZE) == 0);
	}
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i));
	while (time(NULL) < until || moves < ENOUGH) {
		usleep(1500000);
		unload_once();
	}
	stop = true;
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	let_all_go();
	EXPECT("loading luo_test", load_module("luo_test", ""), EEXIST);
	for (i = 0; i < SHARED; i++)
		close(shared[i]);
	say("%ld moves, %d unloads, %ld checks", moves, unloads, checks);
	CHECK(unloads, "it could never be unloaded");
}

/* A process makes one call on a large file and is killed at some moment. */
static bool killed_in(int dev, unsigned int command, void *arg, long patience)
{
	pid_t child = fork();
	int status;

	if (!child) {
		luo_call(dev, command, arg);
		_exit(0);
	}
	MUST(child > 0);
	usleep(below(patience));
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child);
	return WIFSIGNALED(status);
}

static long us_since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - from->tv_sec) * 1000000 + (now.tv_nsec - from->tv_nsec) / 1000;
}

static void kill_movers(int dev)
{
	int fd[LARGE], i, state, killed = 0, done[3] = {};
	uint64_t token[LARGE];
	struct timespec from;
	long patience;
	bool dead;

	for (i = 0; i < LARGE; i++) {
		fd[i] = new_memfd("large", 0);
		fill(fd[i], 0, LARGE_SIZE, i);
		CHECK(luo_preserve(dev, fd[i], &token[i]) == 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	patience = us_since(&from);
	CHECK(luo_call(dev, CANCEL, NULL) == 0);

	for (i = 0; i < 24; i++) {
		state = luo_state(dev);
		dead = killed_in(dev, state == 0 ? PREPARE : i % 2 ? CANCEL : FREEZE, NULL,
				 patience * 3 / 2);
		killed += dead;
		/* The first one may have been slow: the moments close in on what it takes now. */
		patience = dead ? patience * 5 / 4 + 1 : patience * 3 / 4 + 1;
		state = luo_state(dev);
		CHECK(state >= 0 && state <= 2 && shown_state_is(state));
		if (state >= 0 && state <= 2)
			done[state]++;
		CHECK((ftruncate(fd[0], LARGE_SIZE + (i + 1) * PAGE) == 0) == (state == 0),
		      "truncating in %s", state_name(state));
	}
	say("killed %d of 24; left normal %d, prepared %d, frozen %d", killed, done[0],
	    done[1], done[2]);
	CHECK(killed > 2 && done[0], "nobody was killed in the middle");
	EXPECT("CANCEL", luo_call(dev, CANCEL, NULL), EINVAL);
	for (i = 0; i < LARGE; i++) {
		CHECK(has(fd[i], 0, LARGE_SIZE, i));
		CHECK(luo_unpreserve(dev, token[i]) == 0);
		close(fd[i]);
	}
}

static void depart(int dev)
{
	uint64_t token;
	int i, fd;

	for (i = 0; i < SMALL + LARGE; i++) {
		fd = new_memfd(i < SMALL ? "small" : "large", 0);
		fill(fd, 0, i < SMALL ? SMALL_SIZE : LARGE_SIZE, i);
		CHECK(luo_preserve(dev, fd, &token) == 0);
		if (!i)
			opt.carry = token;
		CHECK(token == (uint64_t)opt.carry + i);
		close(fd);
	}
	load_image();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	MUST(false, "the kexec came back: %s", error_name(jump()));
}

static atomic_int restored[SMALL], finished, tries;

static void *want_all(void *arg)
{
	uint64_t seed = opt.seed + (uintptr_t)arg, token;
	int dev = luo_open(O_RDWR), fd, i, result;

	CHECK(dev >= 0);
	while (!finished) {
		i = next_of(&seed) % SMALL;
		fd = luo_restore(dev, opt.carry + i);
		if (fd >= 0) {
			restored[i]++;
			CHECK(has(fd, 0, SMALL_SIZE, i), "file %d came back wrong", i);
			close(fd);
		} else {
			EXPECT("RESTORE", fd, EBUSY);
		}
		if (!(next_of(&seed) % 16))
			look();
		fd = new_memfd("new", 0);
		result = luo_preserve(dev, fd, &token);
		if (EXPECT("PRESERVE", result, EBUSY))
			CHECK(luo_unpreserve(dev, token) == 0);
		close(fd);
		if (tries++ > 20 * THREADS)
			finished += EXPECT("FINISH", luo_call(dev, FINISH, NULL), EINVAL);
	}
	close(dev);
	return NULL;
}

static void arrive(int dev)
{
	pthread_t thread[THREADS];
	int i, fd, killed = 0, whole = 0;
	struct timespec from;
	long patience = 0;
	bool dead;

	for (i = SMALL; i < SMALL + LARGE; i++) {
		struct liveupdate_fd arg = { .token = opt.carry + i };

		/* The first one takes its time; within that the next ones are killed. */
		if (i > SMALL) {
			dead = killed_in(dev, LIVEUPDATE_IOCTL_FD_RESTORE, &arg, patience);
			patience = dead ? patience : patience / 2 + 1;
			killed += dead;
		}
		clock_gettime(CLOCK_MONOTONIC, &from);
		fd = luo_restore(dev, opt.carry + i);
		if (i == SMALL)
			patience = us_since(&from);
		/* Whoever was killed with it has not taken it along. */
		if (EXPECT("RESTORE", fd < 0 ? fd : 0, 0)) {
			whole++;
			CHECK(has(fd, 0, LARGE_SIZE, i), "large file %d is not whole", i);
			close(fd);
		}
	}
	say("killed %d while restoring, %d were restored after", killed, whole);
	CHECK(killed && whole, "nobody was killed in the middle");

	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, want_all, (void *)(uintptr_t)i));
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < SMALL; i++)
		CHECK(restored[i] >= 1, "file %d was never restored", i);
	CHECK(finished == 1, "finished %d times", finished);
	CHECK(luo_state(dev) == 0);
}

void threads(void)
{
	int dev;

	if (opt.round == 1)
		all_against_all();
	dev = luo_open(O_RDWR);
	MUST(dev >= 0);
	if (opt.round == 1) {
		kill_movers(dev);
		depart(dev);
	}
	arrive(dev);
	close(dev);
}
