// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Opening, closing, registering: the library against a fake daemon and module.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/lib/tap.h"
#include "tests/unit/client_fake.h"

#define MIB	(UINT64_C(1) << 20)

static char buffer[8 * 4096] __attribute__((aligned(4096)));

static struct belay *open_handle(void)
{
	struct belay *b = NULL;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK(b != NULL);
	return b;
}

static struct belay_region *register_one(struct belay *b)
{
	struct belay_region *r = NULL;

	CHECK_OK(belay_register(b, buffer, sizeof(buffer), BELAY_PIN | BELAY_WRITE,
				NULL, &r, NULL));
	return r;
}

TEST(open_close, "open gets a session and close gives everything back")
{
	struct fake_daemon *d = fake_start();
	struct belay_options opt = {
		.size = sizeof(opt), .label = "a label", .want_bytes = 5 * MIB,
	};
	struct belay *b;
	int fds = fake_fd_count();

	errno = 4711;
	CHECK_OK(belay_open(&b, &opt, NULL));
	CHECK_EQ(errno, 4711);
	CHECK_STR(d->label, "a label");
	CHECK_EQ(d->want_bytes, 5 * MIB);
	belay_close(b);
	CHECK_EQ(errno, 4711);
	CHECK_SOON(fake_count(&d->closes) == 1, 5);
	CHECK_EQ(fake_fd_count(), fds);
	belay_close(NULL);
	fake_stop(d);
}

TEST(no_daemon, "without a daemon open says so at once")
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b;

	setenv("BELAY_SOCKET", "/nonexistent/socket", 1);
	CHECK_EQ(belay_open(&b, NULL, &why), -ENOENT);
	CHECK_EQ(why.error, -ENOENT);
	CHECK(strstr(why.text, "/nonexistent/socket"));
	CHECK(strstr(why.text, "not running"));
}

