// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * session.c - a session's file: what clients do
 *
 * Everything but BELAY_INFO is for the address space that the grant is bound
 * to: any other caller, whatever way it came by the fd, gets EXDEV. While a
 * command runs its caller has the file open and the mm alive, so neither the
 * session can be closed nor the address space end under it.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "ioctl.h"
#include "trace.h"

static struct belay_session *session_of(struct belay_call *call)
{
	return call->file->private_data;
}

static int check_bound(const struct belay_session *s)
{
	if (!belay_is_bound_here(s))
		return -EXDEV;
	return READ_ONCE(s->grant->dead) ? -ESHUTDOWN : 0;
}

/* Of one that is still being registered nobody has the id: it may only be guessed. */
static struct belay_region *find_region(struct belay_session *s, u64 id)
{
	struct belay_region *r = belay_region_find(s, id);

	if (!r || READ_ONCE(r->state) != BELAY_BUILDING)
		return r;
	belay_region_put(r);
	return NULL;
}

static void let_go_of(struct belay_session *s, u64 region)
{
	struct belay_region *r = find_region(s, region);

	if (!r)
		return;
	belay_region_let_go(r);
	belay_region_put(r);
}

static int do_register(struct belay_call *call)
{
	struct belay_session *s = session_of(call);
	struct belay_register *arg = call->arg;
	struct belay_register_entry e;
	int ret;

	ret = check_bound(s);
	if (ret)
		return ret;
	if (arg->flags || arg->reserved)
		return -EOPNOTSUPP;
	ret = belay_array_check(arg->count, arg->entry_size, sizeof(e));
	if (ret)
		return ret;

	for (arg->done = 0; arg->done < arg->count; arg->done++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = belay_entry_read(&e, sizeof(e), arg->entries,
				       arg->entry_size, arg->done);
		if (ret == -EFAULT)
			return ret;
		e.status = ret ? ret : belay_region_register(s, &e);
		if (belay_entry_write(&e, sizeof(e), arg->entries,
				      arg->entry_size, arg->done)) {
			/* Nobody would ever know its id. */
			if (!e.status)
				let_go_of(s, e.region);
			return -EFAULT;
		}
		cond_resched();
	}
	return 0;
}

static int commit_one(struct belay_region *r, struct belay_region_entry *e)
{
	int ret = belay_region_commit(r);

	trace_belay_commit(r, ret);
	return ret;
}

static int unregister_one(struct belay_region *r, struct belay_region_entry *e)
{
	belay_region_let_go(r);
	return 0;
}

static int check_one(struct belay_region *r, struct belay_region_entry *e)
{
	int ret = belay_settle(r);

	spin_lock(&r->lock);
	e->state = r->bits;
	e->lost_addr = 0;
	e->lost_len = 0;
	if (r->lost_start <= r->lost_last) {
		e->lost_addr = (u64)r->lost_start << PAGE_SHIFT;
		e->lost_len = (u64)(r->lost_last - r->lost_start + 1) << PAGE_SHIFT;
	}
	spin_unlock(&r->lock);
	return ret;
}

static int for_regions(struct belay_call *call,
		       int (*one)(struct belay_region *, struct belay_region_entry *))
{
	struct belay_session *s = session_of(call);
	struct belay_regions *arg = call->arg;
	struct belay_region_entry e;
	struct belay_region *r;
	int ret;

	ret = check_bound(s);
	if (ret)
		return ret;
	if (arg->flags || arg->reserved)
		return -EOPNOTSUPP;
	ret = belay_array_check(arg->count, arg->entry_size, sizeof(e));
	if (ret)
		return ret;

	for (arg->done = 0; arg->done < arg->count; arg->done++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = belay_entry_read(&e, sizeof(e), arg->entries,
				       arg->entry_size, arg->done);
		if (ret == -EFAULT)
			return ret;
		if (!ret) {
			r = find_region(s, e.region);
			ret = r ? one(r, &e) : -ENOENT;
			if (r)
				belay_region_put(r);
		}
		e.status = ret;
		if (belay_entry_write(&e, sizeof(e), arg->entries,
				      arg->entry_size, arg->done))
			return -EFAULT;
		cond_resched();
	}
	return 0;
}

static int do_commit(struct belay_call *call)
{
	return for_regions(call, commit_one);
}

static int do_unregister(struct belay_call *call)
{
	return for_regions(call, unregister_one);
}

