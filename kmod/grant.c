// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * grant.c - grants: binding, finding, ending
 *
 * A grant is bound when it is made: the policy owner names a process by pid,
 * start time and user (process.c), and the module takes hold of that process's mm
 * structure (never of its users: the address space ends when its last process
 * ends). There is
 * one grant for an address space and account; asking again adds a session.
 *
 * A grant ends twice, in either order:
 *  - its address space ends: the notifier's release marks it dead; the worker
 *    lets go of every region, whoever still has a session open;
 *  - its last session is closed: all regions are gone with it, the account is
 *    left, and the grant waits only for the policy owner to have heard of it.
 *
 * References to a grant: one for the time it has a place in belay_grants, one
 * for each session, one while its end is an undealt event. The worker needs
 * none: once the notifier is unregistered no callback queues it, and then the
 * last close cancels it.
 */
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/delay.h>
#include <linux/timekeeping.h>

#include "belay.h"
#include "compat/compat.h"
#include "trace.h"

/* Times to try the address space's lock before saying EAGAIN, 1 ms apart. */
#define BIND_TRIES	4
/* Times to try a mapping's lock, 0.1 ms apart, in all of them together. */
#define FAULT_TRIES	50

/*
 * mm_take_all_locks() waits for page faults that hold a mapping's own lock. A client can
 * make such a fault take for ever (a FUSE server that never answers), and meanwhile nobody
 * on the machine can add a notifier. So these locks are tried first, which keeps faults
 * out of each mapping until the mm's lock is let go. An ordinary fault is soon over.
 */
static bool keep_faults_out(struct mm_struct *mm)
{
	VMA_ITERATOR(i, mm, 0);
	struct vm_area_struct *vma;
	int tries = 0;

	for_each_vma(i, vma)
		while (!vma_try_start_write(vma)) {
			if (tries++ == FAULT_TRIES)
				return false;
			usleep_range(50, 100);
		}
	return true;
}

static bool lock_mm(struct mm_struct *mm)
{
	if (!mmap_write_trylock(mm))
		return false;
	if (keep_faults_out(mm))
		return true;
	mmap_write_unlock(mm);
	return false;
}

/*
 * The mm's lock is its owner's to hold for as long as it likes (a page fault
 * that a FUSE server never answers), so it is tried, not waited for.
 */
static int bind_mm(struct belay_grant *g, struct mm_struct *mm)
{
	int tries, ret;

	for (tries = 0; !lock_mm(mm); tries++) {
		if (tries == BIND_TRIES)
			return -EAGAIN;
		usleep_range(500, 1000);
	}
	ret = __mmu_notifier_register(&g->mn, mm);
	mmap_write_unlock(mm);
	if (!ret) {
		mmgrab(mm);
		g->mm = mm;
	}
	return ret == -EINTR ? -EAGAIN : ret;
}

/* Leaves the address space alone, for good; may sleep. */
static void grant_release(struct kref *ref)
{
	struct belay_grant *g = container_of(ref, struct belay_grant, ref);

	WARN_ON(!list_empty(&g->losses) || !list_empty(&g->suspects) ||
		!list_empty(&g->later));
	if (g->mm)
		mmdrop(g->mm);
	put_pid(g->pid);
	free_uid(g->user);
	kfree(g);
}

void belay_grant_put(struct belay_grant *g)
{
	kref_put(&g->ref, grant_release);
}

static struct belay_grant *grant_of(struct belay_event_source *src)
{
	return container_of(src, struct belay_grant, event);
}

static void event_get(struct belay_event_source *src)
{
	kref_get(&grant_of(src)->ref);
}

static void event_put(struct belay_event_source *src)
{
	belay_grant_put(grant_of(src));
}

static void event_fill(struct belay_event_source *src, struct belay_event *e)
{
	e->grant = grant_of(src)->id;
}

/*
 * The policy owner has dealt with the grant's end. This or the last close, the later
 * of the two, takes the grant off the list.
 */
static void event_done(struct belay_event_source *src)
{
	struct belay_grant *g = grant_of(src);
	bool over;

	mutex_lock(&belay_tree_lock);
	over = g->ended && !g->told;
	g->told = true;
	if (over)
		xa_erase(&belay_grants, g->id);
	mutex_unlock(&belay_tree_lock);
	if (over)
		belay_grant_put(g);
}