TEST(dead_socket, "a socket that nobody listens on is ECONNREFUSED")
{
	struct fake_daemon *d = fake_start();
	struct belay *b;
	int fd;

	fake_crash(d);
	fd = CHECK_SYS(open(d->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	close(fd);
	CHECK_EQ(belay_open(&b, NULL, NULL), -ECONNREFUSED);
	unlink(d->path);
	rmdir(d->dir);
	free(d);
}

static void ignore(struct belay *b, struct belay_request *req, void *arg)
{
}

TEST(bad_options, "options that make no sense are refused with a sentence")
{
	struct {
		struct belay_options o;
		uint64_t newer;
	} big = { .o.size = sizeof(big) };
	struct belay_options opt = { .size = sizeof(opt) - 1 };
	struct belay_refusal why = { .size = sizeof(why) };
	struct fake_daemon *d;
	char path[200];
	struct belay *b;

	CHECK_EQ(belay_open(&b, &opt, &why), -EINVAL);
	CHECK(strstr(why.text, "size"));
	opt = (struct belay_options){ .size = sizeof(opt), .flags = 1U << 31 };
	CHECK_EQ(belay_open(&b, &opt, &why), -EINVAL);
	opt = (struct belay_options){ .size = sizeof(opt), .reserved = 1 };
	CHECK_EQ(belay_open(&b, &opt, &why), -EINVAL);
	opt = (struct belay_options){ .size = sizeof(opt), .flags = BELAY_OPEN_THREAD };
	CHECK_EQ(belay_open(&b, &opt, &why), -EINVAL);
	CHECK(strstr(why.text, "on_revoke"));
	memset(path, 'x', sizeof(path));
	path[199] = 0;
	opt = (struct belay_options){ .size = sizeof(opt), .socket = path };
	CHECK_EQ(belay_open(&b, &opt, &why), -EINVAL);
	big.newer = 1;
	CHECK_EQ(belay_open(&b, &big.o, &why), -EINVAL);
	d = fake_start();
	big.newer = 0;
	big.o.on_revoke = ignore;
	CHECK_OK(belay_open(&b, &big.o, &why));
	belay_close(b);
	fake_stop(d);
}

static bool refuse_open(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	struct bl_error e = {
		.msg = { .type = BL_ERROR, .serial = m->serial },
		.error = EDQUOT,
		.refusal = { "user/alice", BELAY_RESOURCE_BYTES, 0, 1, 2, 3 },
		.text = "user/alice has too little",
	};

	if (m->type != BL_OPEN)
		return false;
	fake_send(fd, &e, sizeof(e), -1);
	return true;
}

TEST(refused_by_daemon, "the daemon's refusal reaches the program whole")
{
	struct fake_daemon *d = fake_start();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b;

	d->on_message = refuse_open;
	CHECK_EQ(belay_open(&b, NULL, &why), -EDQUOT);
	CHECK_EQ(why.error, -EDQUOT);
	CHECK_STR(why.account, "user/alice");
	CHECK_EQ(why.resource, BELAY_RESOURCE_BYTES);
	CHECK_EQ(why.usage, 1);
	CHECK_EQ(why.limit, 2);
	CHECK_EQ(why.needed, 3);
	CHECK_STR(why.text, "user/alice has too little");
	fake_stop(d);
}

static bool no_common_version(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (m->type == BL_HELLO)
		fake_answer(fd, m, EPROTONOSUPPORT);
	return m->type == BL_HELLO;
}

TEST(no_version, "no version in common with belayd or the module is EPROTONOSUPPORT; newer ones are no hindrance")
{
	struct fake_daemon *d = fake_start();
	struct belay *b;

	d->on_message = no_common_version;
	CHECK_EQ(belay_open(&b, NULL, NULL), -EPROTONOSUPPORT);
	d->on_message = NULL;
	fake_kernel.abi_version = BELAY_ABI_VERSION + 2;
	fake_kernel.abi_oldest = BELAY_ABI_VERSION + 1;
	CHECK_EQ(belay_open(&b, NULL, NULL), -EPROTONOSUPPORT);
	fake_kernel.abi_oldest = BELAY_ABI_VERSION;
	CHECK_OK(belay_open(&b, NULL, NULL));
	belay_close(b);
	fake_stop(d);
}

static bool busy_twice(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (m->type != BL_OPEN || d->opens++ >= 2)
		return false;
	fake_answer(fd, m, EAGAIN);
	return true;
}

TEST(busy_daemon, "open asks again when the daemon is busy")
{
	struct fake_daemon *d = fake_start();
	struct belay *b;

	d->on_message = busy_twice;
	CHECK_OK(belay_open(&b, NULL, NULL));
	belay_close(b);
	fake_stop(d);
}

static bool hang_up_twice(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (d->opens >= 2)
		return false;
	d->opens++;
	shutdown(fd, SHUT_RDWR);
	return true;
}

TEST(restart_in_open, "open survives a daemon that ends in the middle of it")
{
	struct fake_daemon *d = fake_start();
	struct belay *b;

	d->on_message = hang_up_twice;
	CHECK_OK(belay_open(&b, NULL, NULL));
	belay_close(b);
	fake_stop(d);
}

static bool wrong_fd(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (m->type == BL_OPEN)
		fake_grant(fd, m, 2);
	return m->type == BL_OPEN;
}

static bool no_fd(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (m->type == BL_OPEN)
		fake_grant(fd, m, -1);
	return m->type == BL_OPEN;
}

TEST(no_session, "a grant without a session, or with something else, is refused")
{
	struct fake_daemon *d = fake_start();
	struct belay_refusal why = { .size = sizeof(why) };
	int fds = fake_fd_count();
	struct belay *b;

	d->on_message = wrong_fd;
	CHECK_EQ(belay_open(&b, NULL, &why), -ENOTTY);
	CHECK(strlen(why.text) > 10);
	d->on_message = no_fd;
	CHECK_EQ(belay_open(&b, NULL, &why), -EPROTO);
	CHECK_SOON(fake_count(&d->closes) == 2, 5);
	CHECK_EQ(fake_fd_count(), fds);
	fake_stop(d);
}

/* In a child, which has room for so many descriptors; what it says is its status. */
static void open_with_room_for(void *arg)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct rlimit rl = { .rlim_max = 1024 };
	int err, room = *(int *)arg;
	struct belay *b;

	for (rl.rlim_cur = 0; rl.rlim_cur < 1024 && room >= 0; rl.rlim_cur++)
		if (fcntl((int)rl.rlim_cur, F_GETFD) < 0 && !room--)
			break;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &rl));
	err = belay_open(&b, NULL, &why);
	if (*(int *)arg < 4) {
		CHECK_EQ(err, -EMFILE);
		CHECK(strstr(why.text, "a handle needs four descriptors"));
	} else {
		CHECK_OK(err);
		belay_close(b);
	}
}

TEST(few_descriptors, "with room for less than four descriptors, it is said how many are needed")
{
	struct fake_daemon *d = fake_start();
	int room;

	for (room = 0; room <= 4; room++)
		tap_join(tap_spawn(open_with_room_for, &room));
	fake_stop(d);
}