static int do_check(struct belay_call *call)
{
	return for_regions(call, check_one);
}

static int trim_one(struct belay_session *s, struct belay_trim_entry *e)
{
	struct belay_region *r = find_region(s, e->region);
	int ret;

	if (!r)
		return -ENOENT;
	ret = belay_region_trim(r, e);
	belay_region_put(r);
	return ret;
}

static int do_trim(struct belay_call *call)
{
	struct belay_session *s = session_of(call);
	struct belay_trim *arg = call->arg;
	struct belay_trim_entry e;
	int ret;

	ret = check_bound(s);
	if (ret)
		return ret;
	if (arg->flags || arg->reserved)
		return -EOPNOTSUPP;
	ret = belay_array_check(arg->count, arg->entry_size, sizeof(e));
	if (ret)
		return ret;

	for (arg->done = 0; arg->done < arg->count; arg->done++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = belay_entry_read(&e, sizeof(e), arg->entries,
				       arg->entry_size, arg->done);
		if (ret == -EFAULT)
			return ret;
		e.status = ret ? ret : trim_one(s, &e);
		if (belay_entry_write(&e, sizeof(e), arg->entries,
				      arg->entry_size, arg->done)) {
			/* Nobody would ever know their ids. */
			if (!e.status) {
				let_go_of(s, e.before.region);
				let_go_of(s, e.after.region);
			}
			return -EFAULT;
		}
		cond_resched();
	}
	return 0;
}

static int do_usage(struct belay_call *call)
{
	struct belay_session *s = session_of(call);
	struct belay_usage *arg = call->arg;
	struct belay_node *n;
	u32 room = arg->count;
	int ret;

	ret = check_bound(s);
	if (ret)
		return ret;
	if (arg->flags)
		return -EOPNOTSUPP;
	if (room) {
		ret = belay_array_check(min_t(u32, room, BELAY_MAX_BATCH),
					arg->entry_size, sizeof(struct belay_level));
		if (ret)
			return ret;
	}
	arg->session = s->id;
	arg->grant = s->grant->id;
	arg->tracked_bytes = belay_pages_to_bytes(atomic_long_read(&s->grant->tracked_pages));
	arg->count = 0;
	for (n = &s->grant->node; n; n = n->parent) {
		struct belay_level level = {
			.account = n->id,
			.limit_bytes = belay_pages_to_bytes(READ_ONCE(n->limit_pages)),
			.usage_bytes = belay_pages_to_bytes(atomic_long_read(&n->pages)),
			.limit_regions = READ_ONCE(n->limit_regions),
			.usage_regions = atomic_long_read(&n->regions),
		};

		if (arg->count < room &&
		    belay_row_write(&level, sizeof(level), arg->levels,
				    arg->entry_size, arg->count))
			return -EFAULT;
		arg->count++;
	}
	return 0;
}

static int do_info(struct belay_call *call)
{
	struct belay_info *arg = call->arg;
	int ret = belay_ioctl_info(call);

	if (!ret)
		arg->session = session_of(call)->id;
	return ret;
}

#define COMMAND(nr, type, fn) { .cmd = nr, .size = sizeof(struct type), .handler = fn }

static const struct belay_command commands[] = {
	COMMAND(BELAY_REGISTER, belay_register, do_register),
	COMMAND(BELAY_UNREGISTER, belay_regions, do_unregister),
	COMMAND(BELAY_CHECK, belay_regions, do_check),
	COMMAND(BELAY_TRIM, belay_trim, do_trim),
	COMMAND(BELAY_COMMIT, belay_regions, do_commit),
	COMMAND(BELAY_USAGE, belay_usage, do_usage),
	COMMAND(BELAY_INFO, belay_info, do_info),
};

static long session_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return belay_ioctl(file, commands, ARRAY_SIZE(commands), cmd, arg);
}

static int session_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct belay_session *s = file->private_data;
	int ret = check_bound(s);

	return ret ? ret : belay_words_mmap(s, vma);
}

static int session_release(struct inode *inode, struct file *file)
{
	belay_session_close(file->private_data);
	return 0;
}

const struct file_operations belay_session_fops = {
	.owner = THIS_MODULE,
	.release = session_release,
	.unlocked_ioctl = session_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = session_mmap,
	.show_fdinfo = belay_session_show_fdinfo,
	.llseek = noop_llseek,
};
