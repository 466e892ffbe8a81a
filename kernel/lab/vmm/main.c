// SPDX-License-Identifier: GPL-2.0
/*
 * lab-vmm: a guest that goes on counting where the host's kernel was exchanged.
 *
 * One thread runs the guest and answers: it is inside KVM_RUN until a request
 * comes, so that none ever meets a guest that is running, and nothing needs a lock.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../liveupdate.h"
#include "vmm.h"

#define SOCKET	"/run/lab-vmm.sock"
#define TOKENS	"/var/lib/luo-tui/guest"
#define RAM	"lab-guest-ram"
#define STATE	"lab-guest-state"

static struct vm vm;
static struct tokens tokens = { NO_TOKEN, NO_TOKEN, "" };
static const char *socket_path = SOCKET, *tokens_path = TOKENS;
static char stopped[512];
static bool saved, by_freeze, ending;
static int events = -1;
static double blackout_ms;

static double ms(__u64 ticks)
{
	return (double)ticks / vm.state.tsc_khz;
}

static bool preserved(void)
{
	return tokens.ram != NO_TOKEN || tokens.state != NO_TOKEN;
}

/* Undoes preserve(). What could not be given back can be tried again. */
static int unpreserve(void)
{
	if (!preserved())
		return 0;
	if (luo_unpreserve(&tokens.state, STATE) || luo_unpreserve(&tokens.ram, RAM))
		return -1;
	return tokens_remove(tokens_path);
}

static int preserve(void)
{
	char why[512];

	if (preserved())
		return 0;
	if (!luo_preserve(vm.ram_fd, RAM, &tokens.ram) &&
	    !luo_preserve(vm.state_fd, STATE, &tokens.state) &&
	    !tokens_write(tokens_path, &tokens))
		return 0;
	snprintf(why, sizeof(why), "%s", words());
	if (luo_unpreserve(&tokens.state, STATE) || luo_unpreserve(&tokens.ram, RAM))
		return fail("%.200s; and then: %.200s", why, strdupa(words()));
	return fail("%s", why);
}

/* The guest does not run while this does. Until the last step nothing counts as saved. */
static int save(void)
{
	bool was = preserved();

	if (stopped[0])
		return fail("%.400s", stopped);
	if (saved)
		return fail("the guest is saved already: tokens %llu and %llu",
			    tokens.ram, tokens.state);
	vm.state.paused = tsc();
	if (vcpu_get(&vm, &vm.state) || preserve())
		return -1;
	vm.state.saved = 1;
	vm.state.done = tsc();
	if (state_write(vm.state_fd, &vm.state)) {
		const char *why = strdupa(words());

		vm.state.saved = 0;
		if (!was && unpreserve())
			return fail("%.200s; and then: %.200s", why, strdupa(words()));
		return fail("%s", why);
	}
	saved = true;
	return 0;
}

static int go_on(void)
{
	vm.state.saved = 0;
	if (state_write(vm.state_fd, &vm.state))
		return -1;
	saved = false;
	by_freeze = false;
	return 0;
}

static int resume(void)
{
	if (!saved)
		return fail("the guest is not saved");
	/* One that follows stays preserved, or the next freeze would pass it by. */
	if (events < 0)
		return unpreserve() || go_on() ? -1 : 0;
	if (luo_state() == LIVEUPDATE_STATE_FROZEN)
		return fail("the update is frozen: cancel it first");
	return go_on();
}

/* For a guest that follows: after a move, and before whoever froze may go on. */
static void moved(void)
{
	unsigned long long move = follow_heard(events);
	int state = luo_state();

	if (state == LIVEUPDATE_STATE_FROZEN && !saved && !stopped[0] && preserved()) {
		if (save())
			printf("not saved: %s\n", words());
		by_freeze = saved;
	} else if (state == LIVEUPDATE_STATE_NORMAL && by_freeze && go_on()) {
		printf("it cannot go on: %s\n", words());
	}
	follow_done(move);
}

static int follow(void)
{
	events = follow_open(vm.state.tsc_khz);
	if (events < 0 || server_interrupts(events))
		return -1;
	vm.state.follow = 1;
	return state_write(vm.state_fd, &vm.state) || preserve() ? -1 : 0;
}

static int status(char *text, size_t size)
{
	const __u64 *page = vm.page;
	const struct {
		const char *name;
		double value;
		int digits;
	} figures[] = {
		{ "count", page[G_COUNT], 0 },
		{ "gap-ms", ms(page[G_GAP]), 1 },
		{ "gap-at", page[G_GAP_AT], 0 },
		{ "blackout-ms", blackout_ms, 1 },
		{ "tsc-back", page[G_BACK], 0 },
		{ "wrong-ram", page[G_WRONG_RAM], 0 },
		{ "wrong-xmm", page[G_WRONG_XMM], 0 },
		{ "interrupts", page[G_INTERRUPTS], 0 },
	};
	size_t used, i;

	used = snprintf(text, size, "%s", stopped[0] ? "stopped" : saved ? "paused" : "running");
	for (i = 0; i < ARRAY_SIZE(figures); i++)
		used += snprintf(text + used, size - used, " %s %.*f", figures[i].name,
				 figures[i].digits, figures[i].value);
	snprintf(text + used, size - used, " said %s%s%s",
		 vm.state.said[0] ? vm.state.said : "-", stopped[0] ? " why " : "", stopped);
	return 0;
}

static int quit(void)
{
	if (unpreserve())
		return -1;
	ending = true;
	return 0;
}

