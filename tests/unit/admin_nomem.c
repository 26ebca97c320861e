// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Everything that can fail, fails: the n-th allocation or descriptor, for every n until
 * the sequence succeeds. Run under ASan, a leak fails it.
 *
 * The linker puts the __wrap_ functions in the place of the C library's. They count only
 * between arm() and disarm().
 */
#include "tests/lib/tap.h"

#define FAKE_LABEL	"exporter"
#include "tests/unit/admin_fake.h"
#include "tests/unit/nomem.h"

WRAP(int, socket, EMFILE, -1, (int f, int t, int p), (f, t, p))

/* One conversation after the other, until the test has ended. */
static void daemon_of_all(int fd)
{
	struct bl_list_rows end = { .what = BL_LIST_GRANTS };
	struct bl_recalled done = { .let_go = 1 };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIST);
	fake_send(fd, &end, sizeof(end), BL_LIST, m.msg.serial);
	fake_recv(fd, &m, BL_RECALL);
	fake_send(fd, &done, sizeof(done), BL_RECALL, m.msg.serial);
}

static const struct belay_admin_options *options(void)
{
	static struct belay_admin_options opt = { .size = sizeof(opt), .label = FAKE_LABEL };

	opt.socket = fake.path;
	return &opt;
}

TEST(open_nomem, "open that runs out of memory or of descriptors says so and leaves nothing")
{
	struct belay_admin *a = NULL;

	fake_start(daemon_of_all);
	arm(1);
	CHECK_EQ(belay_admin_open(&a, options()), -ENOMEM);
	CHECK(disarm());
	CHECK(!a);
	CHECK_STR(belay_admin_error(a), "out of memory");
	arm(2);
	CHECK_EQ(belay_admin_open(&a, options()), -EMFILE);
	CHECK(disarm());
	CHECK(strstr(belay_admin_error(a), "Too many open files"));
	belay_admin_close(a);
	/* There is no third. */
	arm(3);
	CHECK_OK(belay_admin_open(&a, options()));
	CHECK(!disarm());
	belay_admin_close(a);
	kill(fake.pid, SIGKILL);
}

TEST(list_nomem, "so does a list, and the handle is as good as before; a recall needs no memory")
{
	struct belay_admin_selection s = { .size = sizeof(s), .by = BELAY_ADMIN_BY_USER };
	struct belay_admin_order order = { .size = sizeof(order), .select = &s };
	struct belay_admin_recalled done = { .size = sizeof(done) };
	struct belay_admin_grant g = { .size = sizeof(g) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a;

	fake_start(daemon_of_all);
	CHECK_OK(belay_admin_open(&a, options()));
	arm(1);
	CHECK_EQ(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, NULL, &list), -ENOMEM);
	CHECK(disarm());
	CHECK(!list);
	CHECK_STR(belay_admin_error(a), "out of memory");
	arm(2);
	CHECK_OK(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, NULL, &list));
	CHECK_EQ(belay_admin_next_grant(list, &g), 0);
	CHECK(!disarm());
	belay_admin_list_free(list);
	arm(1);
	CHECK_OK(belay_admin_recall(a, &order, &done));
	CHECK(!disarm());
	CHECK_EQ(done.let_go, 1);
	belay_admin_close(a);
	tap_join(fake.pid);
}

TAP_MAIN()
