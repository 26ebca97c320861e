// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A program that closes all its descriptors, with the real module: what the kernel
 * holds is not said to be let go, belay_close() lets it go, and no file that the
 * program has opened meanwhile is used or closed. The module's own numbers in /sys
 * tell what is held.
 */
#include <belay.h>
#include <fcntl.h>
#include <linux/belay.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/lib/tap.h"

#define MIB	((size_t)1 << 20)
#define OWN	8	/* files of the program's own: twice as many as a handle has */

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static struct belay *open_handle(const struct belay_options *opt)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b = NULL;

	if (belay_open(&b, opt, &why))
		FAIL("belay_open: %s", why.text);
	return b;
}

static struct belay_region *pin(struct belay *b, size_t len)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r = NULL;

	if (belay_register(b, map(len), len, BELAY_PIN | BELAY_WRITE, NULL, &r, &why))
		FAIL("belay_register: %s", why.text);
	return r;
}

/* A number of the module's: "regions", "held_bytes". */
static unsigned long long module_says(const char *name)
{
	unsigned long long n = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/misc/belay/%s", name);
	f = fopen(path, "r");
	CHECK(f != NULL);
	CHECK_EQ(fscanf(f, "%llu", &n), 1);
	fclose(f);
	return n;
}

/* All but standard output, where the test reports. */
static void close_all(void)
{
	CHECK_SYS(close_range(3, ~0U, 0));
}

/* The files in whose places the library's descriptors were. */
static void open_own(int fds[OWN], ino_t inodes[OWN])
{
	struct stat st;
	char name[16];
	int i;

	for (i = 0; i < OWN; i++) {
		snprintf(name, sizeof(name), "own%d", i);
		fds[i] = CHECK_SYS(memfd_create(name, 0));
		CHECK_SYS(fstat(fds[i], &st));
		inodes[i] = st.st_ino;
	}
}

static void own_are_untouched(const int fds[OWN], const ino_t inodes[OWN])
{
	struct stat st;
	int i;

	for (i = 0; i < OWN; i++) {
		CHECK_SYS(fstat(fds[i], &st));
		CHECK_EQ(st.st_ino, inodes[i]);
		CHECK_EQ(st.st_size, 0);
	}
}

static void expect_dead(struct belay *b, struct belay_region *r)
{
	struct belay_limit l = { .size = sizeof(l) };
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *other = NULL;

	CHECK_EQ(belay_unregister(r), -EBADF);
	CHECK_EQ(belay_register(b, map(MIB), MIB, BELAY_PIN, NULL, &other, &why), -EBADF);
	CHECK(strstr(why.text, "belay_close()"));
	CHECK_EQ(belay_get_limits(b, &l, 1), -EBADF);
	CHECK_EQ(belay_dispatch(b), -EBADF);
	CHECK_EQ(belay_get_fd(b), -EBADF);
	/* It is held, and valid, and the word says so. */
	CHECK(belay_valid(r));
}

TEST(closed_all, "after close_range() the memory is held until belay_close(), and no file of the program's is closed")
{
	struct belay *b = open_handle(NULL);
	struct belay_region *r = pin(b, MIB);
	ino_t inodes[OWN];
	int fds[OWN];

	close_all();
	open_own(fds, inodes);
	expect_dead(b, r);
	CHECK_EQ(module_says("regions"), 1);
	CHECK_EQ(module_says("held_bytes"), MIB);
	belay_close(b);
	CHECK_SOON(!module_says("regions") && !module_says("held_bytes"), 5);
	own_are_untouched(fds, inodes);
}

TEST(another, "a handle opened in the same places is another session: neither is taken for the other")
{
	struct belay *old = open_handle(NULL), *new;
	struct belay_region *held = pin(old, MIB), *r;

	close_all();
	new = open_handle(NULL);
	r = pin(new, 2 * MIB);
	tap_diag("ids %llu and %llu", (unsigned long long)held->id, (unsigned long long)r->id);
	CHECK_NE(held->id, r->id);
	expect_dead(old, held);
	CHECK_EQ(module_says("held_bytes"), 3 * MIB);
	belay_close(old);
	CHECK_SOON(module_says("held_bytes") == 2 * MIB, 5);
	CHECK(belay_valid(r));
	CHECK_EQ(belay_dispatch(new), 0);
	CHECK_OK(belay_unregister(r));
	CHECK_EQ(module_says("held_bytes"), 0);
	belay_close(new);
}

static void ignore(struct belay *b, struct belay_request *req, void *arg)
{
	belay_ack(req);
}

TEST(thread, "the helper thread does not spin, and takes no event of the program's own")
{
	const struct belay_options opt = { .size = sizeof(opt), .flags = BELAY_OPEN_THREAD,
					   .on_revoke = ignore };
	struct belay *b = open_handle(&opt);
	struct belay_region *r = pin(b, MIB);
	struct timespec used;
	int fds[OWN], i;

	close_all();
	for (i = 0; i < OWN; i++)
		fds[i] = CHECK_SYS(eventfd(1, EFD_NONBLOCK));
	sleep(3);
	CHECK_SYS(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used));
	CHECK_LT(used.tv_sec, 1);
	CHECK_EQ(belay_unregister(r), -EBADF);
	belay_close(b);
	for (i = 0; i < OWN; i++) {
		eventfd_t n = 0;

		CHECK_SYS(eventfd_read(fds[i], &n));
		CHECK_EQ(n, 1);
	}
	CHECK_SOON(!module_says("held_bytes"), 5);
}

/* As daemon(3) and many a program do it. */
TEST(daemonized, "a child that closes everything and then the handle keeps its files, and the parent its memory")
{
	struct belay *b = open_handle(NULL);
	struct belay_region *r = pin(b, MIB);
	ino_t inodes[OWN];
	int fds[OWN];
	pid_t pid = CHECK_SYS(fork());

	if (!pid) {
		close_all();
		open_own(fds, inodes);
		CHECK_EQ(belay_unregister(r), -EXDEV);
		belay_close(b);
		own_are_untouched(fds, inodes);
		_exit(0);
	}
	tap_join(pid);
	/* And one that has closed nothing gives back what it has inherited. */
	pid = CHECK_SYS(fork());
	if (!pid) {
		int n, before = 0, after = 0;

		for (n = 0; n < 64; n++)
			before += fcntl(n, F_GETFD) >= 0;
		belay_close(b);
		for (n = 0; n < 64; n++)
			after += fcntl(n, F_GETFD) >= 0;
		CHECK_EQ(before - after, 4);
		_exit(0);
	}
	tap_join(pid);
	CHECK(belay_valid(r));
	CHECK_EQ(module_says("held_bytes"), MIB);
	CHECK_EQ(belay_dispatch(b), 0);
	CHECK_OK(belay_unregister(r));
	belay_close(b);
}

TEST(named_alike, "the id that the program has is the one that belayctl lists and recalls")
{
	struct belay *b = open_handle(NULL);
	struct belay_region *r = pin(b, MIB), *other = pin(b, MIB);
	unsigned long long id = r->id;
	struct belay_request *req;
	char command[128];

	snprintf(command, sizeof(command),
		 "belayctl list regions --no-headings | grep -qE '^ *%llu '", id);
	CHECK_EQ(system(command), 0);
	snprintf(command, sizeof(command), "belayctl recall --region %llu --no-wait", id);
	CHECK_EQ(system(command), 0);
	CHECK_SOON(belay_dispatch(b) >= 0 && !belay_get_request(b, &req), 5);
	CHECK_OK(belay_ack(req));
	CHECK(!belay_valid(r) && belay_valid(other));
	belay_close(b);
}

TAP_MAIN()