TEST(register_fields, "a region says what it was registered with")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_region *r;
	int mark;

	errno = 4711;
	CHECK_OK(belay_register(b, buffer, 8192, BELAY_TRACK, &mark, &r, NULL));
	CHECK(r->addr == buffer && r->len == 8192 && r->flags == BELAY_TRACK);
	CHECK(r->user == &mark && r->belay == b && r->id == fake_kernel.last_region);
	CHECK(belay_valid(r));
	CHECK_OK(belay_commit(r, NULL));
	CHECK_OK(belay_unregister(r));
	CHECK_OK(belay_unregister(NULL));
	CHECK_EQ(fake_kernel.live, 0);
	CHECK_EQ(errno, 4711);
	belay_close(b);
	fake_stop(d);
}

TEST(register_flags, "flags that say nothing, both or more are EINVAL before any system call")
{
	static const uint32_t bad[] = { 0, BELAY_WRITE, BELAY_PIN | BELAY_TRACK,
					BELAY_PIN | 8 };
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_region *r = (void *)1;
	struct belay_refusal why = { .size = sizeof(why) };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_EQ(belay_register(b, buffer, 4096, bad[i], NULL, &r, &why), -EINVAL);
		CHECK_EQ(why.error, -EINVAL);
		CHECK(strstr(why.text, "flags"));
	}
	CHECK(r == (void *)1);
	CHECK_EQ(fake_kernel.registers, 0);
	belay_close(b);
	fake_stop(d);
}

TEST(register_limit, "a limit's refusal names account, usage, limit, need and what would help")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r;

	fake_kernel.fail_at = 1;
	fake_kernel.fail_status = -EDQUOT;
	CHECK_EQ(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, &why), -EDQUOT);
	CHECK_STR(why.account, "user/alice");
	CHECK_EQ(why.usage, 60 * MIB);
	CHECK_EQ(why.limit, 64 * MIB);
	CHECK_EQ(why.needed, 16 * MIB);
	tap_diag("%s", why.text);
	CHECK(strstr(why.text, "user/alice") && strstr(why.text, "60 MiB") &&
	      strstr(why.text, "64 MiB") && strstr(why.text, "16 MiB"));
	CHECK(strstr(why.text, "unregister 12 MiB"));
	CHECK(strstr(why.text, "(max in [user alice] of /etc/belay/belayd.conf; "
			       "until belayd ends: belayctl limit set user/alice 76M)"));
	/* Raising that one limit would not do. */
	CHECK(strstr(why.text, "; this process has too little room, too (4 KiB of 1 MiB in use)"));
	CHECK(!strstr(why.text, "system"));
	fake_kernel.fail_at = 1;
	fake_kernel.fail_grant = true;
	CHECK_EQ(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, &why), -EDQUOT);
	tap_diag("%s", why.text);
	CHECK_STR(why.account, "grant");
	CHECK(strstr(why.text, "(process_regions in [user alice] of /etc/belay/belayd.conf; "
			       "until belayd ends: belayctl limit set grant/5 --regions 9)"));
	CHECK(strstr(why.text, "; user/alice has too little room, too (0 regions of 0 regions in use)"));
	belay_close(b);
	fake_stop(d);
}

TEST(register_errors, "each errno of the module has a sentence with the range")
{
	static const int errors[] = { EINVAL, EFAULT, EMEDIUMTYPE, EMFILE, EMLINK, EXDEV,
				      ESHUTDOWN, EAGAIN, EINTR, ENOMEM };
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r;
	char range[64];
	size_t i;

	snprintf(range, sizeof(range), "%#lx-%#lx: ", (unsigned long)buffer,
		 (unsigned long)buffer + 4096);
	for (i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		why = (struct belay_refusal){ .size = sizeof(why) };
		fake_kernel.fail_at = i & 1;
		fake_kernel.fail_status = -errors[i];
		fake_kernel.fail_call = i & 1 ? 0 : -errors[i];
		CHECK_EQ(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, &why),
			 -errors[i]);
		CHECK_EQ(why.error, -errors[i]);
		CHECK(!strncmp(why.text, range, strlen(range)));
		CHECK(!strstr(why.text, strerror(errors[i])));
	}
	CHECK_EQ(fake_kernel.live, 0);
	belay_close(b);
	fake_stop(d);
}