static const struct belay_event_ops event_ops = {
	.get = event_get,
	.put = event_put,
	.fill = event_fill,
	.done = event_done,
};

static struct belay_grant *grant_alloc(const struct belay_ctl_grant *arg)
{
	struct belay_grant *g = kzalloc_obj(*g, GFP_KERNEL_ACCOUNT);

	if (!g)
		return NULL;
	kref_init(&g->ref);
	g->mn.ops = &belay_notifier_ops;
	g->start_time = arg->start_time;
	g->made_at = ktime_get_boottime_ns();
	g->node.limit_pages = belay_bytes_to_pages(arg->limit_bytes);
	g->node.limit_regions = belay_count_limit(arg->limit_regions);
	memcpy(g->tag, arg->tag, sizeof(g->tag));
	mutex_init(&g->lock);
	g->regions = RB_ROOT_CACHED;
	spin_lock_init(&g->watch_lock);
	g->watched = RB_ROOT_CACHED;
	g->unlisted_start = ULONG_MAX;
	spin_lock_init(&g->dirty_lock);
	INIT_LIST_HEAD(&g->losses);
	INIT_LIST_HEAD(&g->suspects);
	INIT_LIST_HEAD(&g->later);
	init_waitqueue_head(&g->room);
	INIT_DELAYED_WORK(&g->work, belay_settle_worker);
	belay_event_init(&g->event, &event_ops);
	return g;
}

static struct belay_grant *find_live(struct mm_struct *mm, struct belay_account *a)
{
	struct belay_grant *g;
	unsigned long id;

	lockdep_assert_held(&belay_tree_lock);
	xa_for_each(&belay_grants, id, g)
		if (g->mm == mm && g->account == a && g->sessions && !g->dead)
			return g;
	return NULL;
}

static void put_below(struct belay_grant *g, struct belay_account *a)
{
	unsigned int i;

	g->node.parent = &a->node;
	g->account = a;
	g->account_id = a->node.id;
	for (i = 0; a && !WARN_ON_ONCE(i == BELAY_MAX_DEPTH); i++, a = a->parent)
		g->accounts[i] = a->node.id;
}

/*
 * The grant is not listed yet, but has an id of its own, and the account counts it.
 * The caller binds it, without belay_tree_lock.
 */
static struct belay_grant *grant_create(const struct belay_ctl_grant *arg,
					struct belay_account *a,
					const struct belay_process *p)
{
	struct belay_grant *g = grant_alloc(arg);
	static u32 next;
	int ret;

	lockdep_assert_held(&belay_tree_lock);

	if (!g)
		return ERR_PTR(-ENOMEM);
	g->pid = get_pid(p->pid);
	g->user = get_uid(p->user);
	put_below(g, a);
	/* Cyclic, so that an old grant's id does not soon mean another process. */
	ret = xa_alloc_cyclic(&belay_grants, &g->id, NULL, xa_limit_31b, &next,
			      GFP_KERNEL_ACCOUNT);
	if (ret < 0) {
		belay_grant_put(g);
		return ERR_PTR(ret);
	}
	a->grants++;
	return g;
}

/* It never had a session: nobody has heard of it. Called without belay_tree_lock. */
static void grant_undo(struct belay_grant *g)
{
	WRITE_ONCE(g->closing, true);
	if (g->mm) {
		mmu_notifier_unregister(&g->mn, g->mm);
		cancel_delayed_work_sync(&g->work);
	}
	mutex_lock(&belay_tree_lock);
	g->account->grants--;
	xa_erase(&belay_grants, g->id);
	mutex_unlock(&belay_tree_lock);
	belay_grant_put(g);
}

/* The last session is gone. Called without belay_tree_lock. */
void belay_grant_end(struct belay_grant *g)
{
	bool over;

	WRITE_ONCE(g->closing, true);
	mmu_notifier_unregister(&g->mn, g->mm);
	cancel_delayed_work_sync(&g->work);

	mutex_lock(&belay_tree_lock);
	g->account->grants--;
	g->account = NULL;
	g->ended = true;
	over = g->told;
	if (over)
		xa_erase(&belay_grants, g->id);
	mutex_unlock(&belay_tree_lock);
	belay_stat_add(grants, -1);
	trace_belay_grant_ended(g);
	if (over)
		belay_grant_put(g);
	else
		belay_event_raise(&g->event, BELAY_EVENT_ENDED);
}

