/* SPDX-License-Identifier: MIT */
/* What the fuzzer believes about files, tokens and the state. */
#ifndef MODEL_H
#define MODEL_H

#include "abuse.h"

#define FILES 24
#define CAME 32
#define DEAD 16

enum kind { MEMFD, TEST_FILE };

struct file {
	int fd; /* -1: closed; it lives on while it is preserved */
	bool used;
	enum kind kind;
	uint64_t stamp; /* its first word */
	uint64_t size;
	bool preserved;
	uint64_t token;
};

struct incoming {
	uint64_t token;
	enum kind kind;
	uint64_t stamp;
	uint64_t size;
	bool restored;
};

struct model {
	int state;
	long calls, preserved, restored, prepared;
	uint64_t next_token;
	struct file files[FILES];
	int nr_came;
	struct incoming came[CAME];
	uint64_t dead[DEAD];
};
extern struct model model;

void model_begin(void);
void model_depart(int dev);
void model_arrive(int dev);
void model_end(int dev);
void model_moved(int state);
void model_compare(void);

int foreign_fd(int *error);
int file_fd(struct file **file, bool *mine);
struct file *file_of(uint64_t token);
void file_let_go(struct file *file);
void file_adopt(struct incoming *in, int fd);
void files_change(void);

struct incoming *incoming_of(uint64_t token);
uint64_t some_token(void);

/* Have luo_test refuse the next PREPARE (0) or FREEZE (1), or nothing (-1). */
int order_refusal(int step);

#endif