TEST(register_many, "of many regions each has its own fate, and the first failure its sentence")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_range ranges[5];
	int i;

	for (i = 0; i < 5; i++)
		ranges[i] = (struct belay_range){ sizeof(struct belay_range), buffer + i * 4096, 4096, BELAY_PIN, 99,
						  &ranges[i], (void *)1 };
	ranges[3].flags = 0;
	fake_kernel.fail_at = 2;
	fake_kernel.fail_status = -EFAULT;
	CHECK_EQ(belay_register_many(b, ranges, 5, &why), 3);
	CHECK_EQ(fake_kernel.registers, 1);
	CHECK_EQ(why.error, -EFAULT);
	for (i = 0; i < 5; i++) {
		CHECK_EQ(ranges[i].error, i == 1 ? -EFAULT : i == 3 ? -EINVAL : 0);
		CHECK_EQ(!ranges[i].region, i == 1 || i == 3);
		if (!ranges[i].region)
			continue;
		CHECK(ranges[i].region->user == &ranges[i]);
		CHECK(belay_valid(ranges[i].region));
		CHECK_OK(belay_unregister(ranges[i].region));
	}
	CHECK_EQ(belay_register_many(b, ranges, 0, NULL), 0);
	CHECK_EQ(fake_kernel.live, 0);
	fake_kernel.fail_call = -EXDEV;
	ranges[3].flags = BELAY_PIN;
	CHECK_EQ(belay_register_many(b, ranges, 5, &why), -EXDEV);
	for (i = 0; i < 5; i++)
		CHECK(ranges[i].error == -EXDEV && !ranges[i].region);
	belay_close(b);
	fake_stop(d);
}

TEST(register_partly, "a call that is cut short leaves the rest unregistered")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_range ranges[4];
	int i;

	for (i = 0; i < 4; i++)
		ranges[i] = (struct belay_range){
			.size = sizeof(struct belay_range),
			.addr = buffer, .len = 4096, .flags = BELAY_PIN,
		};
	fake_kernel.stop_after = 3;
	CHECK_EQ(belay_register_many(b, ranges, 4, NULL), 3);
	CHECK_EQ(ranges[3].error, -EINTR);
	CHECK(!ranges[3].region);
	belay_close(b);
	fake_stop(d);
}

TEST(register_very_many, "more than one batch needs more than one call")
{
	size_t n = BELAY_MAX_BATCH + 10, i;
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_range *ranges = calloc(n, sizeof(*ranges));

	for (i = 0; i < n; i++)
		ranges[i] = (struct belay_range){
			.size = sizeof(struct belay_range),
			.addr = buffer, .len = 4096, .flags = BELAY_PIN,
		};
	CHECK_EQ(belay_register_many(b, ranges, n, NULL), (long)n);
	CHECK_EQ(fake_kernel.registers, 2);
	CHECK_EQ(fake_kernel.largest, BELAY_MAX_BATCH);
	for (i = 0; i < n; i++)
		CHECK_OK(belay_unregister(ranges[i].region));
	CHECK_EQ(fake_kernel.live, 0);
	free(ranges);
	belay_close(b);
	fake_stop(d);
}

TEST(kinds, "what is said at registering reaches the module: kind, writing, transience")
{
	static const struct {
		uint32_t flags, kind, kernel_flags;
	} cases[] = {
		{ BELAY_PIN, BELAY_PINNED, 0 },
		{ BELAY_TRACK | BELAY_WRITE, BELAY_TRACKED, BELAY_REGION_WRITE },
		{ BELAY_WATCH, BELAY_WATCHED, 0 },
		{ BELAY_WATCH | BELAY_TRANSIENT, BELAY_WATCHED, BELAY_REGION_TRANSIENT },
		{ BELAY_PIN | BELAY_WRITE | BELAY_TRANSIENT, BELAY_PINNED,
		  BELAY_REGION_WRITE | BELAY_REGION_TRANSIENT },
	};
	struct fake_daemon *d = fake_start();
	struct belay_region *r;
	struct belay *b;
	size_t i;

	CHECK_OK(belay_open(&b, NULL, NULL));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_OK(belay_register(b, buffer, 4096, cases[i].flags, NULL, &r, NULL));
		CHECK_EQ(fake_kernel.last_kind, cases[i].kind);
		CHECK_EQ(fake_kernel.last_flags, cases[i].kernel_flags);
		CHECK_EQ(r->flags, cases[i].flags);
	}
	belay_close(b);
	fake_stop(d);
}

/* What programs of other releases have: less than the first one's, or more. */
struct later_range {
	struct belay_range range;
	uint64_t more;
};

struct later_refusal {
	struct belay_refusal why;
	uint64_t more;
};

struct later_limit {
	struct belay_limit limit;
	uint64_t more;
};

