// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * control.c - /dev/belay: what the policy owner does
 *
 * Opened for writing it is the policy owner, one at a time; read-only it may
 * list and wait. Closing drops nothing: accounts, grants and events are the module's,
 * and wait for the next owner.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>

#include "belay.h"
#include "ioctl.h"

static atomic_t owned = ATOMIC_INIT(0);

static bool is_owner(const struct file *file)
{
	return file->f_mode & FMODE_WRITE;
}

static int control_open(struct inode *inode, struct file *file)
{
	if (!capable(CAP_IPC_LOCK))
		return -EPERM;
	if (is_owner(file) && atomic_cmpxchg(&owned, 0, 1))
		return -EBUSY;
	return 0;
}

static int control_release(struct inode *inode, struct file *file)
{
	if (is_owner(file))
		atomic_set(&owned, 0);
	return 0;
}

static __poll_t control_poll(struct file *file, poll_table *wait)
{
	poll_wait(file, &belay_event_wait, wait);
	return belay_events_pending() ? EPOLLIN | EPOLLRDNORM : 0;
}

static int do_account(struct belay_call *call)
{
	struct belay_ctl_account *arg = call->arg;
	int ret, err;

	ret = belay_account_create(arg);
	if (ret)
		return ret;
	err = belay_ioctl_reply(call);
	if (err)
		belay_account_remove(arg->account);
	return err;
}

static int do_account_remove(struct belay_call *call)
{
	struct belay_ctl_id *arg = call->arg;

	return arg->flags ? -EOPNOTSUPP : belay_account_remove(arg->id);
}

static int do_limits(struct belay_call *call)
{
	return belay_account_set_limits(call->arg);
}

/* The fd is installed last: nobody can see a session that is then undone. */
static int do_grant(struct belay_call *call)
{
	struct belay_ctl_grant *arg = call->arg;
	struct belay_session *s;
	struct file *file;
	int fd, ret;

	if (arg->flags)
		return -EOPNOTSUPP;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	s = belay_grant_open(arg);
	if (IS_ERR(s)) {
		ret = PTR_ERR(s);
		goto err_fd;
	}
	file = anon_inode_getfile("[belay]", &belay_session_fops, s, O_RDWR);
	if (IS_ERR(file)) {
		belay_session_close(s);
		ret = PTR_ERR(file);
		goto err_fd;
	}
	arg->fd = fd;
	ret = belay_ioctl_reply(call);
	if (ret) {
		fput(file);	/* closes the session */
		goto err_fd;
	}
	fd_install(fd, file);
	return 0;
err_fd:
	put_unused_fd(fd);
	return ret;
}

static int recall_one(struct belay_call *call, void *entry)
{
	return belay_recall(entry);
}

static int release_one(struct belay_call *call, void *entry)
{
	return belay_release(entry);
}

static int do_events(struct belay_call *call)
{
	return belay_events_read(call->arg);
}

static int do_events_done(struct belay_call *call)
{
	return belay_events_done(call->arg);
}

/*
 * Whether a page of somebody's lies in a physical range tells, asked often enough, its
 * address: the kernel shows that (pagemap) only to whom had CAP_SYS_ADMIN when it opened
 * the file, and so it is for readers. The policy owner must find what is in the way of a
 * memory block that is to be taken offline.
 */
static int check_select(const struct belay_call *call, const struct belay_select *select)
{
	if (!(select->by & BELAY_SELECT_PHYS) || is_owner(call->file))
		return 0;
	return file_ns_capable(call->file, &init_user_ns, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static int do_list(struct belay_call *call)
{
	struct belay_ctl_list *arg = call->arg;
	int ret = check_select(call, &arg->select);

	return ret ? ret : belay_list(arg);
}

static int do_holders(struct belay_call *call)
{
	return belay_process_holders(call->arg);
}

static int do_wait(struct belay_call *call)
{
	struct belay_ctl_wait *arg = call->arg;
	int ret = check_select(call, &arg->select);

	return ret ? ret : belay_wait(arg);
}

#define OWNER_COMMAND(nr, type, min, fn) \
	BELAY_COMMAND(nr, type, min, fn, .restricted = true)

static const struct belay_command commands[] = {
	BELAY_COMMAND(BELAY_INFO, belay_info, BELAY_INFO_SIZE_VER0, belay_ioctl_info),
	BELAY_COMMAND(BELAY_CTL_LIST, belay_ctl_list, BELAY_CTL_LIST_SIZE_VER0, do_list),
	BELAY_COMMAND(BELAY_CTL_HOLDERS, belay_ctl_holders, BELAY_CTL_HOLDERS_SIZE_VER0,
		      do_holders),
	BELAY_COMMAND(BELAY_CTL_WAIT, belay_ctl_wait, BELAY_CTL_WAIT_SIZE_VER0, do_wait),
	OWNER_COMMAND(BELAY_CTL_ACCOUNT, belay_ctl_account, BELAY_CTL_ACCOUNT_SIZE_VER0,
		      do_account),
	OWNER_COMMAND(BELAY_CTL_ACCOUNT_REMOVE, belay_ctl_id, BELAY_CTL_ID_SIZE_VER0,
		      do_account_remove),
	OWNER_COMMAND(BELAY_CTL_LIMITS, belay_ctl_limits, BELAY_CTL_LIMITS_SIZE_VER0, do_limits),
	OWNER_COMMAND(BELAY_CTL_GRANT, belay_ctl_grant, BELAY_CTL_GRANT_SIZE_VER0, do_grant),
	OWNER_COMMAND(BELAY_CTL_EVENTS, belay_ctl_events, BELAY_CTL_EVENTS_SIZE_VER0, do_events),
	OWNER_COMMAND(BELAY_CTL_EVENTS_DONE, belay_ctl_events, BELAY_CTL_EVENTS_SIZE_VER0,
		      do_events_done),
	BELAY_BATCH(BELAY_CTL_RECALL, belay_ctl_recall, BELAY_CTL_RECALL_SIZE_VER0,
		    belay_recall_entry, BELAY_RECALL_ENTRY_SIZE_VER0, recall_one),
	BELAY_BATCH(BELAY_CTL_RELEASE, belay_ctl_recall, BELAY_CTL_RECALL_SIZE_VER0,
		    belay_recall_entry, BELAY_RECALL_ENTRY_SIZE_VER0, release_one),
};

static int permit(struct file *file)
{
	return is_owner(file) ? 0 : -EPERM;
}

static long control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return belay_ioctl(file, commands, ARRAY_SIZE(commands), permit, cmd, arg);
}

const struct file_operations belay_control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.poll = control_poll,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = belay_fdinfo_control,
	.llseek = noop_llseek,
};
