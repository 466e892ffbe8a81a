// SPDX-License-Identifier: GPL-2.0
/* Requests over a unix socket: a line in, a line out. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm.h"

#define CLIENTS		8
#define LINE		512
#define PATIENCE_S	30

static struct client {
	int fd;
	size_t length;
	char line[LINE];
} clients[CLIENTS];

static int listener = -1;
static const char *bound;

static int address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return fail("the socket's path is too long: %s", path);
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
	return 0;
}

/* Whoever left a socket behind answers no longer; whoever answers keeps it. */
static int clear_stale(const char *path, const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int done = fd < 0 ? -1 : connect(fd, (const void *)address, sizeof(*address));
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (!done)
		return fail("another lab-vmm answers on %s", path);
	if (error == ECONNREFUSED)
		unlink(path);
	return 0;
}

/* Have SIGIO sent whenever there is something on @fd. */
int server_interrupts(int fd)
{
	if (fcntl(fd, F_SETOWN, getpid()) ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC | O_NONBLOCK))
		return fail_errno("requests cannot interrupt the guest");
	return 0;
}

int server_open(const char *path)
{
	struct sockaddr_un address;
	sigset_t requests;
	size_t i;

	/* Before anything can send it: unblocked it would end the process. */
	sigemptyset(&requests);
	sigaddset(&requests, SIGIO);
	sigprocmask(SIG_BLOCK, &requests, NULL);
	for (i = 0; i < CLIENTS; i++)
		clients[i].fd = -1;
	if (address_of(path, &address) || clear_stale(path, &address))
		return -1;
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	umask(077);
	if (listener < 0 || bind(listener, (void *)&address, sizeof(address)))
		return fail_errno("nothing can listen on %s", path);
	bound = path;
	if (listen(listener, CLIENTS))
		return fail_errno("nothing can listen on %s", path);
	return server_interrupts(listener);
}

/* Take the socket away, if it is ours. */
void server_close(void)
{
	if (bound)
		unlink(bound);
}

static void forget(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

static void welcome(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	size_t i;

	if (fd < 0)
		return;
	for (i = 0; i < CLIENTS; i++) {
		if (clients[i].fd >= 0)
			continue;
		if (server_interrupts(fd))
			break;
		clients[i].fd = fd;
		clients[i].length = 0;
		return;
	}
	close(fd);
}

static void reply(struct client *client, int done, const char *text)
{
	char line[LINE];
	int length = snprintf(line, sizeof(line), "%s %s\n", done ? "error" : "ok",
			      done ? words() : text);

	if (length >= LINE) {
		length = LINE;
		line[LINE - 1] = '\n';
	}
	/* A client that does not read its answer is no reason to stop the guest. */
	if (send(client->fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT) != length)
		forget(client);
}

static void take(struct client *client, answer_fn answer)
{
	char text[LINE], *end;
	ssize_t n = recv(client->fd, client->line + client->length,
			 LINE - 1 - client->length, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		forget(client);
		return;
	}
	client->length += n;
	client->line[client->length] = 0;
	while (client->fd >= 0 && (end = strchr(client->line, '\n'))) {
		*end++ = 0;
		text[0] = 0;
		reply(client, answer(client->line, text, sizeof(text)), text);
		client->length -= end - client->line;
		memmove(client->line, end, client->length + 1);
	}
	if (client->fd >= 0 && client->length == LINE - 1)
		forget(client);
}

/**
 * server_serve - answer all that has been asked
 * @wait: wait for something first
 * @events: another descriptor to look at, or -1
 * @happened: called when there is something on it, before any request
 * @answer: called for each request
 */
void server_serve(bool wait, int events, void (*happened)(void), answer_fn answer)
{
	struct pollfd fds[CLIENTS + 2];
	size_t i;
	int ready;

	do {
		for (i = 0; i < CLIENTS; i++)
			fds[i] = (struct pollfd) { clients[i].fd, POLLIN, 0 };
		fds[CLIENTS] = (struct pollfd) { listener, POLLIN, 0 };
		fds[CLIENTS + 1] = (struct pollfd) { events, POLLIN, 0 };
		ready = poll(fds, CLIENTS + 2, wait ? -1 : 0);
		if (ready <= 0)
			break;
		/* What the kernel says is urgent. */
		if (fds[CLIENTS + 1].revents)
			happened();
		for (i = 0; i < CLIENTS; i++)
			if (fds[i].revents)
				take(&clients[i], answer);
		if (fds[CLIENTS].revents)
			welcome();
	} while (!wait);
}

static int ask_once(int fd, const char *request)
{
	char line[LINE];
	size_t length = 0;
	ssize_t n;

	if (dprintf(fd, "%s\n", request) < 0)
		return fail_errno("the guest's monitor takes no request");
	while (!memchr(line, '\n', length) && length < sizeof(line)) {
		n = recv(fd, line + length, sizeof(line) - length, 0);
		if (n <= 0)
			return n ? fail_errno("the guest's monitor does not answer") :
				   fail("the guest's monitor has ended");
		length += n;
	}
	fwrite(line, 1, length, stdout);
	if (fflush(stdout))
		return fail_errno("the answer cannot be printed");
	return strncmp(line, "ok", 2) ? fail("it was refused") : 0;
}

/**
 * server_ask - the other side: ask and print the answer
 * @path: the socket
 * @request: what to ask
 * @every: ask again after so many seconds, without end; 0: once
 *
 * Return: 0 for an answer that begins with "ok", else -1.
 */
int server_ask(const char *path, const char *request, unsigned int every)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un address;
	int fd, done;

	if (address_of(path, &address))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (void *)&address, sizeof(address)))
		return fail_errno("no lab-vmm answers on %s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	signal(SIGPIPE, SIG_IGN);
	do {
		done = ask_once(fd, request);
	} while (!done && every && !sleep(every));
	close(fd);
	return done;
}
