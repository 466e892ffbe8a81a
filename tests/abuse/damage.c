// SPDX-License-Identifier: MIT
/*
 * An update in each round, through a real kexec, and each time some bytes of what crosses
 * are changed at the last moment. What is damaged is refused, and nothing else suffers: a
 * file that can be restored is as it was, and none appears that was not preserved.
 */
#include "abuse.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 8
/* The last file's list of pages takes more than one page itself. */
#define EACH 6
#define SIZE (2 * FILES * FILES * EACH * PAGE)

static int dev;

static uint64_t number(int round, int i)
{
	return opt.seed * 100000 + round * 100 + i;
}

/* From none to a few hundred pages that do not follow each other. */
static int pages(int i)
{
	return i * i * EACH;
}

static void look_at(const struct shown *shown)
{
	int fd = luo_restore(dev, shown->token), i = -1, page;
	struct stat st;

	if (fd < 0) {
		CHECK(fd == -EIO || fd == -EOPNOTSUPP, "%s", error_name(fd));
		return;
	}
	CHECK(sscanf(shown->name, "damage-%d", &i) == 1 && i >= 0 && i < FILES, "%s",
	      shown->name);
	CHECK(fstat(fd, &st) == 0 && st.st_size == (off_t)SIZE);
	for (page = 0; page < pages(i); page++)
		CHECK(has(fd, 2 * page * PAGE, PAGE, number(opt.round - 1, i)),
		      "file %d page %d", i, page);
	CHECK(is_zero(fd, 2 * pages(i) * PAGE, PAGE));
	close(fd);
}

static void look_at_what_came(void)
{
	static struct shown list[MAX_TOKENS];
	int state = luo_state(dev), n = shown_tokens(list), i;

	say("%d of %d files came, the state is %s", n, FILES, state_name(state));
	CHECK(n <= FILES);
	if (state == 0) {
		CHECK(n == 0);
		return;
	}
	MUST(state == LIVEUPDATE_STATE_UPDATED);
	for (i = 0; i < n; i++)
		look_at(&list[i]);
	CHECK(luo_call(dev, FINISH, NULL) == 0);
}

void damage(void)
{
	char name[32];
	uint64_t token;
	int fd, i, page;

	dev = luo_open(O_RDWR);
	MUST(dev >= 0);
	if (opt.round > 1)
		look_at_what_came();
	MUST(luo_state(dev) == 0 && shown_state_is(0));
	if (opt.round == opt.count)
		return;

	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "damage-%d", i);
		fd = new_memfd(name, MFD_ALLOW_SEALING);
		CHECK(ftruncate(fd, SIZE) == 0);
		for (page = 0; page < pages(i); page++)
			fill(fd, 2 * page * PAGE, PAGE, number(opt.round, i));
		CHECK(luo_preserve(dev, fd, &token) == 0);
	}
	snprintf(name, sizeof(name), "seed=%lu", opt.seed + opt.round);
	MUST(load_module("luo_damage", name) == 0, "%m");
	load_image();
	CHECK(luo_call(dev, PREPARE, NULL) == 0);
	MUST(false, "the kexec came back: %s", error_name(jump()));
}

/* The checks alone, in this kernel and very often: see arrival/mutate.c. */
void arrival(void)
{
	char text[64];

	snprintf(text, sizeof(text), "turns=%ld seed=%lu", opt.count, opt.seed);
	CHECK(load_module("luo_mutate", text) == 0, "%m");
	CHECK(unload_module("luo_mutate") == 0, "%m");
}
