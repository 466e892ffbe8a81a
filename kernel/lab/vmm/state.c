// SPDX-License-Identifier: GPL-2.0
/*
 * The state in its memfd. It is written by pwrite at full size from the start:
 * while an update is prepared the memfd cannot grow, and a page that is new after
 * the freeze would not arrive.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm.h"

#define SUMMED_FROM offsetof(struct state, saved)

/* FNV-1a on words of 64 bits: for accidents, not for attackers. */
__u64 sum_words(const void *data, size_t bytes)
{
	const __u8 *at = data;
	__u64 sum = 0xcbf29ce484222325, word;
	size_t step;

	for (; bytes; at += step, bytes -= step) {
		step = bytes < sizeof(word) ? bytes : sizeof(word);
		word = 0;
		memcpy(&word, at, step);
		sum = (sum ^ word) * 0x100000001b3;
	}
	return sum;
}

static __u64 state_sum(const struct state *state)
{
	return sum_words(&state->saved, sizeof(*state) - SUMMED_FROM);
}

int state_write(int fd, struct state *state)
{
	size_t done = 0;

	memcpy(state->magic, STATE_MAGIC, sizeof(state->magic));
	state->version = STATE_VERSION;
	state->size = sizeof(*state);
	state->sum = state_sum(state);
	while (done < sizeof(*state)) {
		ssize_t n = pwrite(fd, (char *)state + done,
				   sizeof(*state) - done, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_errno("the state cannot be written");
		done += n;
	}
	return 0;
}

int state_read(int fd, struct state *state)
{
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st))
		return fail_errno("the state cannot be looked at");
	while (done < sizeof(*state)) {
		ssize_t n = pread(fd, (char *)state + done,
				  sizeof(*state) - done, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno("the state cannot be read");
		if (!n)
			break;
		done += n;
	}
	if (done < offsetof(struct state, sum) ||
	    memcmp(state->magic, STATE_MAGIC, sizeof(state->magic)))
		return fail("this is no state of a lab-vmm guest");
	if (state->version != STATE_VERSION)
		return fail("the state is of version %u, this program reads %u",
			    state->version, STATE_VERSION);
	if (state->size != sizeof(*state) || done < sizeof(*state) ||
	    (size_t)st.st_size != sizeof(*state))
		return fail("the state is cut short or grown: %lld bytes of %zu",
			    (long long)st.st_size, sizeof(*state));
	if (state->sum != state_sum(state))
		return fail("the state is damaged: its checksum differs");
	if (!state->saved)
		return fail("the guest still ran when its state was written: nothing is saved");
	if (state->cpuids > STATE_CPUID || state->msrs > STATE_MSRS ||
	    state->line_length >= sizeof(state->line) || !state->tsc_khz || state->ram != GUEST_RAM)
		return fail("the state holds sizes that make no sense");
	return 0;
}
