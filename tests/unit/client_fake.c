// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include "common/packet.h"
#include "tests/unit/client_fake.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libclient/kernel.h"
#include "tests/lib/tap.h"

/* ------------------------------------------------------------------------ */
/* The module                                                                */

struct fake_kernel fake_kernel = { .abi_oldest = BELAY_ABI_OLDEST,
				   .abi_version = BELAY_ABI_VERSION };
static pthread_mutex_t kernel_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_region = 1;

#define WORD(region)	((uint32_t)((region) % BELAY_WORDS_MAX))
#define GENERATION	(UINT64_C(7) << 32)

/* Where the last regions are. */
#define SPANS	1024
static struct span {
	uint64_t addr, len;
} spans[SPANS];

static int is_session(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_size == BELAY_WORDS_MAX * 8;
}

int fake_session_fd(void)
{
	int fd = CHECK_SYS(memfd_create("session", MFD_CLOEXEC));

	CHECK_SYS(ftruncate(fd, BELAY_WORDS_MAX * 8));
	return fd;
}

int bl_kernel_info(int fd, struct belay_info *ret)
{
	*ret = (struct belay_info){ .size = sizeof(*ret),
				    .abi_oldest = fake_kernel.abi_oldest,
				    .abi_version = fake_kernel.abi_version,
				    .session = FAKE_SESSION };
	return is_session(fd) ? 0 : -ENOTTY;
}

