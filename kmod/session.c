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

#include "belay.h"
#include "ioctl.h"
#include "trace.h"

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

/* Nobody would ever know its id. */
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

/* Nobody would ever know their ids. */
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
	BELAY_COMMAND(BELAY_USAGE, belay_usage, BELAY_USAGE_SIZE_VER0, do_usage, .restricted = true),
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
