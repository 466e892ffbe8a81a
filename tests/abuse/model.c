// SPDX-License-Identifier: MIT
/* See model.h. What crosses the kexec is the list of what was preserved. */
#include "model.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CARRIER "abuse-model"

struct model model;

static int carrier = -1; /* the memfd with the model */
static uint64_t carrier_token = ~0UL;

void model_begin(void)
{
	memset(&model, 0, sizeof(model));
}

/* The outside of a file: what is checked when it has come. */
static bool file_is(int fd, enum kind kind, uint64_t stamp, uint64_t size)
{
	uint64_t first = ~stamp;

	if (kind == MEMFD && lseek(fd, 0, SEEK_END) != (off_t)size)
		return false;
	return size < 8 || (pread(fd, &first, 8, 0) == 8 && first == stamp);
}

static void new_file(struct file *file)
{
	*file = (struct file){ .used = true, .kind = below(5) ? MEMFD : TEST_FILE };
	if (file->kind == TEST_FILE) {
		file->fd = open("/dev/luo-test", O_RDWR | O_CLOEXEC);
		file->size = 8;
	} else {
		file->fd = new_memfd("file", below(2) ? MFD_ALLOW_SEALING : 0);
		file->size = below(3) ? below(64 * PAGE) : below(1UL << 40);
		CHECK(ftruncate(file->fd, file->size) == 0, "%m");
		if (!below(4) && file->size < 64 * PAGE && file->size)
			CHECK(fallocate(file->fd, 0, 0, file->size) == 0, "%m");
	}
	MUST(file->fd >= 0, "%m");
}

static struct file *some_file(void)
{
	struct file *file = &model.files[below(FILES)];

	if (!file->used)
		new_file(file);
	return file;
}

