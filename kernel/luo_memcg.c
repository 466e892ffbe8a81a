// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Room in memory cgroups
 *
 * Pages that come are charged to whoever restores, and pages that come back
 * from swap to whoever owns them. Charging more than there is room for would
 * push out, or kill, what an update is to keep alive, so room is asked for
 * first. It is taken for as long as the charging goes on: of several who
 * charge side by side each sees what the others have still to charge.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page_counter.h>
#include <linux/sched.h>

#include "luo_memfd.h"

#ifdef CONFIG_MEMCG

static DEFINE_MUTEX(luo_rooms_lock);
static LIST_HEAD(luo_rooms);

/* Clean cache of the group itself that charging can push out. */
static unsigned long luo_memcg_cache(struct mem_cgroup *memcg)
{
	unsigned long nr = 0;
	int nid, zone;

	for_each_node_state(nid, N_MEMORY) {
		struct lruvec *lruvec = mem_cgroup_lruvec(memcg, NODE_DATA(nid));

		for (zone = 0; zone < MAX_NR_ZONES; zone++) {
			nr += mem_cgroup_get_zone_lru_size(lruvec,
							   LRU_INACTIVE_FILE,
							   zone);
			nr += mem_cgroup_get_zone_lru_size(lruvec,
							   LRU_ACTIVE_FILE,
							   zone);
		}
	}
	return nr;
}

/* What others have still to charge to a group. */
static unsigned long luo_memcg_taken(struct mem_cgroup *memcg)
{
	struct luo_room *room;
	unsigned long nr = 0;

	list_for_each_entry(room, &luo_rooms, list) {
		if (mem_cgroup_is_descendant(room->memcg, memcg))
			nr += READ_ONCE(room->pages);
	}
	return nr;
}

static unsigned long luo_memcg_lacks(struct mem_cgroup *memcg,
				     unsigned long pages)
{
	unsigned long cache = luo_memcg_cache(memcg);
	unsigned long lacks = 0;
	struct mem_cgroup *m;

	for (m = memcg; m && !mem_cgroup_is_root(m); m = parent_mem_cgroup(m)) {
		unsigned long max = READ_ONCE(m->memory.max);
		unsigned long used = page_counter_read(&m->memory);

		used -= min(used, cache);
		used += luo_memcg_taken(m) + pages;
		if (used > max)
			lacks = max(lacks, used - max);
	}
	return lacks;
}

/* Takes the reference to @memcg over. */
static unsigned long luo_room_take_in(struct luo_room *room,
				      struct mem_cgroup *memcg,
				      unsigned long pages)
{
	unsigned long lacks;

	mutex_lock(&luo_rooms_lock);
	lacks = luo_memcg_lacks(memcg, pages);
	if (!lacks) {
		room->memcg = memcg;
		room->pages = pages;
		list_add(&room->list, &luo_rooms);
	}
	mutex_unlock(&luo_rooms_lock);
	if (lacks)
		mem_cgroup_put(memcg);
	return lacks;
}

/**
 * luo_room_take - take room for pages that will be charged to the caller
 * @room: what was taken, all zero before
 * @pages: their number
 *
 * Context: may sleep.
 * Return: 0, or how many pages too few there are; nothing is taken then.
 */
unsigned long luo_room_take(struct luo_room *room, unsigned long pages)
{
	if (mem_cgroup_disabled())
		return 0;
	return luo_room_take_in(room, get_mem_cgroup_from_mm(current->mm),
				pages);
}

/**
 * luo_room_take_beside - take room for pages of the owner of another page
 * @room: what was taken, all zero before
 * @folio: that other page, referenced
 * @pages: their number
 *
 * Context: may sleep.
 * Return: as luo_room_take().
 */
unsigned long luo_room_take_beside(struct luo_room *room, struct folio *folio,
				   unsigned long pages)
{
	struct mem_cgroup *memcg;

	if (mem_cgroup_disabled())
		return 0;
	rcu_read_lock();
	memcg = folio_memcg(folio);
	if (memcg && !mem_cgroup_tryget(memcg))
		memcg = NULL;
	rcu_read_unlock();
	return memcg ? luo_room_take_in(room, memcg, pages) : 0;
}

/**
 * luo_room_used - some of the pages are charged now
 * @room: what was taken; nothing happens if it is all zero
 * @pages: how many
 */
void luo_room_used(struct luo_room *room, unsigned long pages)
{
	WRITE_ONCE(room->pages, room->pages - min(room->pages, pages));
}

/**
 * luo_room_end - nothing more will be charged
 * @room: what was taken; nothing happens if it is all zero, as it is afterwards
 */
void luo_room_end(struct luo_room *room)
{
	if (!room->memcg)
		return;
	mutex_lock(&luo_rooms_lock);
	list_del(&room->list);
	mutex_unlock(&luo_rooms_lock);
	mem_cgroup_put(room->memcg);
	memset(room, 0, sizeof(*room));
}

#else /* !CONFIG_MEMCG */

unsigned long luo_room_take(struct luo_room *room, unsigned long pages)
{
	return 0;
}

unsigned long luo_room_take_beside(struct luo_room *room, struct folio *folio,
				   unsigned long pages)
{
	return 0;
}

void luo_room_used(struct luo_room *room, unsigned long pages)
{
}

void luo_room_end(struct luo_room *room)
{
}

#endif /* CONFIG_MEMCG */