/* At unload: grants that ended and of which nobody wanted to hear. */
void belay_grants_forget(void)
{
	struct belay_grant *g;
	unsigned long id;

	xa_for_each(&belay_grants, id, g) {
		xa_erase(&belay_grants, id);
		belay_grant_put(g);
	}
}

static struct belay_session *open_session(struct belay_grant *g,
					  struct belay_ctl_grant *arg)
{
	struct belay_session *s = belay_session_create(g);

	if (!IS_ERR(s)) {
		arg->grant = g->id;
		arg->session = s->id;
	}
	return s;
}

/* On the grant that there is; NULL, and its account: there is none. */
static struct belay_session *open_existing(struct belay_ctl_grant *arg,
					   const struct belay_process *p,
					   struct belay_account **ret_account)
{
	struct belay_account *a;
	struct belay_session *s;
	struct belay_grant *g;

	lockdep_assert_held(&belay_tree_lock);
	a = arg->account > U32_MAX ? NULL : xa_load(&belay_accounts, arg->account);
	if (!a)
		return ERR_PTR(-ENOENT);
	*ret_account = a;
	g = find_live(p->mm, a);
	arg->existed = !!g;
	if (!g)
		return NULL;
	s = open_session(g, arg);
	if (!IS_ERR(s))
		trace_belay_session_opened(s);
	return s;
}

/* The first session of @g, which is bound, unless somebody has been quicker. */
static struct belay_session *open_first(struct belay_grant *g, struct belay_ctl_grant *arg,
					const struct belay_process *p)
{
	struct belay_account *a;
	struct belay_session *s;

	mutex_lock(&belay_tree_lock);
	s = open_existing(arg, p, &a);
	if (!s)
		s = open_session(g, arg);
	if (!IS_ERR(s) && s->grant == g) {
		/* The place is reserved: this allocates nothing. */
		xa_store(&belay_grants, g->id, g, GFP_KERNEL_ACCOUNT);
		belay_stat_inc(grants);
		trace_belay_grant_made(g);
		trace_belay_session_opened(s);
	}
	mutex_unlock(&belay_tree_lock);
	return s;
}

/*
 * A new session for the process named, on its grant or on a new one. Binding takes all
 * locks of an address space, which takes long if that has very many mappings: the
 * tree's lock is not held meanwhile.
 */
struct belay_session *belay_grant_open(struct belay_ctl_grant *arg)
{
	struct belay_grant *g = NULL;
	struct belay_account *a;
	struct belay_session *s;
	struct belay_process p;
	int ret;

	ret = belay_process_find(&p, arg);
	if (ret)
		return ERR_PTR(ret);
	mutex_lock(&belay_tree_lock);
	s = open_existing(arg, &p, &a);
	if (!s)
		g = grant_create(arg, a, &p);
	mutex_unlock(&belay_tree_lock);
	if (IS_ERR(g))
		s = ERR_CAST(g);
	if (s)
		goto out;
	ret = bind_mm(g, p.mm);
	s = ret ? ERR_PTR(ret) : open_first(g, arg, &p);
	if (IS_ERR(s) || s->grant != g)
		grant_undo(g);
out:
	belay_process_put(&p);
	return s;
}

/* With a reference. */
struct belay_grant *belay_grant_get(u64 id)
{
	struct belay_grant *g = NULL;

	mutex_lock(&belay_tree_lock);
	if (id <= U32_MAX)
		g = xa_load(&belay_grants, id);
	if (g)
		kref_get(&g->ref);
	mutex_unlock(&belay_tree_lock);
	return g;
}

/* The pid of its process in the caller's namespace; 0: that is gone. */
pid_t belay_grant_pid(const struct belay_grant *g)
{
	pid_t nr = 0;

	rcu_read_lock();
	if (pid_task(g->pid, PIDTYPE_TGID))
		nr = pid_vnr(g->pid);
	rcu_read_unlock();
	return nr;
}
