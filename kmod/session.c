// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * session.c - sessions, and their files: what clients do
 *
 * Everything but BELAY_INFO is for the address space that the grant is bound
 * to: any other caller, whatever way it came by the fd, gets EXDEV. While a
 * command runs its caller has the file open and the mm alive, so neither the
 * session can be closed nor the address space end under it.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "belay.h"
#include "compat/compat.h"
#include "ioctl.h"
#include "trace.h"

/* A session of @g, on the list, with the reference that its file will have. */
struct belay_session *belay_session_create(struct belay_grant *g)
{
	struct belay_session *s = kzalloc_obj(*s, GFP_KERNEL_ACCOUNT);
	static u32 next;
	int ret;

	lockdep_assert_held(&belay_tree_lock);
	if (!s)
		return ERR_PTR(-ENOMEM);
	kref_init(&s->ref);
	s->grant = g;
	s->made_at = ktime_get_boottime_ns();
	kref_get(&g->ref);
	xa_init_flags(&s->regions, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	mutex_init(&s->words_lock);
	/* Cyclic, so that an old session's id does not soon mean another one. */
	ret = xa_alloc_cyclic(&belay_sessions, &s->id, s, xa_limit_31b, &next,
			      GFP_KERNEL_ACCOUNT);
	if (ret < 0) {
		belay_grant_put(g);
		kfree(s);
		return ERR_PTR(ret);
	}
	g->sessions++;
	belay_stat_inc(sessions);
	return s;
}

/*
 * With a reference. A session leaves the list, which takes its lock, before the
 * last reference goes; so nobody who looks for one need wait for the tree.
 */
struct belay_session *belay_session_find(u64 id)
{
	struct belay_session *s = NULL;

	xa_lock(&belay_sessions);
	if (id <= U32_MAX)
		s = xa_load(&belay_sessions, id);
	if (s)
		kref_get(&s->ref);
	xa_unlock(&belay_sessions);
	return s;
}

/* The one with the next id, with a reference. */
struct belay_session *belay_session_next(u64 after)
{
	unsigned long id = after + 1;
	struct belay_session *s = NULL;

	xa_lock(&belay_sessions);
	if (after < U32_MAX)
		s = xa_find(&belay_sessions, &id, U32_MAX, XA_PRESENT);
	if (s)
		kref_get(&s->ref);
	xa_unlock(&belay_sessions);
	return s;
}

static void session_free(struct kref *ref)
{
	struct belay_session *s = container_of(ref, struct belay_session, ref);

	xa_destroy(&s->regions);
	belay_grant_put(s->grant);
	kfree(s);
}

void belay_session_put(struct belay_session *s)
{
	kref_put(&s->ref, session_free);
}

/*
 * The file is closed: no command runs on it any more, so no region can be
 * added. The worker, a recall or a listing may still have regions in hand;
 * letting go is done once, whoever comes first.
 */
void belay_session_close(struct belay_session *s)
{
	struct belay_grant *g = s->grant;
	struct belay_region *r;
	unsigned long slot = 0;
	bool last;

	trace_belay_session_closed(s);
	while ((r = belay_region_next(s, &slot))) {
		belay_region_let_go(r);
		belay_region_put(r);
		slot++;
		cond_resched();
	}

	/* No region can turn a word any more, and no mapping is left. */
	belay_words_free(s);

	mutex_lock(&belay_tree_lock);
	xa_erase(&belay_sessions, s->id);
	last = !--g->sessions;
	belay_stat_add(sessions, -1);
	mutex_unlock(&belay_tree_lock);
	if (last)
		belay_grant_end(g);
	belay_session_put(s);
}

/* ---- the file ----------------------------------------------------------------- */

static struct belay_session *session_of(struct belay_call *call)
{
	return call->file->private_data;
}

static int check_bound(const struct belay_session *s)
{
	if (!belay_session_is_bound_here(s))
		return -EXDEV;
	return READ_ONCE(s->grant->dead) ? -ESHUTDOWN : 0;
}

static int permit(struct file *file)
{
	return check_bound(file->private_data);
}

/* A region that is still being registered is not found: its id may only be guessed. */
static struct belay_region *find_region(struct belay_session *s, u64 id)
{
	struct belay_region *r = belay_region_find(s, id);

