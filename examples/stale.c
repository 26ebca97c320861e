// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A registration cache that cannot be fooled: memory is registered, given back
 * to the system, and got again at the same address, where other pages lie now.
 * Whoever had only the address would send old data; the validity word tells.
 *
 *	cc stale.c -o stale $(pkg-config --cflags --libs belay)
 */
#include <belay.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define LEN	((size_t)1 << 20)

static void *map_at(void *addr)
{
	void *p = mmap(addr, LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | (addr ? MAP_FIXED_NOREPLACE : 0),
		       -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	memset(p, 'x', LEN);
	return p;
}

static void show(const char *when, const struct belay_region *region)
{
	printf("%-26s %s\n", when, belay_valid(region) ? "valid" : "not valid");
}

int main(void)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *region;
	struct belay *belay;
	void *buf = map_at(NULL);
	int state;

	if (belay_open(&belay, NULL, &why) ||
	    belay_register(belay, buf, LEN, BELAY_PIN | BELAY_WRITE, NULL, &region, &why))
		errx(1, "%s", why.text);
	show("registered:", region);
	mprotect(buf, LEN, PROT_READ);
	mprotect(buf, LEN, PROT_READ | PROT_WRITE);
	show("after two mprotect():", region);
	munmap(buf, LEN);
	show("after munmap():", region);
	map_at(buf);
	show("after mmap() at that place:", region);
	state = belay_check(region);
	/* A negative errno has these bits set, too. */
	if (state > 0 && state & BELAY_LOST)
		printf("belay_check() says:        lost\n");
	belay_unregister(region);
	belay_close(belay);
	return 0;
}
