// SPDX-License-Identifier: GPL-2.0
/* How long the guest stood still, from the TSC's stamps in both kernels. */
#include <stdio.h>

#include "vmm.h"

static __u64 number_in(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	__u64 number = 0;

	if (file && fscanf(file, format, &number) != 1)
		number = 0;
	if (file)
		fclose(file);
	return number;
}

/**
 * blackout_tell - print how long the guest stood still, and where the time went
 * @vm: the guest, about to run
 * @began: TSC when the restore began
 *
 * As far as the stamps are there: each phase ends where the next one begins.
 *
 * Return: the blackout in milliseconds.
 */
double blackout_tell(const struct vm *vm, __u64 began)
{
	const struct state *state = &vm->state;
	__u64 now = tsc(), last = state->paused;
	double khz = state->tsc_khz;
	const struct {
		const char *what;
		__u64 end;
	} phases[] = {
		{ "pause and save", state->done },
		{ "until the jump", number_in("/sys/kernel/liveupdate/times/jump", "%llu") },
		{ "jump to the first line of user space",
		  number_in("/run/lab/first-line", "tsc %llu") },
		{ "until the restore", began },
		{ "restore", now },
	};
	double blackout_ms;
	size_t i;

	blackout_ms = (now - state->paused) / khz;
	printf("the guest goes on at count %llu; blackout %.1f ms", vm->page[G_COUNT],
	       blackout_ms);
	for (i = 0; i < ARRAY_SIZE(phases); i++) {
		if (phases[i].end < last || phases[i].end > now)
			continue;
		printf("%s %s %.1f", last == state->paused ? ":" : ",", phases[i].what,
		       (phases[i].end - last) / khz);
		last = phases[i].end;
	}
	printf("\n");
	return blackout_ms;
}