TEST(sizes, "structs of another size: a smaller one is refused before anything is done, a larger one is filled")
{
	struct later_refusal later = { .why.size = sizeof(later), .more = 1 };
	struct belay_refusal small = { .size = sizeof(small) - 1 };
	struct later_limit limits[3] = { { .limit.size = sizeof(limits[0]), .more = 1 } };
	struct later_range ranges[3];
	struct fake_daemon *d = fake_start();
	struct belay_region *r = NULL, *before, *after;
	struct belay *b = NULL;
	int i;

	CHECK_EQ(belay_open(&b, NULL, &small), -EINVAL);
	CHECK(!b);
	CHECK_OK(belay_open(&b, NULL, &later.why));
	CHECK_OK(belay_register(b, buffer, 8192, BELAY_TRACK, NULL, &r, NULL));
	CHECK_EQ(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, &small), -EINVAL);
	CHECK_EQ(belay_commit(r, &small), -EINVAL);
	CHECK_EQ(belay_trim(r, buffer, 4096, &before, &after, &small), -EINVAL);
	small.size = 1 << 20;	/* never set, perhaps */
	CHECK_EQ(belay_commit(r, &small), -EINVAL);
	CHECK_EQ(fake_kernel.live, 1);

	CHECK_EQ(belay_register(b, buffer + 1, 4096, BELAY_PIN | BELAY_TRACK, NULL, &r, &later.why),
		 -EINVAL);
	CHECK_EQ(later.why.size, sizeof(later));
	CHECK(later.why.error == -EINVAL && later.why.text[0] && !later.more);

	for (i = 0; i < 3; i++)
		ranges[i] = (struct later_range){ .range = {
			.size = sizeof(ranges[0]), .addr = buffer, .len = 4096, .flags = BELAY_PIN } };
	ranges[1].more = 1;
	CHECK_EQ(belay_register_many(b, &ranges[0].range, 3, &later.why), 2);
	CHECK_EQ(ranges[1].range.error, -EINVAL);
	CHECK(strstr(later.why.text, "does not know"));
	CHECK(ranges[0].range.region && !ranges[1].range.region && ranges[2].range.region);
	ranges[2].range.size--;
	CHECK_EQ(belay_unregister_many(b, &ranges[0].range, 3), 1);
	CHECK_EQ(ranges[2].range.error, -EINVAL);
	CHECK_OK(belay_unregister(ranges[2].range.region));
	ranges[0].range.size = sizeof(struct belay_range) - 1;
	CHECK_EQ(belay_register_many(b, &ranges[0].range, 3, NULL), -EINVAL);
	CHECK_EQ(belay_unregister_many(b, &ranges[0].range, 3), -EINVAL);
	CHECK_EQ(fake_kernel.live, 1);

	CHECK_EQ(belay_get_limits(b, &limits[0].limit, 3), 3);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(limits[i].limit.size, sizeof(limits[0]));
		CHECK(limits[i].limit.account[0] && !limits[i].more);
	}
	limits[0].limit.size = sizeof(struct belay_limit) - 1;
	CHECK_EQ(belay_get_limits(b, &limits[0].limit, 3), -EINVAL);
	CHECK_EQ(belay_get_limits(b, NULL, 0), 3);
	belay_close(b);
	fake_stop(d);
}

TEST(commit_why, "a commit that fails says why, with the range and what to do")
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct fake_daemon *d = fake_start();
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, buffer, 4096, BELAY_TRACK, NULL, &r, NULL));
	fake_kernel.commit_status = -EAGAIN;
	CHECK_EQ(belay_commit(r, &why), -EAGAIN);
	CHECK_EQ(why.error, -EAGAIN);
	CHECK(strstr(why.text, "start again"));
	fake_kernel.commit_status = -EFAULT;
	CHECK_EQ(belay_commit(r, &why), -EFAULT);
	CHECK(strstr(why.text, "mapped"));
	fake_kernel.commit_status = 0;
	CHECK_OK(belay_commit(r, &why));
	belay_close(b);
	fake_stop(d);
}