static int answer(const char *request, char *text, size_t size)
{
	if (!strcmp(request, "status"))
		return status(text, size);
	if (!strcmp(request, "vcpu"))
		return vcpu_tell(&vm, text, size);
	if (!strcmp(request, "sum")) {
		snprintf(text, size, "%016llx", vm_sum(&vm));
		return 0;
	}
	if (!strcmp(request, "save")) {
		if (save())
			return -1;
		snprintf(text, size, "saved count %llu ram %llu state %llu ms %.1f",
			 vm.page[G_COUNT], tokens.ram, tokens.state,
			 ms(vm.state.done - vm.state.paused));
		return 0;
	}
	if (!strcmp(request, "resume")) {
		snprintf(text, size, "running");
		return resume();
	}
	if (!strcmp(request, "reset")) {
		vm.page[G_GAP] = 0;
		snprintf(text, size, "the longest gap counts anew");
		return 0;
	}
	if (!strcmp(request, "quit")) {
		snprintf(text, size, "ended");
		return quit();
	}
	return fail("unknown request; there are status, vcpu, sum, reset, save, resume, quit");
}

static int serve(void)
{
	while (!ending) {
		if (!saved && !stopped[0] && vm_run(&vm)) {
			snprintf(stopped, sizeof(stopped), "the guest has stopped: %.400s",
				 words());
			printf("%s\n", stopped);
		}
		server_serve(saved || stopped[0], events, moved, answer);
	}
	return 0;
}

static int run(bool following)
{
	/* The socket first: a second guest must not push the first one's note aside. */
	if (server_open(socket_path) || vm_start(&vm) || (following && follow()))
		return -1;
	printf("the guest runs\n");
	return serve();
}

static int from_tokens(void)
{
	struct tokens noted;
	int state = luo_state(), here;

	if (state < 0 || tokens_read(tokens_path, &noted))
		return -1;
	here = tokens_of_this_boot(&noted);
	if (here)
		return here < 0 ? -1 :
		       fail("the guest was saved in this very kernel: ask it to resume");
	if (state != LIVEUPDATE_STATE_UPDATED)
		return fail("nothing came with an update: the orchestrator is in state %s",
			    luo_state_name(state));
	/* What can be refused is refused before anything is taken: a token is good for once. */
	if (access("/dev/kvm", R_OK | W_OK))
		return fail_errno("/dev/kvm");
	if (luo_is_ours(noted.state, STATE) || luo_is_ours(noted.ram, RAM) ||
	    luo_restore(noted.state, STATE, &vm.state_fd) ||
	    state_read(vm.state_fd, &vm.state))
		return -1;
	return luo_restore(noted.ram, RAM, &vm.ram_fd);
}

static int from_files(const char *state, const char *ram)
{
	vm.state_fd = open(state, O_RDWR | O_CLOEXEC);
	if (vm.state_fd < 0)
		return fail_errno("%s", state);
	vm.ram_fd = open(ram, O_RDWR | O_CLOEXEC);
	if (vm.ram_fd < 0)
		return fail_errno("%s", ram);
	return state_read(vm.state_fd, &vm.state);
}

static int restore(char *const files[])
{
	__u64 began = tsc();
	struct stat st;

	if (server_open(socket_path) ||
	    (files ? from_files(files[0], files[1]) : from_tokens()))
		return -1;
	if (fstat(vm.ram_fd, &st) || st.st_size != GUEST_RAM)
		return fail("the guest's RAM is cut short or grown: %lld bytes of %d",
			    (long long)st.st_size, GUEST_RAM);
	if (vm_create(&vm))
		return -1;
	if (vm.page[G_ID] != vm.state.id)
		return fail("this RAM and this state are not of one guest");
	if (vcpu_set(&vm, &vm.state))
		return -1;
	blackout_ms = blackout_tell(&vm, began);
	if (go_on() || (!files && tokens_remove(tokens_path)) ||
	    (!files && vm.state.follow && follow()))
		printf("the guest goes on, but not through the next update: %s\n", words());
	return serve();
}

static int usage(void)
{
	fprintf(stderr,
		"lab-vmm run [--follow]          start a guest; with --follow it saves itself\n"
		"                                at each freeze\n"
		"lab-vmm restore                 go on after an update\n"
		"lab-vmm restore STATE RAM       go on from copies of both memfds\n"
		"lab-vmm ask REQUEST [--every S] status, vcpu, sum, reset, save,\n"
		"                                resume, quit\n"
		"\n"
		"--socket PATH   " SOCKET "\n"
		"--tokens PATH   " TOKENS "\n");
	return 2;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "tokens", required_argument, NULL, 't' },
		{ "every", required_argument, NULL, 'e' },
		{ "follow", no_argument, NULL, 'f' },
		{ 0 },
	};
	bool following = false;
	int option, done, every = 0;
	char **more;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 's')
			socket_path = optarg;
		else if (option == 't')
			tokens_path = optarg;
		else if (option == 'e')
			every = atoi(optarg);
		else if (option == 'f')
			following = true;
		else
			return usage();
	}
	more = argv + optind;
	argc -= optind;
	if (argc == 1 && !strcmp(more[0], "run"))
		done = run(following);
	else if (argc == 1 && !strcmp(more[0], "restore"))
		done = restore(NULL);
	else if (argc == 3 && !strcmp(more[0], "restore"))
		done = restore(more + 1);
	else if (argc == 2 && !strcmp(more[0], "ask"))
		done = server_ask(socket_path, more[1], every);
	else
		return usage();
	server_close();
	if (done)
		fprintf(stderr, "lab-vmm: %s\n", words());
	return done ? 1 : 0;
}