int bl_kernel_map_words(int fd, const uint64_t **ret, size_t *ret_len)
{
	void *p = mmap(NULL, BELAY_WORDS_MAX * 8, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	*ret_len = BELAY_WORDS_MAX * 8;
	return 0;
}

void bl_kernel_unmap_words(const uint64_t *words, size_t len)
{
	if (words)
		munmap((void *)words, len);
}

static void register_one(int fd, struct belay_register_entry *e)
{
	if (fake_kernel.fail_at && !--fake_kernel.fail_at) {
		e->status = fake_kernel.fail_status;
		e->refused_account = 2;
		e->refused_resource = BELAY_RESOURCE_BYTES;
		e->refused_usage = 60 << 20;
		e->refused_limit = 64 << 20;
		e->refused_needed = 16 << 20;
		if (fake_kernel.fail_grant) {
			e->refused_account = 0;
			e->refused_resource = BELAY_RESOURCE_REGIONS;
			e->refused_usage = e->refused_limit = 8;
			e->refused_needed = 1;
		}
		return;
	}
	e->status = 0;
	e->region = next_region++;
	e->word = WORD(e->region);
	e->expected = GENERATION;
	CHECK_EQ(pwrite(fd, &e->expected, 8, e->word * 8), 8);
	fake_kernel.live++;
	fake_kernel.last_cookie = e->cookie;
	fake_kernel.last_region = e->region;
	fake_kernel.last_kind = e->kind;
	fake_kernel.last_flags = e->flags;
	spans[e->region % SPANS] = (struct span){ e->addr, e->len };
}

int bl_kernel_register(int fd, struct belay_register_entry *entries,
		       uint32_t count, uint32_t *ret_done)
{
	int err;

	pthread_mutex_lock(&kernel_lock);
	*ret_done = 0;
	fake_kernel.registers++;
	CHECK(count >= 1 && count <= BELAY_MAX_BATCH);
	if (count > fake_kernel.largest)
		fake_kernel.largest = count;
	err = fake_kernel.fail_call;
	fake_kernel.fail_call = 0;
	while (!err && *ret_done < count) {
		if (fake_kernel.stop_after && *ret_done == fake_kernel.stop_after)
			err = -EINTR;
		else
			register_one(fd, &entries[(*ret_done)++]);
	}
	if (fake_kernel.before_return && *ret_done)
		fake_kernel.before_return(entries);
	pthread_mutex_unlock(&kernel_lock);
	return err;
}

int bl_kernel_commit(int fd, struct belay_region_entry *entry)
{
	return is_session(fd) ? fake_kernel.commit_status : -ENOTTY;
}

int bl_kernel_unregister(int fd, struct belay_region_entry *entries, uint32_t count)
{
	uint64_t released = GENERATION | BELAY_WORD_RELEASED;
	uint32_t i;

	CHECK(count >= 1 && count <= BELAY_MAX_BATCH);
	for (i = 0; i < count; i++) {
		CHECK_EQ(pwrite(fd, &released, 8, WORD(entries[i].region) * 8), 8);
		spans[entries[i].region % SPANS].len = 0;
	}
	pthread_mutex_lock(&kernel_lock);
	fake_kernel.live -= count;
	fake_kernel.unregisters += count;
	pthread_mutex_unlock(&kernel_lock);
	return 0;
}

static void make_part(int fd, struct belay_part *p, uint64_t addr, uint64_t end)
{
	*p = (struct belay_part){ 0 };
	if (addr >= end)
		return;
	p->region = next_region++;
	p->expected = GENERATION;
	p->addr = addr;
	p->len = end - addr;
	p->word = WORD(p->region);
	CHECK_EQ(pwrite(fd, &p->expected, 8, p->word * 8), 8);
	spans[p->region % SPANS] = (struct span){ addr, end - addr };
	fake_kernel.live++;
}

int bl_kernel_trim(int fd, struct belay_trim_entry *e)
{
	uint64_t released = GENERATION | BELAY_WORD_RELEASED;
	struct span *s = &spans[e->region % SPANS];
	int err = fake_kernel.trim_status;

	pthread_mutex_lock(&kernel_lock);
	fake_kernel.trims++;
	if (!err && !s->len)
		err = -ENOENT;
	if (!err && (!e->len || e->addr % 4096 || e->len % 4096 || e->addr < s->addr ||
		     e->addr + e->len > s->addr + s->len || e->len == s->len))
		err = -EINVAL;
	if (!err) {
		make_part(fd, &e->before, s->addr, e->addr);
		make_part(fd, &e->after, e->addr + e->len, s->addr + s->len);
		CHECK_EQ(pwrite(fd, &released, 8, WORD(e->region) * 8), 8);
		s->len = 0;
		fake_kernel.live--;
		if (fake_kernel.trimmed)
			fake_kernel.trimmed(e);
	}
	pthread_mutex_unlock(&kernel_lock);
	return err;
}

int bl_kernel_check(int fd, struct belay_region_entry *entry)
{
	fake_kernel.checks++;
	entry->state = fake_kernel.check_state;
	entry->lost_addr = fake_kernel.lost_addr;
	entry->lost_len = fake_kernel.lost_len;
	return fake_kernel.check_status;
}

int bl_kernel_usage(int fd, struct belay_level *levels, uint32_t *count)
{
	CHECK(*count >= 3);
	levels[0] = (struct belay_level){ .account = 0, .limit_bytes = 1 << 20,
					  .usage_bytes = 4096, .usage_regions = 1 };
	levels[1] = (struct belay_level){ .account = 2, .limit_bytes = 2 << 20 };
	levels[2] = (struct belay_level){ .account = 9, .limit_bytes = UINT64_MAX };
	*count = 3;
	return 0;
}

int bl_kernel_tracked(int fd, uint64_t *ret_bytes)
{
	*ret_bytes = fake_kernel.tracked;
	return 0;
}

void fake_word(const struct belay_region *r, uint64_t word)
{
	int fd;

	/* The library's mapping cannot be written: find the memfd behind it. */
	for (fd = 3; fd < 256; fd++) {
		uint64_t old = 0;

		if (!is_session(fd))
			continue;
		CHECK_EQ(pread(fd, &old, 8, WORD(r->id) * 8), 8);
		if (old >> 32 == r->expected >> 32) {
			CHECK_EQ(pwrite(fd, &word, 8, WORD(r->id) * 8), 8);
			return;
		}
	}
	FAIL("no session has this region");
}

/* ------------------------------------------------------------------------ */
/* The daemon                                                                */

/* Read by fake_count() without the lock. */
static void bump(unsigned int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELEASE);
}

