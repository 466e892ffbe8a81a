/* SPDX-License-Identifier: MIT */
/*
 * What the abuse programs share. They are one static program that is process 1
 * of a machine with a debug kernel; the kernel's command line says what to do.
 */
#ifndef ABUSE_H
#define ABUSE_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "liveupdate.h"

#define PREPARE LIVEUPDATE_IOCTL_EVENT_PREPARE
#define FREEZE LIVEUPDATE_IOCTL_EVENT_FREEZE
#define CANCEL LIVEUPDATE_IOCTL_EVENT_CANCEL
#define FINISH LIVEUPDATE_IOCTL_EVENT_FINISH

#define PAGE 4096UL
#define MIB (1UL << 20)
#define MAX_TOKENS 512

/* From the kernel's command line: abuse=fuzz seed=1 count=50000 round=1 */
struct options {
	char scenario[32];
	uint64_t seed;
	long count;
	int round;
	int patience; /* seconds for one round */
	long carry; /* a number for the next round */
	long free_first, free_now; /* KiB when a round began, the first one and this */
	int detectors; /* whether the kernel is one with lockdep and kmemleak */
};
extern struct options opt;

/* A scenario. It leaves the state normal, nothing preserved and luo.ko loaded. */
void fuzz(void);
void threads(void);
void faults(void);
void faults_in_load(void);
void rounds(void);
void security(void);
void image(void);
void damage(void);
void arrival(void);

/* Words and verdicts. A failure is told with its place, and counted. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain(const char *file, int line, const char *what, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
extern long checks;
#define CHECK(condition, ...)                                                  \
	({                                                                     \
		bool good_ = (condition);                                      \
		__atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED);              \
		if (!good_)                                                    \
			complain(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
		good_;                                                         \
	})
/* For what the rest cannot do without. */
#define MUST(...)                                                              \
	do {                                                                   \
		if (!CHECK(__VA_ARGS__))                                       \
			end();                                                 \
	} while (0)
void end(void) __attribute__((noreturn));

/* Chance, which is the same for the same seed. */
extern uint64_t chance;
uint64_t next_of(uint64_t *seed);
#define rnd() next_of(&chance)
#define below(n) (rnd() % (n))

/* The device. Results are 0 or -errno; restore gives a descriptor. */
int luo_open(int flags);
int luo_call(int dev, unsigned int command, const void *arg);
int luo_preserve(int dev, int fd, uint64_t *token);
int luo_unpreserve(int dev, uint64_t token);
int luo_restore(int dev, uint64_t token);
int luo_state(int dev);
const char *state_name(int state);
const char *error_name(int error);

/* What /sys says. */
struct shown {
	uint64_t token;
	char state[16];
	char name[80];
	uint64_t bytes;
};
int shown_tokens(struct shown *list);
bool shown_state_is(int state);
int read_text(const char *path, char *text, size_t size);
int write_text(const char *path, const char *text);
long free_kib(void);

/* Memory files, with contents that follow from a number. */
int new_memfd(const char *name, unsigned int flags);
void fill(int fd, off_t from, size_t size, uint64_t number);
bool has(int fd, off_t from, size_t size, uint64_t number);
bool is_zero(int fd, off_t from, size_t size);

/* The kernel. */
int load_module(const char *name, const char *parameters);
int unload_module(const char *name);
void unload_luo(void);
void load_image(void);
int jump(void);
void look_for_leaks(void);

#endif
