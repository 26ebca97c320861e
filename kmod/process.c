// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * process.c - processes: naming one to make a grant for, and finding all that
 * use a grant's address space
 *
 * A pid names a thread group, and an address space can have several: clone()
 * with CLONE_VM and without CLONE_THREAD makes another process in it. Each of
 * them can use the grant, so each of them holds it. And a thread group can go on
 * without its leader, which is then a zombie without an address space; so no
 * single task speaks for a process, and its threads are looked through.
 *
 * Tasks are walked under RCU, without the kernel's tasklist_lock, which no module
 * can have. Only the value of task->mm is compared; it is never followed.
 * The grant holds the structure (mmgrab), so its address is nobody else's. A
 * process that begins or ends meanwhile may or may not be found.
 *
 * Nothing here waits: the lock that an exec holds is only tried.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "belay.h"
#include "ioctl.h"

/* Field 22 of /proc/PID/stat. */
static u64 start_time_ticks(const struct task_struct *task)
{
	return div_u64(task->start_boottime, NSEC_PER_SEC / USER_HZ);
}

/* A thread of that process that has an address space; under RCU. */
static struct task_struct *living_thread(struct task_struct *leader)
{
	struct task_struct *t;

	for_each_thread(leader, t)
		if (READ_ONCE(t->mm) && !(t->flags & PF_KTHREAD))
			return t;
	return NULL;
}

/* Do all threads run as that user? Under RCU. */
static bool all_run_as(struct task_struct *leader, kuid_t uid)
{
	struct task_struct *t;

	for_each_thread(leader, t)
		if (!uid_eq(__task_cred(t)->euid, uid))
			return false;
	return true;
}

/*
 * The address space and who runs in it, as they belong together: an exec changes
 * one after the other, and holds exec_update_lock while it does.
 */
static int look_at(struct belay_process *p, struct task_struct *leader, kuid_t uid)
{
	struct task_struct *t;
	int ret = -ESRCH;

	if (!down_read_trylock(&leader->signal->exec_update_lock))
		return -EAGAIN;
	rcu_read_lock();
	t = living_thread(leader);
	if (t && !all_run_as(leader, uid)) {
		ret = -EACCES;
	} else if (t) {
		p->mm = get_task_mm(t);
		p->user = p->mm ? get_uid(__task_cred(t)->user) : NULL;
		ret = p->mm ? 0 : -EAGAIN;	/* that thread is just ending */
	}
	rcu_read_unlock();
	up_read(&leader->signal->exec_update_lock);
	return ret;
}

int belay_process_find(struct belay_process *p, const struct belay_ctl_grant *arg)
{
	struct task_struct *leader;
	int ret = -ESRCH;

	*p = (struct belay_process) { .pid = find_get_pid(arg->pid) };
	leader = get_pid_task(p->pid, PIDTYPE_TGID);
	if (leader && start_time_ticks(leader) == arg->start_time)
		ret = look_at(p, leader, make_kuid(current_user_ns(), arg->uid));
	if (leader)
		put_task_struct(leader);
	if (ret)
		put_pid(p->pid);
	return ret;
}

void belay_process_put(struct belay_process *p)
{
	mmput_async(p->mm);
	put_pid(p->pid);
	free_uid(p->user);
}

/* ------------------------------------------------------------------------ */
/* Who uses a grant's address space                                          */

struct holders {
	const struct mm_struct *mm;
	struct belay_holder_row *rows;
	u32 room;
	u32 count;		/* may be more than there is room for */
};

/* One process, if it is a holder. Returns how many of its threads are known to be. */
static int note(struct holders *h, struct task_struct *leader, bool count_threads)
{
	struct task_struct *t = living_thread(leader);
	const struct cred *cred;
	int threads = 0;

	if (!t || READ_ONCE(t->mm) != h->mm)
		return 0;
	if (h->count < h->room) {
		cred = __task_cred(t);
		h->rows[h->count] = (struct belay_holder_row) {
			.pid = pid_vnr(task_tgid(leader)),
			.uid = from_kuid_munged(current_user_ns(), cred->uid),
			.euid = from_kuid_munged(current_user_ns(), cred->euid),
			.start_time = start_time_ticks(leader),
		};
	}
	h->count++;
	if (!count_threads)
		return 1;
	for_each_thread(leader, t)
		threads += READ_ONCE(t->mm) == h->mm;
	return threads;
}

/*
 * The process that the grant was made for comes first. Mostly it is the only
 * one, which the number of users tells without a walk over all processes.
 */
static void find_holders(struct holders *h, const struct belay_grant *g)
{
	struct task_struct *first, *p;
	int users;

	rcu_read_lock();
	users = atomic_read(&g->mm->mm_users);
	first = pid_task(g->pid, PIDTYPE_TGID);
	if (first)
		users -= note(h, first, true);
	if (users > 0) {
		for_each_process(p)
			if (p != first)
				note(h, p, false);
	}
	rcu_read_unlock();
}

static int write_holders(const struct holders *h, const struct belay_ctl_holders *arg)
{
	u32 i;

	for (i = 0; i < min(h->count, h->room); i++)
		if (belay_row_write(&h->rows[i], sizeof(h->rows[i]), arg->rows,
				    arg->entry_size, i))
			return -EFAULT;
	return 0;
}

int belay_process_holders(struct belay_ctl_holders *arg)
{
	struct holders h = { .room = arg->count };
	struct belay_grant *g;
	int ret;

	if (arg->flags)
		return -EOPNOTSUPP;
	ret = belay_array_check(arg->count, arg->entry_size, BELAY_HOLDER_ROW_SIZE_VER0);
	if (ret)
		return ret;
	h.rows = kvmalloc_array(h.room, sizeof(*h.rows), GFP_KERNEL_ACCOUNT);
	if (!h.rows)
		return -ENOMEM;
	g = belay_grant_get(arg->grant);
	if (g) {
		h.mm = g->mm;
		find_holders(&h, g);
		belay_grant_put(g);
	}
	ret = g ? write_holders(&h, arg) : -ENOENT;
	arg->count = h.count;
	kvfree(h.rows);
	return ret;
}
