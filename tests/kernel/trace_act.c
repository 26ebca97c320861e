// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * trace_act DO...: does, as alice and through the module's own interface, what
 * tracing.sh then finds in the output of the scripts.
 *
 *	hold REGIONS PAGES SECONDS	registers them, waits, lets go, waits as long
 *	refuse				asks for 20 pages of 16 that the grant may have,
 *					three times, 9 of 8 that the account may have,
 *					and one that is not mapped
 *	recall REGIONS MS		registers, recalls, lets go so much later
 *	lose REGIONS			registers, unmaps, lets go
 *	nothing SECONDS
 *
 * Says the ids that it was given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define ALICE	1001
#define PAGES(n)	((n) * BK_PAGE)

static struct bk b;

static unsigned long number(char **argv, int i)
{
	return argv[i] ? strtoul(argv[i], NULL, 0) : 0;
}

static void become_alice(void)
{
	CHECK_SYS(setresuid(ALICE, ALICE, ALICE));
	printf("pid %d grant %llu account %llu\n", getpid(), (unsigned long long)b.grant,
	       (unsigned long long)b.account);
	fflush(stdout);
}

static void begin(void)
{
	bk_begin(&b);
	become_alice();
}

static struct bk_region *hold_many(unsigned long n, unsigned long pages)
{
	struct bk_region *r = calloc(n, sizeof(*r));
	unsigned long i;

	CHECK(r);
	for (i = 0; i < n; i++)
		r[i] = bk_hold(&b, bk_anon(PAGES(pages), 1), PAGES(pages), BELAY_PINNED,
			       BELAY_REGION_WRITE);
	return r;
}

static void let_go_of_many(struct bk_region *r, unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		CHECK_OK(bk_unregister(b.fd, r[i].id));
	free(r);
}

static void act_hold(char **argv)
{
	struct bk_region *r;

	begin();
	r = hold_many(number(argv, 2), number(argv, 3));
	sleep(number(argv, 4));
	let_go_of_many(r, number(argv, 2));
	sleep(number(argv, 4));
}

static void refuse(void *addr, unsigned long pages, int err)
{
	CHECK_EQ(bk_register(b.fd, addr, PAGES(pages), BELAY_PINNED, 0, NULL), err);
}

static void act_refuse(char **argv)
{
	char *p = bk_anon(PAGES(20), 1);
	int i;

	bk_begin_limited(&b, PAGES(16), BELAY_UNLIMITED);
	CHECK_OK(bk_set_limit(b.ctl, b.account, 0, PAGES(8), BELAY_UNLIMITED));
	become_alice();
	for (i = 0; i < 3; i++)
		refuse(p, 20, -EDQUOT);
	refuse(p, 9, -EDQUOT);
	refuse((void *)PAGES(1), 1, -EFAULT);
}

static void act_recall(char **argv)
{
	unsigned long i, n = number(argv, 2);
	struct bk_region *r;

	begin();
	r = hold_many(n, 1);
	for (i = 0; i < n; i++)
		CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r[i].id, i + 1), 0);
	usleep(number(argv, 3) * 1000);
	let_go_of_many(r, n);
	bk_drain_events(b.ctl);
}

static void act_lose(char **argv)
{
	unsigned long i, n = number(argv, 2);
	struct bk_region *r;

	begin();
	r = hold_many(n, 2);
	for (i = 0; i < n; i++) {
		CHECK_SYS(munmap(r[i].addr, r[i].len));
		CHECK_SOON(bk_find_event(b.ctl, b.session, r[i].id, BELAY_EVENT_LOST, NULL), 5);
	}
	let_go_of_many(r, n);
	bk_drain_events(b.ctl);
}

static void act_nothing(char **argv)
{
	begin();
	sleep(number(argv, 2));
}

static const struct {
	const char *name;
	void (*act)(char **argv);
} acts[] = {
	{ "hold", act_hold }, { "refuse", act_refuse }, { "recall", act_recall },
	{ "lose", act_lose }, { "nothing", act_nothing },
};

int main(int argc, char **argv)
{
	unsigned int i;

	for (i = 0; argc > 1 && i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strcmp(argv[1], acts[i].name))
			continue;
		acts[i].act(argv);
		bk_end(&b);
		return 0;
	}
	fprintf(stderr, "trace_act: what?\n");
	return 2;
}