void fake_send(int fd, const void *m, size_t len, int attached)
{
	struct bl_msg *copy = malloc(len + 1);

	memcpy(copy, m, len);
	if (len >= sizeof(*copy) && !copy->size)
		copy->size = (uint32_t)len;
	/* The client may have gone already. */
	bl_packet_send(fd, copy, len, attached, 0);
	free(copy);
}

void fake_answer(int fd, const struct bl_msg *to, int error)
{
	struct bl_ok ok = { .msg = { .type = BL_OK, .serial = to->serial } };
	struct bl_error e = {
		.msg = { .type = BL_ERROR, .serial = to->serial },
		.error = error,
		.text = "because of the test",
	};

	if (error)
		fake_send(fd, &e, sizeof(e), -1);
	else
		fake_send(fd, &ok, sizeof(ok), -1);
}

void fake_grant(int fd, const struct bl_msg *to, int session_fd)
{
	struct bl_grant g = {
		.msg = { .type = BL_GRANT, .serial = to->serial },
		.session = FAKE_SESSION,
		.grant = 5,
		.count = 3,
		.levels = { { 0, "grant" }, { 2, "user/alice" }, { 1, "system" } },
	};

	fake_send(fd, &g, sizeof(g), session_fd);
}

static void on_hello(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	const struct bl_hello *got = (const struct bl_hello *)m;
	struct bl_hello h = {
		.msg = { .type = BL_HELLO, .serial = m->serial },
		.oldest = BL_PROTOCOL_NEWEST, .newest = BL_PROTOCOL_NEWEST,
		.label = "fake",
	};

	memcpy(d->label, got->label, sizeof(d->label));
	fake_send(fd, &h, sizeof(h), -1);
}

static void on_message(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	int session;

	if (d->on_message && d->on_message(d, fd, m))
		return;
	switch (m->type) {
	case BL_HELLO:
		on_hello(d, fd, m);
		break;
	case BL_OPEN:
		bump(&d->opens);
		d->want_bytes = ((const struct bl_open *)m)->want_bytes;
		session = fake_session_fd();
		fake_grant(fd, m, session);
		close(session);
		break;
	case BL_RESUME:
		bump(&d->resumes);
		CHECK_EQ(((const struct bl_resume *)m)->session, FAKE_SESSION);
		fake_grant(fd, m, -1);
		break;
	case BL_ACK:
		d->acked[d->acks % 64] = ((const struct bl_ack *)m)->request;
		bump(&d->acks);
		fake_answer(fd, m, 0);
		break;
	default:
		FAIL("the library sent message type %u", m->type);
	}
}

/* false: the connection is closed. */
static bool read_message(struct fake_daemon *d, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	union {
		struct bl_msg m;
		char bytes[BL_MSG_MAX];
	} buf;
	struct iovec iov = { &buf, sizeof(buf) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	int attached = -1;

	if (n <= 0)
		return false;
	if (CMSG_FIRSTHDR(&h))
		memcpy(&attached, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(int));
	CHECK(n >= (ssize_t)sizeof(buf.m));
	CHECK_EQ(buf.m.size, n);
	CHECK_NE(buf.m.serial, 0);
	CHECK_EQ(attached, -1);		/* belayd takes none */
	on_message(d, fd, &buf.m);
	return true;
}

static void accept_one(struct fake_daemon *d)
{
	int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC), i;

	for (i = 0; i < FAKE_CONNECTIONS; i++)
		if (d->connections[i] < 0) {
			d->connections[i] = d->newest = fd;
			return;
		}
	FAIL("too many connections");
}

