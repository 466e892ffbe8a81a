// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: The state machine
 *
 * One word says where the machine stands::
 *
 *              PREPARE              FREEZE, or reboot(KEXEC)
 *      normal ---------> prepared -------------------------> frozen
 *       ^  ^                |                                   |
 *       |  +----- CANCEL ---+------------- CANCEL --------------+
 *       |                                                       | kexec
 *       +------------------ FINISH -------- updated <===========+
 *
 * The moves know nothing of what takes part but one ordered list of participants,
 * and nothing of those who tell of a move but a chain of listeners.
 *
 * luo_lock covers every move and every change to the resources; restores
 * share it, each with a lock of its file besides. The word itself can be read
 * without it, so that a long PREPARE hides nothing. The reboot path takes the
 * lock unkillably: a kexec waits for the move that is under way and then finds
 * a whole state, never a half one.
 *
 * Once a kexec has passed its last veto nothing may change any more
 * (luo_leaving): tasks still run then, and a CANCEL in that moment would
 * empty a handover that is already on its way.
 *
 * The module stays pinned in every state but normal, so that what was pinned
 * or came over always has somebody to release it.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/timex.h>

#ifdef CONFIG_X86
#include <asm/tsc.h>
#endif

#include "luo_internal.h"

DECLARE_RWSEM(luo_lock);
static enum liveupdate_state luo_state = LIVEUPDATE_STATE_NORMAL;
static bool luo_leaving;
static u64 luo_seq;

/* Whoever takes part, by order: files are the first. */
static LIST_HEAD(luo_participants);
/* Whoever tells others of the moves. */
static RAW_NOTIFIER_HEAD(luo_listeners);

/* When the latest update did what, and which release it came from. */
struct luo_ser_times luo_times;
char luo_from_release[LUO_RELEASE_LEN];

atomic_long_t luo_counts[LUO_COUNTS];

static const char * const luo_state_names[] = {
	[LIVEUPDATE_STATE_NORMAL] = "normal",
	[LIVEUPDATE_STATE_PREPARED] = "prepared",
	[LIVEUPDATE_STATE_FROZEN] = "frozen",
	[LIVEUPDATE_STATE_UPDATED] = "updated",
};

/**
 * luo_cycles - the clock that runs on across a kexec
 *
 * Return: the raw cycle counter.
 */
u64 luo_cycles(void)
{
#ifdef CONFIG_X86
	return rdtsc_ordered();
#else
	return get_cycles();
#endif
}

static u64 luo_cycles_khz(void)
{
#ifdef CONFIG_X86
	return tsc_khz;
#else
	return 0;
#endif
}

/**
 * luo_state_get - where the machine stands
 *
 * Return: the state, also while a move is under way (the old one then).
 */
enum liveupdate_state luo_state_get(void)
{
	return READ_ONCE(luo_state);
}

/**
 * luo_state_name - the word for a state
 * @state: the state
 *
 * Return: a constant string.
 */
const char *luo_state_name(enum liveupdate_state state)
{
	return luo_state_names[state];
}

/**
 * luo_state_lock - begin a call that acts
 *
 * Return: 0 with the lock held, -EINTR if the caller is being killed, -EBUSY
 * if a kexec is on its way already.
 */
int luo_state_lock(void)
{
	if (down_write_killable(&luo_lock))
		return -EINTR;
	if (luo_leaving) {
		up_write(&luo_lock);
		return -EBUSY;
	}
	return 0;
}

/**
 * luo_state_lock_shared - begin a restore
 *
 * Restores of several files go on side by side, moves wait for them.
 *
 * Return: as luo_state_lock().
 */
int luo_state_lock_shared(void)
{
	if (down_read_killable(&luo_lock))
		return -EINTR;
	if (luo_leaving) {
		up_read(&luo_lock);
		return -EBUSY;
	}
	return 0;
}

/**
 * luo_state_unlock_shared - end a restore
 */
void luo_state_unlock_shared(void)
{
	up_read(&luo_lock);
}

/**
 * luo_state_lock_always - begin something that cannot be refused
 */
void luo_state_lock_always(void)
{
	down_write(&luo_lock);
}

/**
 * luo_state_open - may what takes part in an update change now?
 *
 * Context: state lock held.
 * Return: true in normal and updated, unless a kexec is on its way.
 */
bool luo_state_open(void)
{
	lockdep_assert_held(&luo_lock);

	return !luo_leaving && (luo_state == LIVEUPDATE_STATE_NORMAL ||
				luo_state == LIVEUPDATE_STATE_UPDATED);
}

/**
 * luo_state_leaving - is a kexec on its way?
 *
 * Context: any.
 * Return: true once it has passed its last veto.
 */
bool luo_state_leaving(void)
{
	return READ_ONCE(luo_leaving);
}

/**
 * luo_state_unlock - end a call that acts
 */