TEST(unregister_many, "many regions are let go in few calls, each with its status, those of others left alone")
{
	struct fake_daemon *d = fake_start();
	static struct belay_range ranges[600];
	struct belay_region *kept, *before, *after;
	struct belay *b, *other;
	size_t i;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_open(&other, NULL, NULL));
	for (i = 0; i < 600; i++)
		ranges[i] = (struct belay_range){ sizeof(struct belay_range), buffer, 4096, BELAY_PIN, 0, NULL, NULL };
	CHECK_EQ(belay_register_many(b, ranges, 600, NULL), 600);
	CHECK_OK(belay_unregister(ranges[3].region));
	ranges[3].region = NULL;
	CHECK_OK(belay_unregister(ranges[5].region));
	CHECK_OK(belay_register(other, buffer, 4096, BELAY_PIN, NULL, &kept, NULL));
	ranges[5].region = kept;
	/* A handle of which nothing is left is freed as well, without a call. */
	CHECK_OK(belay_unregister(ranges[7].region));
	CHECK_OK(belay_register(b, buffer, 8192, BELAY_PIN, NULL, &ranges[7].region, NULL));
	CHECK_OK(belay_trim(ranges[7].region, buffer, 4096, &before, &after, NULL));
	CHECK(!before && after);
	ranges[599].region = ranges[598].region;	/* once too often: leaks one */
	fake_kernel.unregisters = 0;
	CHECK_EQ(belay_unregister_many(b, ranges, 600), 597);
	CHECK_EQ(fake_kernel.unregisters, 596);
	for (i = 0; i < 600; i++)
		if (i != 5 && i != 599)
			CHECK(!ranges[i].error && !ranges[i].region);
	CHECK_EQ(ranges[5].error, -EINVAL);
	CHECK(ranges[5].region == kept && belay_valid(kept));
	CHECK_EQ(ranges[599].error, -EINVAL);
	CHECK(belay_valid(after));
	CHECK_EQ(fake_kernel.live, 3);
	CHECK_EQ(belay_unregister_many(b, NULL, 0), 0);
	belay_close(b);
	belay_close(other);
	CHECK_EQ(fake_kernel.live, 0);
	fake_stop(d);
}

TEST(trim, "what is left of a trimmed region is new regions, valid, with its user and flags")
{
	struct fake_daemon *d = fake_start();
	struct belay_region *r, *before, *after, *none;
	int user;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, buffer, 16384, BELAY_PIN | BELAY_WRITE, &user, &r, NULL));
	errno = 4711;
	CHECK_OK(belay_trim(r, buffer + 4096, 8192, &before, &after, NULL));
	CHECK_EQ(errno, 4711);
	CHECK(before->addr == buffer && before->len == 4096);
	CHECK(after->addr == buffer + 12288 && after->len == 4096);
	CHECK(before->user == &user && after->user == &user);
	CHECK_EQ(before->flags, BELAY_PIN | BELAY_WRITE);
	CHECK(before->belay == b && after->belay == b);
	CHECK(before->id != after->id && before->id != r->id);
	CHECK(belay_valid(before) && belay_valid(after));
	CHECK(!belay_valid(r));
	CHECK_EQ(belay_check(r), BELAY_RELEASED);
	CHECK_EQ(fake_kernel.live, 2);
	/* The old handle: no call in the kernel any more. */
	fake_kernel.trims = fake_kernel.unregisters = 0;
	CHECK_EQ(belay_trim(r, buffer, 4096, &none, &none, NULL), -ENOENT);
	CHECK_OK(belay_unregister(r));
	CHECK_EQ(fake_kernel.trims + fake_kernel.unregisters, 0);
	/* One of the parts again, and close frees what there is, old and new. */
	CHECK_OK(belay_register(b, buffer, 16384, BELAY_PIN, &user, &r, NULL));
	CHECK_OK(belay_trim(r, buffer, 4096, &none, &after, NULL));
	CHECK(!none && after->len == 12288);
	r = after;
	CHECK_OK(belay_trim(r, buffer + 12288, 4096, &before, &none, NULL));
	CHECK(!none && before->len == 8192 && belay_valid(before) && !belay_valid(r));
	belay_close(b);
	CHECK_EQ(fake_kernel.live, 0);
	fake_stop(d);
}

TEST(trim_errors, "a trim that is refused changes nothing, and has a sentence")
{
	static const int errors[] = { EINVAL, ESTALE, EBUSY, EAGAIN, ENOENT, EDQUOT,
				      EMFILE, ENOMEM, ESHUTDOWN, EINTR, EXDEV };
	struct belay_region *r, *before = NULL, *after = NULL;
	struct fake_daemon *d = fake_start();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b;
	size_t i;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, buffer, 16384, BELAY_PIN, NULL, &r, NULL));
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake_kernel.trim_status = -errors[i];
		why = (struct belay_refusal){ .size = sizeof(why) };
		CHECK_EQ(belay_trim(r, buffer, 4096, &before, &after, &why), -errors[i]);
		CHECK_EQ(why.error, -errors[i]);
		CHECK(strstr(why.text, "-0x") && strstr(why.text, ": "));
		CHECK(!strstr(why.text, strerror(errors[i])));
		CHECK_EQ(why.resource, errors[i] == EDQUOT ? BELAY_RESOURCE_REGIONS : 0);
	}
	fake_kernel.trim_status = -ENOTTY;
	CHECK_EQ(belay_trim(r, buffer, 4096, &before, &after, &why), -EOPNOTSUPP);
	fake_kernel.trim_status = 0;
	CHECK_EQ(belay_trim(r, buffer, 16384, &before, &after, NULL), -EINVAL);
	CHECK_EQ(belay_trim(r, buffer + 1, 4096, &before, &after, NULL), -EINVAL);
	CHECK(!before && !after && belay_valid(r));
	CHECK_EQ(fake_kernel.live, 1);
	CHECK_OK(belay_trim(r, buffer, 4096, &before, &after, NULL));
	belay_close(b);
	fake_stop(d);
}

