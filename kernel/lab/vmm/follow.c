// SPDX-License-Identifier: GPL-2.0
/*
 * Hearing of a freeze in time. The interface has no call by which a process could
 * hold one up, but the kernel tells of it inside FREEZE, on the CPU of whoever
 * called. On each CPU a thread of ours with real-time priority waits for that: it
 * pushes the caller aside and keeps the CPU until the guest is saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm.h"

#define UEVENTS_OF_THE_KERNEL	1
#define HOLDER_PRIORITY		1
#define SAVER_PRIORITY		2
#define STACK			65536
/* Longer than any save, too short for the kernel to think that the CPU is stuck. */
#define MOST_MS			500

static atomic_ullong heard, handled;
static int to_main;
static __u64 most_ticks;

struct holder {
	int fd;
	cpu_set_t cpu;
};

/* The value of a variable in an event, which is a list of strings; or nothing. */
static const char *variable(const char *message, size_t length, const char *name)
{
	size_t wanted = strlen(name);
	const char *at;

	for (at = message; at < message + length; at += strlen(at) + 1)
		if (!strncmp(at, name, wanted) && at[wanted] == '=')
			return at + wanted + 1;
	return NULL;
}

static void hold(unsigned long long move)
{
	__u64 began = tsc();

	while (atomic_load(&handled) < move && tsc() - began < most_ticks)
		__builtin_ia32_pause();
}

static void *listen_on_cpu(void *argument)
{
	const struct sched_param first = { .sched_priority = HOLDER_PRIORITY };
	struct holder *holder = argument;
	char message[4096];

	if (sched_setaffinity(0, sizeof(holder->cpu), &holder->cpu) ||
	    sched_setscheduler(0, SCHED_FIFO, &first))
		return NULL;
	for (;;) {
		ssize_t n = recv(holder->fd, message, sizeof(message) - 1, 0);
		unsigned long long move, last = atomic_load(&heard);
		const char *state, *number;

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			return NULL;
		if (n <= 0)
			continue;
		message[n] = 0;
		state = variable(message, n, "LUO_STATE");
		number = variable(message, n, "LUO_SEQ");
		/* Only the orchestrator's own events have a number. */
		if (!state || !number)
			continue;
		move = strtoull(number, NULL, 10);
		while (last < move && !atomic_compare_exchange_weak(&heard, &last, move))
			;
		/* A full pipe has told it already. */
		if (write(to_main, "", 1) < 0 && errno != EAGAIN)
			return NULL;
		if (!strcmp(state, "frozen"))
			hold(move);
	}
}

static int start_holder(int cpu)
{
	const struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = UEVENTS_OF_THE_KERNEL,
	};
	struct holder *holder = calloc(1, sizeof(*holder));
	pthread_attr_t attr;
	pthread_t thread;

	if (!holder)
		return fail_errno("no memory");
	CPU_SET(cpu, &holder->cpu);
	holder->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (holder->fd < 0 || bind(holder->fd, (const void *)&address, sizeof(address)))
		return fail_errno("the kernel's events cannot be listened to");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	errno = pthread_create(&thread, &attr, listen_on_cpu, holder);
	return errno ? fail_errno("no thread for CPU %d", cpu) : 0;
}

/**
 * follow_open - listen to the orchestrator's moves
 * @tsc_khz: rate of the TSC
 *
 * Return: a descriptor that can be read after each move, or -1.
 */
int follow_open(__u64 tsc_khz)
{
	const struct sched_param first = { .sched_priority = SAVER_PRIORITY };
	int cpu, ends[2];
	cpu_set_t cpus;

	most_ticks = tsc_khz * MOST_MS;
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		return fail_errno("no priority over who freezes");
	if (sched_getaffinity(0, sizeof(cpus), &cpus) || pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return fail_errno("nothing to listen with");
	to_main = ends[1];
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus) && start_holder(cpu))
			return -1;
	return ends[0];
}

/* Take what has been heard; return the number of the last move in it. */
unsigned long long follow_heard(int fd)
{
	char bytes[64];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	return atomic_load(&heard);
}

/* All that is to be done about that move is done: whoever made it may go on. */
void follow_done(unsigned long long move)
{
	atomic_store(&handled, move);
}