void luo_state_unlock(void)
{
	up_write(&luo_lock);
}

/**
 * luo_participant_add - somebody takes part from now on
 * @p: the participant, with its operations
 * @order: its place among the others
 *
 * Context: state lock held.
 */
void luo_participant_add(struct luo_participant *p, int order)
{
	struct luo_participant *next;

	lockdep_assert_held_write(&luo_lock);

	WRITE_ONCE(p->order, order);
	list_for_each_entry(next, &luo_participants, list) {
		if (next->order > order)
			break;
	}
	list_add_tail(&p->list, &next->list);
}

/**
 * luo_participant_del - somebody takes part no more
 * @p: the participant
 *
 * Context: state lock held, or nobody but the caller is left.
 */
void luo_participant_del(struct luo_participant *p)
{
	list_del(&p->list);
}

/**
 * luo_moves_listen - hear of every move from now on
 * @nb: called with a &struct luo_move, under the state lock
 *
 * Context: state lock held.
 */
void luo_moves_listen(struct notifier_block *nb)
{
	lockdep_assert_held_write(&luo_lock);

	raw_notifier_chain_register(&luo_listeners, nb);
}

/**
 * luo_moves_ignore - hear of moves no longer
 * @nb: as in luo_moves_listen()
 *
 * Context: state lock held, or nobody can move any more.
 */
void luo_moves_ignore(struct notifier_block *nb)
{
	raw_notifier_chain_unregister(&luo_listeners, nb);
}

static void luo_tell(enum liveupdate_state from)
{
	struct luo_move move = { from, luo_state, luo_seq };

	raw_notifier_call_chain(&luo_listeners, luo_state, &move);
}

/**
 * luo_state_begin - the first state of this module
 * @state: updated if a handover came, which is not taken yet; else normal
 *
 * Nobody may see a machine that was just updated in state normal, yet a handover
 * can be taken only once, when nothing can fail any more. So it is announced
 * first, and callers wait until luo_state_found().
 *
 * Context: state lock held, nobody can ask for the state yet.
 */
void luo_state_begin(enum liveupdate_state state)
{
	lockdep_assert_held_write(&luo_lock);

	luo_state = state;
}

/**
 * luo_state_found - the handover is taken, or there was none that could be
 * @state: updated if it was taken, else normal
 *
 * Context: state lock held.
 */
void luo_state_found(enum liveupdate_state state)
{
	bool told = luo_state != LIVEUPDATE_STATE_NORMAL;

	lockdep_assert_held_write(&luo_lock);

	if (state != LIVEUPDATE_STATE_NORMAL)
		__module_get(THIS_MODULE);
	WRITE_ONCE(luo_state, state);
	if (told)
		luo_tell(state);
}

/* The one place where the state changes: readable first, then announced. */
static void luo_state_set(enum liveupdate_state state)
{
	enum liveupdate_state old = luo_state;

	lockdep_assert_held_write(&luo_lock);

	if (old == LIVEUPDATE_STATE_NORMAL && state != old)
		__module_get(THIS_MODULE);

	WRITE_ONCE(luo_state, state);
	luo_seq++;
	luo_tell(old);
	pr_info("%s -> %s\n", luo_state_name(old), luo_state_name(state));

	if (state == LIVEUPDATE_STATE_NORMAL && state != old)
		module_put(THIS_MODULE);
}

/**
 * luo_prepare - move from normal to prepared
 *
 * Context: state lock held.
 * Return: 0, -EINVAL from another state, or the error of the resource that
 * refused; the state is normal then and everything is undone.
 */
int luo_prepare(void)
{
	struct luo_participant *p;
	int err;

	lockdep_assert_held_write(&luo_lock);

	if (luo_state != LIVEUPDATE_STATE_NORMAL)
		return -EINVAL;

	luo_times = (struct luo_ser_times) {
		.khz = luo_cycles_khz(),
		.prepare_begin = luo_cycles(),
	};

	list_for_each_entry(p, &luo_participants, list) {
		if (p->ops->begin)
			p->ops->begin(p);
	}
	err = luo_kho_begin();
	if (err) {
		luo_count(LUO_COUNT_PREPARE_REFUSED);
		pr_warn("prepare refused (%d): the record could not be begun\n", err);
		return err;
	}

	list_for_each_entry(p, &luo_participants, list) {
		err = p->ops->prepare(p);
		if (err)
			goto err_cancel;
	}

	luo_count(LUO_COUNT_PREPARE);
	luo_times.prepare_end = luo_cycles();
	luo_state_set(LIVEUPDATE_STATE_PREPARED);
	return 0;

err_cancel:
	/* The one that refused first. */
	list_for_each_entry_from_reverse(p, &luo_participants, list)
		p->ops->cancel(p);
	luo_kho_abort();
	luo_count(LUO_COUNT_PREPARE_REFUSED);
	return err;
}

