// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The smallest program that holds memory for DMA:
 *
 *	cc hello.c -o hello $(pkg-config --cflags --libs belay)
 */
#include <belay.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	size_t len = 1 << 20;
	void *buf = aligned_alloc(sysconf(_SC_PAGESIZE), len);
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *region;
	struct belay *belay;
	int err;

	err = belay_open(&belay, NULL, &why);
	if (!err)
		err = belay_register(belay, buf, len, BELAY_PIN | BELAY_WRITE, NULL,
				     &region, &why);
	if (err) {
		fprintf(stderr, "hello: %s\n", why.text);
		return 1;
	}
	printf("region %llu is %s\n", (unsigned long long)region->id,
	       belay_valid(region) ? "valid" : "not valid");
	belay_unregister(region);
	belay_close(belay);
	free(buf);
	return 0;
}