	if (!r || READ_ONCE(r->state) != BELAY_BUILDING)
		return r;
	belay_region_put(r);
	return NULL;
}

static int let_go_of(struct belay_session *s, u64 region)
{
	struct belay_region *r = find_region(s, region);

	if (!r)
		return -ENOENT;
	belay_region_let_go(r);
	belay_region_put(r);
	return 0;
}

static int register_one(struct belay_call *call, void *entry)
{
	return belay_register(session_of(call), entry);
}

/* The region goes: its id would never be known. */
static void register_undo(struct belay_call *call, void *entry)
{
	struct belay_register_entry *e = entry;

	let_go_of(session_of(call), e->region);
}

static int commit_one(struct belay_call *call, void *entry)
{
	struct belay_region_entry *e = entry;
	struct belay_region *r = find_region(session_of(call), e->region);
	int ret;

	if (!r)
		return -ENOENT;
	ret = belay_commit(r);
	trace_belay_commit(r, ret);
	belay_region_put(r);
	return ret;
}

static int unregister_one(struct belay_call *call, void *entry)
{
	struct belay_region_entry *e = entry;

	return let_go_of(session_of(call), e->region);
}

static int check_one(struct belay_call *call, void *entry)
{
	struct belay_region_entry *e = entry;
	struct belay_region *r = find_region(session_of(call), e->region);
	int ret;

	if (!r)
		return -ENOENT;
	ret = belay_settle(r);
	spin_lock(&r->lock);
	e->state = r->bits;
	belay_range_bytes(r->lost_start, r->lost_last, &e->lost_addr, &e->lost_len);
	spin_unlock(&r->lock);
	belay_region_put(r);
	return ret;
}

static int trim_one(struct belay_call *call, void *entry)
{
	struct belay_trim_entry *e = entry;
	struct belay_region *r = find_region(session_of(call), e->region);
	int ret;

	if (!r)
		return -ENOENT;
	ret = belay_trim(r, e);
	belay_region_put(r);
	return ret;
}

/* The parts go: their ids would never be known. */
static void trim_undo(struct belay_call *call, void *entry)
{
	struct belay_trim_entry *e = entry;

	let_go_of(session_of(call), e->before.region);
	let_go_of(session_of(call), e->after.region);
}

static int do_usage(struct belay_call *call)
{
	struct belay_session *s = session_of(call);
	struct belay_usage *arg = call->arg;
	struct belay_node *n;
	u32 room = arg->count;
	int ret;

	if (arg->flags)
		return -EOPNOTSUPP;
	if (room) {
		ret = belay_array_check(min_t(u32, room, BELAY_MAX_BATCH),
					arg->entry_size, BELAY_LEVEL_SIZE_VER0);
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

static const struct belay_command commands[] = {
	BELAY_COMMAND(BELAY_INFO, belay_info, BELAY_INFO_SIZE_VER0, do_info),
	BELAY_COMMAND(BELAY_USAGE, belay_usage, BELAY_USAGE_SIZE_VER0, do_usage,
		      .restricted = true),
	BELAY_BATCH(BELAY_REGISTER, belay_register, BELAY_REGISTER_SIZE_VER0,
		    belay_register_entry, BELAY_REGISTER_ENTRY_SIZE_VER0, register_one,
		    .undo = register_undo),
	BELAY_BATCH(BELAY_UNREGISTER, belay_regions, BELAY_REGIONS_SIZE_VER0,
		    belay_region_entry, BELAY_REGION_ENTRY_SIZE_VER0, unregister_one),
	BELAY_BATCH(BELAY_CHECK, belay_regions, BELAY_REGIONS_SIZE_VER0,
		    belay_region_entry, BELAY_REGION_ENTRY_SIZE_VER0, check_one),
	BELAY_BATCH(BELAY_TRIM, belay_trim, BELAY_TRIM_SIZE_VER0,
		    belay_trim_entry, BELAY_TRIM_ENTRY_SIZE_VER0, trim_one, .undo = trim_undo),
	BELAY_BATCH(BELAY_COMMIT, belay_regions, BELAY_REGIONS_SIZE_VER0,
		    belay_region_entry, BELAY_REGION_ENTRY_SIZE_VER0, commit_one),
};

static long session_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return belay_ioctl(file, commands, ARRAY_SIZE(commands), permit, cmd, arg);
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
	.show_fdinfo = belay_fdinfo_session,
	.llseek = noop_llseek,
};