static void *serve(void *arg)
{
	struct fake_daemon *d = arg;
	struct pollfd p[FAKE_CONNECTIONS + 2];
	int i;

	for (;;) {
		pthread_mutex_lock(&d->lock);
		for (i = 0; i < FAKE_CONNECTIONS; i++)
			p[i] = (struct pollfd){ d->connections[i], POLLIN, 0 };
		p[i] = (struct pollfd){ d->listener, POLLIN, 0 };
		p[i + 1] = (struct pollfd){ d->stop_fd, POLLIN, 0 };
		pthread_mutex_unlock(&d->lock);
		CHECK_SYS(ppoll(p, FAKE_CONNECTIONS + 2, NULL, NULL));
		if (p[FAKE_CONNECTIONS + 1].revents)
			return NULL;
		pthread_mutex_lock(&d->lock);
		if (p[FAKE_CONNECTIONS].revents)
			accept_one(d);
		for (i = 0; i < FAKE_CONNECTIONS; i++)
			if (p[i].revents && !read_message(d, p[i].fd)) {
				close(p[i].fd);
				if (d->newest == p[i].fd)
					d->newest = -1;
				d->connections[i] = -1;
				bump(&d->closes);
			}
		pthread_mutex_unlock(&d->lock);
	}
}

void fake_restart(struct fake_daemon *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int i, fd;

	for (i = 0; i < FAKE_CONNECTIONS; i++)
		d->connections[i] = -1;
	d->newest = -1;
	d->stop_fd = CHECK_SYS(eventfd(0, EFD_CLOEXEC));
	strcpy(addr.sun_path, d->path);
	fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	CHECK_SYS(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK_SYS(listen(fd, 8));
	d->listener = fd;
	CHECK_EQ(pthread_create(&d->thread, NULL, serve, d), 0);
}

struct fake_daemon *fake_start(void)
{
	struct fake_daemon *d = calloc(1, sizeof(*d));

	strcpy(d->dir, "/tmp/belay-unit.XXXXXX");
	CHECK(mkdtemp(d->dir) != NULL);
	snprintf(d->path, sizeof(d->path), "%s/socket", d->dir);
	pthread_mutex_init(&d->lock, NULL);
	CHECK_SYS(setenv("BELAY_SOCKET", d->path, 1));
	fake_restart(d);
	return d;
}

void fake_crash(struct fake_daemon *d)
{
	int i;

	CHECK_SYS(eventfd_write(d->stop_fd, 1));
	pthread_join(d->thread, NULL);
	for (i = 0; i < FAKE_CONNECTIONS; i++)
		if (d->connections[i] >= 0)
			close(d->connections[i]);
	close(d->listener);
	close(d->stop_fd);
	unlink(d->path);
}

void fake_stop(struct fake_daemon *d)
{
	fake_crash(d);
	rmdir(d->dir);
	free(d);
}

void fake_revoke_cookie(struct fake_daemon *d, uint64_t request, uint64_t region,
			uint64_t cookie)
{
	struct bl_revoke m = {
		.msg.type = BL_REVOKE,
		.request = request,
		.session = FAKE_SESSION,
		.region = region,
		.cookie = cookie,
		.deadline = 12345,
		.reason = BELAY_REASON_ADMIN,
		.escalation = BL_KILL,
	};

	fake_send(d->newest, &m, sizeof(m), -1);
}

void fake_lose(struct fake_daemon *d, uint64_t request, uint64_t region,
	       const void *addr, size_t len)
{
	struct bl_revoke m = {
		.msg.type = BL_REVOKE,
		.request = request,
		.session = FAKE_SESSION,
		.region = region,
		.cookie = fake_kernel.last_cookie,
		.lost_addr = (uintptr_t)addr,
		.lost_len = len,
		.reason = BELAY_REASON_UNMAPPED,
		.escalation = BL_KEEP,
	};

	fake_send(d->newest, &m, sizeof(m), -1);
}

void fake_revoke(struct fake_daemon *d, uint64_t request, const struct belay_region *r)
{
	/* The library's own layout of a cookie is not for tests to know. */
	CHECK_EQ(r->id, fake_kernel.last_region);
	pthread_mutex_lock(&d->lock);
	fake_revoke_cookie(d, request, r->id, fake_kernel.last_cookie);
	pthread_mutex_unlock(&d->lock);
}

/* Without the lock: the daemon may be waiting for the caller to read. */
unsigned int fake_count(const unsigned int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

int fake_fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
