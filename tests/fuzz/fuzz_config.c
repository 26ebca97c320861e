/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* Whatever belayd.conf holds, it is a policy within its bounds or an error. */
#include <sys/mman.h>
#include <syslog.h>

#include "common/protocol.h"
#include "daemon/sys/config.h"
#include "tests/fuzz/fuzz.h"

static const char *const pieces[] = {
	"[system]\n", "[default]\n", "[user 1000]\n", "[user root]\n", "[user x]\n",
	"[revoke]\n", "[daemon]\n", "[", "]", "=", ";", "#", "\n", "\\\n", " ",
	"max = 64M\n", "max = 18446744073709551615\n", "regions = 7\n",
	"process_max = unlimited\n", "process_regions = 99999999999999999999\n",
	"deadline = 10s\n", "deadline = 99999999h\n", "escalation = release\n",
	"max_clients = 100\n", "max_clients_per_user = 60001\n", "max = 1.5E\n",
	"\xef\xbb\xbf", "key : value\n", "max=\n", "=1\n", "1.000000001K",
};
#define N_PIECES (sizeof(pieces) / sizeof(*pieces))

static int errors;

static void say(void *arg, int level, const char *text)
{
	errors += level == LOG_ERR;
	CHECK(strlen(text) < 512);
}

static size_t compose(char *buf, size_t max)
{
	uint32_t n = 1 + fuzz_below(20);
	size_t len = 0, piece;
	const char *p;

	while (n--) {
		p = pieces[fuzz_below(N_PIECES)];
		piece = strlen(p);
		if (len + piece < max)
			memcpy(buf + len, p, piece);
		len += piece;
	}
	return fuzz_below(3) ? fuzz_mutate(buf, len, max) : len;
}

static void check(const struct bl_policy *p)
{
	CHECK_GE(p->deadline_nsec, 10000000ULL);
	CHECK_LE(p->deadline_nsec, 24ULL * 3600 * 1000000000);
	CHECK(p->escalation >= BL_KEEP && p->escalation <= BL_KILL);
	CHECK(p->max_clients >= 1 && p->max_clients <= 60000);
	CHECK(p->max_clients_per_user >= 1 && p->max_clients_per_user <= 60000);
}

TEST_TIMEOUT(config, "any configuration is a policy within its bounds, or an error that is said", 60)
{
	unsigned int runs = 0, good = 0;
	char buf[4096], path[64];
	struct bl_policy *p;
	double end;
	int fd;

	fuzz_seed();
	fd = CHECK_SYS(memfd_create("conf", 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (end = fuzz_end(); tap_now() < end; runs++) {
		size_t len = compose(buf, sizeof(buf));

		CHECK_SYS(ftruncate(fd, 0));
		CHECK_EQ(pwrite(fd, buf, len, 0), len);
		errors = 0;
		p = bl_config_load(path, say, NULL);
		CHECK_EQ(!p, errors > 0);
		if (p) {
			check(p);
			good++;
		}
		bl_policy_free(p);
	}
	tap_diag("%u configurations, %u of them good", runs, good);
	CHECK(good > 0 && good < runs);
}

TAP_MAIN()