TEST(lost, "which part is lost is the kernel's to say, and nothing is asked of it while all is well")
{
	struct fake_daemon *d = fake_start();
	struct belay_region *r;
	void *addr = &d;
	size_t len = 1;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, buffer, 16384, BELAY_PIN, NULL, &r, NULL));
	CHECK_EQ(belay_lost(r, &addr, &len), 0);
	CHECK(!addr && !len);
	CHECK_EQ(fake_kernel.checks, 0);
	fake_word(r, r->expected | BELAY_WORD_LOST);
	fake_kernel.check_state = BELAY_WORD_LOST;
	fake_kernel.lost_addr = (uintptr_t)buffer + 4096;
	fake_kernel.lost_len = 8192;
	CHECK_EQ(belay_lost(r, &addr, &len), BELAY_LOST);
	CHECK(addr == buffer + 4096 && len == 8192);
	fake_kernel.check_status = -EAGAIN;	/* more may be lost */
	CHECK_EQ(belay_lost(r, &addr, &len), -EAGAIN);
	CHECK(!addr && !len);
	fake_kernel.check_status = 0;
	fake_kernel.checks = 0;
	fake_word(r, r->expected | BELAY_WORD_LOST | BELAY_WORD_RELEASED);
	CHECK_EQ(belay_lost(r, &addr, &len), BELAY_RELEASED);
	CHECK(!addr && !len);
	CHECK_EQ(fake_kernel.checks, 0);
	belay_close(b);
	fake_stop(d);
}

TEST(validity, "the word's bits are told, and a suspect word is settled by the kernel")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_region *r = register_one(b);

	CHECK(belay_valid(r));
	CHECK_EQ(belay_check(r), 0);
	CHECK_EQ(fake_kernel.checks, 0);
	fake_word(r, r->expected | BELAY_WORD_LOST);
	CHECK(!belay_valid(r));
	CHECK_EQ(belay_check(r), BELAY_LOST);
	fake_word(r, r->expected | BELAY_WORD_RECALLED);
	CHECK_EQ(belay_check(r), BELAY_RECALLED);
	fake_word(r, r->expected | BELAY_WORD_RECALLED | BELAY_WORD_RELEASED);
	CHECK_EQ(belay_check(r), BELAY_RECALLED | BELAY_RELEASED);
	fake_word(r, r->expected | BELAY_WORD_LOST | BELAY_WORD_SUSPECT);
	CHECK_EQ(belay_check(r), BELAY_LOST);
	CHECK_EQ(fake_kernel.checks, 0);
	fake_word(r, r->expected | BELAY_WORD_SUSPECT);
	CHECK(belay_valid(r));
	CHECK_EQ(fake_kernel.checks, 1);
	fake_kernel.check_state = BELAY_WORD_LOST | BELAY_WORD_SUSPECT;
	CHECK_EQ(belay_check(r), BELAY_LOST);
	fake_kernel.check_state = BELAY_WORD_SUSPECT;
	CHECK_EQ(belay_check(r), -EAGAIN);
	CHECK(!belay_valid(r));
	fake_kernel.check_status = -EAGAIN;
	fake_kernel.check_state = 0;
	CHECK_EQ(belay_check(r), -EAGAIN);
	fake_kernel.check_status = -ENOENT;
	CHECK_EQ(belay_check(r), BELAY_RELEASED);
	fake_word(r, r->expected);
	CHECK(belay_valid(r));
	belay_close(b);
	fake_stop(d);
}

