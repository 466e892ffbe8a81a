/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files about subsystems share with each other.
 */
#ifndef _LUO_SUBSYSTEM_INTERNAL_H
#define _LUO_SUBSYSTEM_INTERNAL_H

#include "luo_internal.h"

/**
 * struct luo_subsystem_entry - a subsystem, or what came for one
 * @timed: its device in the class, which also owns this memory
 * @part: its place among all who take part; what nobody registered is last
 * @list: in the list of all subsystems
 * @sub: the subsystem; NULL if something came and nobody registered yet
 * @called: prepare was called and neither undone nor finished
 * @incoming: something came
 * @data: what it hands over
 * @came: what came
 * @name: its name
 */
struct luo_subsystem_entry {
	struct luo_timed_node timed;
	struct luo_participant part;
	struct list_head list;
	struct luo_subsystem *sub;
	bool called;
	bool incoming;
	u64 data;
	u64 came;
	char name[LUO_COMPATIBLE_LEN];
};

/* luo_subsystem_node.c */
struct luo_subsystem_entry *luo_subsystem_node_new(const char *name);
void luo_subsystem_node_free(struct luo_subsystem_entry *e);
const char *luo_subsystem_state(const struct luo_subsystem_entry *e);

#endif /* _LUO_SUBSYSTEM_INTERNAL_H */