int file_fd(struct file **file, bool *mine)
{
	char path[32];
	int fd;

	/* A file that was closed is known to luo.ko alone: take another. */
	do
		*file = some_file();
	while ((*file)->fd < 0);
	switch (below(6)) {
	case 0:
		fd = dup((*file)->fd);
		break;
	case 1:
		if ((*file)->kind == TEST_FILE)
			return (*file)->fd;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", (*file)->fd);
		fd = open(path, (below(2) ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		break;
	default:
		return (*file)->fd;
	}
	CHECK(fd >= 0, "%m");
	*mine = true;
	return fd;
}

/* Descriptors that nobody can preserve, and the error that says so. */
int foreign_fd(int *error)
{
	static int fds[16], nr;
	int pair[2];

	if (!nr) {
		CHECK(pipe(pair) == 0);
		fds[nr++] = pair[0];
		fds[nr++] = pair[1];
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		fds[nr++] = pair[0];
		fds[nr++] = eventfd(0, 0);
		fds[nr++] = epoll_create1(0);
		fds[nr++] = open("/", O_RDONLY);
		fds[nr++] = open("/tmp", O_RDWR | O_TMPFILE, 0600);
		fds[nr++] = open("/tmp/memfd:x", O_RDWR | O_CREAT, 0600);
		unlink("/tmp/memfd:x");
		fds[nr++] = open("/dev/null", O_RDWR);
		fds[nr++] = open("/proc/self/maps", O_RDONLY);
		fds[nr++] = open("/sys/kernel/liveupdate/state", O_RDONLY);
		fds[nr++] = luo_open(O_RDWR);
		fds[nr++] = memfd_create("huge", MFD_HUGETLB);
		for (int i = 0; i < nr; i++)
			CHECK(fds[i] >= 0, "foreign descriptor %d", i);
		/* The last one is no open file at all. */
		fds[nr++] = open("/tmp", O_PATH);
	}
	*error = ENOENT;
	if (below(4)) {
		int i = below(nr);

		if (i == nr - 1)
			*error = EBADF;
		return fds[i];
	}
	*error = EBADF;
	switch (below(4)) {
	case 0:
		return -1;
	case 1:
		return INT_MIN;
	case 2:
		return INT_MAX;
	default:
		return 900 + below(100);
	}
}

struct file *file_of(uint64_t token)
{
	int i;

	for (i = 0; i < FILES; i++)
		if (model.files[i].used && model.files[i].preserved &&
		    model.files[i].token == token)
			return &model.files[i];
	return NULL;
}

void file_let_go(struct file *file)
{
	model.dead[below(DEAD)] = file->token;
	file->preserved = false;
	if (file->fd < 0)
		file->used = false;
}

static void file_close(struct file *file)
{
	close(file->fd);
	file->fd = -1;
	file->used = file->preserved;
}

/* What was restored is a file like any other from now on. */
void file_adopt(struct incoming *in, int fd)
{
	struct file *file = &model.files[below(FILES)];

	model.restored++;
	CHECK(file_is(fd, in->kind, in->stamp, in->size),
	      "token %lu did not come back as it went", in->token);
	if (file->used) {
		close(fd);
		return;
	}
	*file = (struct file){ .used = true, .fd = fd, .kind = in->kind,
			       .stamp = in->stamp, .size = in->size };
}

static void resize(struct file *file)
{
	bool held = file->preserved && (model.state == 1 || model.state == 2);
	uint64_t size = below(64 * PAGE);
	int result;

	if (size == file->size)
		return;
	result = ftruncate(file->fd, size) ? -errno : 0;
	CHECK(result == (held ? -EPERM : 0), "call %ld: truncating in %s: %s",
	      model.calls, state_name(model.state), error_name(result));
	if (result)
		return;
	if (size < 8 || file->size < 8)
		file->stamp = 0;
	if (size < 8 && size)
		CHECK(ftruncate(file->fd, 0) == 0 && ftruncate(file->fd, size) == 0);
	file->size = size;
	if (size >= 8)
		CHECK(pwrite(file->fd, &file->stamp, 8, 0) == 8, "%m");
}

void files_change(void)
{
	struct file *file = some_file();

	if (file->fd < 0)
		return;
	switch (below(5)) {
	case 0:
		if (!below(3))
			file_close(file);
		break;
	case 1:
		if (file->kind == MEMFD)
			resize(file);
		break;
	case 2:
		/* A hole gets a page, also while the file is prepared. */
		if (file->kind == MEMFD && file->size > 2 * PAGE)
			CHECK(pwrite(file->fd, "x", 1, PAGE + below(file->size - PAGE)) == 1);
		break;
	default:
		if (file->size < 8)
			break;
		file->stamp = rnd();
		CHECK(pwrite(file->fd, &file->stamp, 8, 0) == 8, "%m");
	}
}

struct incoming *incoming_of(uint64_t token)
{
	int i;

	for (i = 0; i < model.nr_came; i++)
		if (model.came[i].token == token)
			return &model.came[i];
	return NULL;
}

uint64_t some_token(void)
{
	static const uint64_t ends[] = { 0, ~0UL, 1UL << 63, 1UL << 32, INT_MAX };
	struct file *file = &model.files[below(FILES)];

	switch (below(8)) {
	case 0:
		return model.dead[below(DEAD)];
	case 1:
		return below(2) ? model.next_token : model.next_token + below(100);
	case 2:
		return below(2) ? ends[below(5)] : rnd();
	case 3:
	case 4:
		if (model.nr_came)
			return model.came[below(model.nr_came)].token;
		/* fall through */
	default:
		/* With luck it was never preserved, and its token is old. */
		return file->token;
	}
}

int order_refusal(int step)
{
	static const char *const parameters[] = { "prepare_result", "freeze_result" };
	static const int errors[] = { EIO, ENOMEM, EBUSY, ETIMEDOUT };
	int error = errors[below(4)], i;
	char path[64], text[32];

	/* What it remembers of its calls has an end. */
	CHECK(write_text("/sys/module/luo_test/parameters/calls", "") == 0);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/module/luo_test/parameters/%s", parameters[i]);
		snprintf(text, sizeof(text), "0,%d,0", i == step ? -error : 0);
		CHECK(write_text(path, text) == 0);
	}
	return error;
}

void model_moved(int state)
{
	if (model.state == LIVEUPDATE_STATE_UPDATED) {
		model.nr_came = 0;
		carrier_token = ~0UL;
	}
	if (state == LIVEUPDATE_STATE_PREPARED)
		model.prepared++;
	model.state = state;
}

/* Are the tokens in /sys those of the model, each with its state? */
void model_compare(void)
{
	static struct shown list[MAX_TOKENS];
	int n = shown_tokens(list), want = 0, i;

	for (i = 0; i < FILES; i++)
		want += model.files[i].used && model.files[i].preserved;
	want += model.nr_came + (carrier_token != ~0UL);
	CHECK(n == want, "call %ld: /sys shows %d tokens, not %d", model.calls, n, want);

	for (i = 0; i < n; i++) {
		struct file *file = file_of(list[i].token);
		struct incoming *in = incoming_of(list[i].token);
		const char *state = file ? "preserved" :
				    !in || in->restored ? "restored" : "incoming";

		if (list[i].token == carrier_token)
			continue;
		CHECK(file || in, "token %lu is unknown", list[i].token);
		CHECK(!strcmp(list[i].state, state), "token %lu is %s, not %s",
		      list[i].token, list[i].state, state);
		if (file)
			CHECK(list[i].bytes == file->size, "token %lu: %lu bytes, not %lu",
			      list[i].token, list[i].bytes, file->size);
	}
}

static void come_to_rest(int dev)
{
	if (model.state == 1 || model.state == 2)
		CHECK(luo_call(dev, CANCEL, NULL) == 0);
	else if (model.state == 3)
		CHECK(luo_call(dev, FINISH, NULL) == 0);
	model_moved(0);
	carrier_token = ~0UL;
}

void model_depart(int dev)
{
	struct model *m;
	int i;

	come_to_rest(dev);
	carrier = new_memfd(CARRIER, 0);
	/* Its pages have to be there before FREEZE, their contents need not. */
	CHECK(write(carrier, &model, sizeof(model)) == sizeof(model));
	m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED, carrier, 0);
	CHECK(luo_preserve(dev, carrier, &carrier_token) == 0);
	load_image();
	MUST(luo_call(dev, PREPARE, NULL) == 0);
	model_moved(1);
	for (i = 0; i < 200; i++)
		files_change();
	if (below(2))
		CHECK(luo_call(dev, FREEZE, NULL) == 0);

	*m = model;
	m->next_token = carrier_token + 1;
	memset(m->files, 0, sizeof(m->files));
	for (i = 0; i < FILES; i++) {
		struct file *file = &model.files[i];

		if (file->used && file->preserved)
			m->came[m->nr_came++] = (struct incoming){
				.token = file->token, .kind = file->kind,
				.stamp = file->stamp, .size = file->size,
			};
	}
	MUST(false, "the kexec came back: %s", error_name(jump()));
}

void model_arrive(int dev)
{
	static struct shown list[MAX_TOKENS];
	int n = shown_tokens(list), i;

	MUST(luo_state(dev) == LIVEUPDATE_STATE_UPDATED);
	for (i = 0; i < n; i++)
		if (!strcmp(list[i].name, CARRIER))
			carrier_token = list[i].token;
	carrier = luo_restore(dev, carrier_token);
	MUST(carrier >= 0, "%s", error_name(carrier));
	MUST(pread(carrier, &model, sizeof(model), 0) == sizeof(model));
	close(carrier);
	model.state = LIVEUPDATE_STATE_UPDATED;
	model_compare();
}

void model_end(int dev)
{
	int i;

	come_to_rest(dev);
	model_compare();
	for (i = 0; i < FILES; i++) {
		if (!model.files[i].used)
			continue;
		if (model.files[i].preserved)
			CHECK(luo_unpreserve(dev, model.files[i].token) == 0);
		if (model.files[i].fd >= 0)
			close(model.files[i].fd);
	}
}