TEST(explain, "what RLIMIT_MEMLOCK has refused to a driver is explained with the drivers' own sum")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct rlimit rl = { 65536, 65536 };
	struct belay_refusal why = { .size = sizeof(why) }, empty = { 0 };
	struct belay_region *r, *pinned;

	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &rl));
	CHECK_OK(belay_register(b, buffer, 8192, BELAY_TRACK, NULL, &r, NULL));
	CHECK_OK(belay_register(b, buffer, 8192, BELAY_PIN, NULL, &pinned, NULL));
	fake_kernel.tracked = 65536;
	CHECK_EQ(belay_explain_memlock(r, &why), -ENOENT);
	fake_kernel.tracked = 65536 + 4096;
	CHECK_EQ(belay_explain_memlock(r, &why), 0);
	CHECK_EQ(why.usage, 65536 - 4096);
	CHECK_EQ(why.limit, 65536);
	CHECK_EQ(why.needed, 8192);
	CHECK(strstr(why.text, "once for each registration: 68 KiB in all with these 8 KiB, and RLIMIT_MEMLOCK is 64 KiB"));
	CHECK(strstr(why.text, "memlock in belayd.conf"));
	CHECK_EQ(belay_explain_memlock(r, NULL), 0);
	CHECK_EQ(belay_explain_memlock(r, &empty), -EINVAL);
	CHECK_EQ(belay_explain_memlock(pinned, &why), -EINVAL);
	belay_close(b);
	fake_stop(d);
}

TEST(limits, "limits come with the names of their accounts")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_limit l[3] = { { .size = sizeof(l[0]) } };

	CHECK_EQ(belay_get_limits(b, l, 2), 3);
	CHECK_STR(l[0].account, "grant");
	CHECK_EQ(l[0].usage_bytes, 4096);
	CHECK_STR(l[1].account, "user/alice");
	CHECK_STR(l[2].account, "");
	CHECK_EQ(belay_get_limits(b, l, 3), 3);
	CHECK_STR(l[2].account, "account/9");
	CHECK_EQ(belay_get_limits(b, NULL, 0), 3);
	CHECK_EQ(belay_get_limits(b, l, -1), -EINVAL);
	belay_close(b);
	fake_stop(d);
}

TEST(names, "reasons and the version have names")
{
	CHECK_STR(belay_reason_name(BELAY_REASON_UNMAPPED), "unmapped");
	CHECK(belay_reason_name(123456) != NULL);
	CHECK_STR(belay_version(), BELAY_VERSION);
}

TEST(close_all, "close unregisters all regions, however many, although a child has the descriptors")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	pid_t pid;
	int i;

	for (i = 0; i < 700; i++)
		register_one(b);
	CHECK_EQ(fake_kernel.live, 700);
	pid = CHECK_SYS(fork());
	if (!pid)
		for (;;)
			pause();
	belay_close(b);
	CHECK_EQ(fake_kernel.live, 0);
	/* The daemon sees the end of the connection, too. */
	CHECK_SOON(fake_count(&d->closes) == 1, 5);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SYS(waitpid(pid, NULL, 0));
	fake_stop(d);
}

TEST(two_handles, "two handles of one process do not disturb each other")
{
	struct fake_daemon *d = fake_start();
	struct belay *one = open_handle(), *two = open_handle();
	struct belay_region *r1 = register_one(one), *r2 = register_one(two);

	CHECK_NE(r1->id, r2->id);
	belay_close(one);
	CHECK(belay_valid(r2));
	CHECK_OK(belay_unregister(r2));
	belay_close(two);
	fake_stop(d);
}

TEST(fork_child, "in a forked child every call is EXDEV, and close harms nobody")
{
	struct fake_daemon *d = fake_start();
	struct belay *b = open_handle();
	struct belay_region *r = register_one(b), *other;
	struct belay_range range = {
		.size = sizeof(range),
		.addr = buffer, .len = 4096, .flags = BELAY_PIN,
	};
	struct belay_request *req;
	struct belay_limit l = { .size = sizeof(l) };
	pid_t pid = CHECK_SYS(fork());
	int status;

	if (!pid) {
		CHECK_EQ(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &other, NULL),
			 -EXDEV);
		CHECK_EQ(belay_register_many(b, &range, 1, NULL), -EXDEV);
		CHECK_EQ(belay_commit(r, NULL), -EXDEV);
		CHECK_EQ(belay_unregister(r), -EXDEV);
		fake_word(r, r->expected | BELAY_WORD_SUSPECT);
		CHECK_EQ(belay_check(r), -EXDEV);
		CHECK(!belay_valid(r));
		CHECK_EQ(belay_get_fd(b), -EXDEV);
		CHECK_EQ(belay_dispatch(b), -EXDEV);
		CHECK_EQ(belay_get_request(b, &req), -EXDEV);
		CHECK_EQ(belay_get_limits(b, &l, 1), -EXDEV);
		belay_close(b);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	fake_word(r, r->expected);
	CHECK(belay_valid(r));
	CHECK_EQ(belay_dispatch(b), 0);
	CHECK_EQ(fake_count(&d->closes), 0);
	CHECK_OK(belay_unregister(r));
	belay_close(b);
	fake_stop(d);
}

TAP_MAIN()