static void luo_undo(void)
{
	struct luo_participant *p;

	list_for_each_entry_reverse(p, &luo_participants, list)
		p->ops->cancel(p);
	luo_kho_abort();
	luo_state_set(LIVEUPDATE_STATE_NORMAL);
}

/**
 * luo_freeze - move from prepared to frozen
 *
 * Context: state lock held.
 * Return: 0, -EINVAL from another state, or the error of the resource that
 * refused; the update is cancelled then and the state is normal.
 */
int luo_freeze(void)
{
	struct luo_participant *p;
	int err = 0;

	lockdep_assert_held_write(&luo_lock);

	if (luo_state != LIVEUPDATE_STATE_PREPARED)
		return -EINVAL;

	luo_times.freeze_begin = luo_cycles();
	luo_times.freeze_end = 0;

	list_for_each_entry(p, &luo_participants, list) {
		err = p->ops->freeze(p);
		if (err)
			break;
	}
	if (err) {
		luo_count(LUO_COUNT_FREEZE_REFUSED);
		luo_undo();
		return err;
	}

	luo_count(LUO_COUNT_FREEZE);
	luo_times.freeze_end = luo_cycles();
	luo_kho_commit();
	luo_state_set(LIVEUPDATE_STATE_FROZEN);
	return 0;
}

/*
 * A kexec follows a FREEZE that may have been long ago: take in what came since,
 * or give all up.
 */
static int luo_freeze_again(void)
{
	struct luo_participant *p;
	int err = 0;

	list_for_each_entry(p, &luo_participants, list) {
		err = p->ops->again ? p->ops->again(p) : 0;
		if (err)
			break;
	}
	if (err) {
		luo_count(LUO_COUNT_FREEZE_REFUSED);
		luo_undo();
		return err;
	}
	luo_kho_commit();
	return 0;
}

/**
 * luo_cancel - move from prepared or frozen back to normal
 *
 * Context: state lock held.
 * Return: 0, -EINVAL from another state, or -EBUSY if a kexec is on its way.
 */
int luo_cancel(void)
{
	lockdep_assert_held_write(&luo_lock);

	if (luo_state != LIVEUPDATE_STATE_PREPARED &&
	    luo_state != LIVEUPDATE_STATE_FROZEN)
		return -EINVAL;
	if (luo_leaving)
		return -EBUSY;

	luo_count(LUO_COUNT_CANCEL);
	luo_undo();
	return 0;
}

/**
 * luo_finish - move from updated to normal
 *
 * What nobody but luo.ko holds is thrown away: what was never restored, and
 * what was restored by a process that is gone.
 *
 * Context: state lock held.
 * Return: 0, or -EINVAL from another state.
 */
int luo_finish(void)
{
	struct luo_participant *p, *tmp;

	lockdep_assert_held_write(&luo_lock);

	if (luo_state != LIVEUPDATE_STATE_UPDATED)
		return -EINVAL;

	luo_count(LUO_COUNT_FINISH);
	list_for_each_entry_safe_reverse(p, tmp, &luo_participants, list)
		p->ops->finish(p);
	luo_kho_finish();
	luo_state_set(LIVEUPDATE_STATE_NORMAL);
	return 0;
}

/**
 * luo_leave - a kexec is about to leave this kernel
 *
 * Freezes what is still only prepared. After a return of 0 there is no way
 * back, and every later call that acts is refused. It may be called twice on
 * one way out.
 *
 * Context: the reboot system call, process context; takes the state lock.
 * Return: 0 if the kexec may go ahead, else why it must not.
 */
int luo_leave(void)
{
	struct luo_participant *p;
	int err = 0;

	down_write(&luo_lock);
	if (luo_leaving)
		goto out;

	switch (luo_state) {
	case LIVEUPDATE_STATE_PREPARED:
		err = luo_freeze();
		break;
	case LIVEUPDATE_STATE_NORMAL:
	case LIVEUPDATE_STATE_UPDATED:
		list_for_each_entry(p, &luo_participants, list) {
			if (p->ops->lost)
				p->ops->lost(p);
		}
		break;
	case LIVEUPDATE_STATE_FROZEN:
		err = luo_freeze_again();
		break;
	}
	if (err)
		luo_count(LUO_COUNT_KEXEC_REFUSED);
	else
		WRITE_ONCE(luo_leaving, true);
out:
	up_write(&luo_lock);
	return err;
}

/**
 * luo_late - the very last moment before the jump
 *
 * Context: any, with all other CPUs stopped.
 */
void luo_late(void)
{
	struct luo_participant *p;

	/* Without it this is no kexec, and others still run. */
	if (!luo_leaving || !luo_kho_committed())
		return;
	list_for_each_entry(p, &luo_participants, list) {
		if (p->ops->late)
			p->ops->late(p);
	}
	luo_kho_seal_late();
}
