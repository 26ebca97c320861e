/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* Units, words and /proc, as shared by daemon, library and command. */
#include <linux/belay.h>

#include "common/proc.h"
#include "common/protocol.h"
#include "common/reason.h"
#include "common/units.h"
#include "tests/lib/tap.h"

static const struct {
	const char *text;
	int err;
	uint64_t value;
} sizes[] = {
	{ "0", 0, 0 },
	{ "4096", 0, 4096 },
	{ "64K", 0, 65536 },
	{ "64k", 0, 65536 },
	{ " 64 KiB ", 0, 65536 },
	{ "64KB", 0, 65536 },
	{ "8GiB", 0, 8ULL << 30 },
	{ "1.5M", 0, 3 << 19 },
	{ "0.5K", 0, 512 },
	{ "12B", 0, 12 },
	{ "15E", 0, 15ULL << 60 },
	{ "16E", -ERANGE, 0 },
	{ "18446744073709551614", 0, UINT64_MAX - 1 },
	{ "18446744073709551615", -ERANGE, 0 },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "0.1", -ERANGE, 0 },
	{ "1.0000000001G", -ERANGE, 0 },
	{ "unlimited", 0, UINT64_MAX },
	{ "Infinity", 0, UINT64_MAX },
	{ "unlimitedly", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "M", -EINVAL, 0 },
	{ "1.M", -EINVAL, 0 },
	{ ".5M", -EINVAL, 0 },
	{ "64Ki", -EINVAL, 0 },
	{ "64KX", -EINVAL, 0 },
	{ "64 K B", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
	{ "1e3", -EINVAL, 0 },
	{ "1 2", -EINVAL, 0 },
};

TEST(sizes, "sizes are read with their units, and nothing else is taken for one")
{
	uint64_t v;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		v = 0;
		if (bl_size_parse(sizes[i].text, &v) != sizes[i].err ||
		    v != sizes[i].value)
			FAIL("\"%s\": %d, %llu", sizes[i].text,
			     bl_size_parse(sizes[i].text, &v),
			     (unsigned long long)v);
	}
}

TEST(formats, "a formatted size is exact: reading it gives the same number")
{
	char buf[BL_SIZE_TEXT];
	uint64_t v, x = 88172645463325252ULL;
	int i;

	CHECK_STR(bl_size_format(buf, sizeof(buf), 0), "0 B");
	CHECK_STR(bl_size_format(buf, sizeof(buf), 64 << 20), "64 MiB");
	CHECK_STR(bl_size_format(buf, sizeof(buf), 3 << 19), "1.5 MiB");
	CHECK_STR(bl_size_format(buf, sizeof(buf), 5 << 18), "1.25 MiB");
	CHECK_STR(bl_size_format(buf, sizeof(buf), 4097), "4097 B");
	CHECK_STR(bl_size_format(buf, sizeof(buf), 1100ULL << 20), "1100 MiB");
	CHECK_STR(bl_size_format(buf, sizeof(buf), UINT64_MAX), "unlimited");
	for (i = 0; i < 10000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		CHECK_OK(bl_size_parse(bl_size_format(buf, sizeof(buf),
						      x >> (i % 64)), &v));
		CHECK_EQ(v, x >> (i % 64));
	}
}

TEST(times, "times are read with their units, a bare number is seconds")
{
	char buf[BL_TIME_TEXT];
	uint64_t v;

	CHECK_OK(bl_time_parse("10", &v));
	CHECK_EQ(v, 10000000000ULL);
	CHECK_OK(bl_time_parse("10s", &v));
	CHECK_EQ(v, 10000000000ULL);
	CHECK_OK(bl_time_parse("1.5 min", &v));
	CHECK_EQ(v, 90000000000ULL);
	CHECK_OK(bl_time_parse("250ms", &v));
	CHECK_EQ(v, 250000000ULL);
	CHECK_EQ(bl_time_parse("10 days", &v), -EINVAL);
	CHECK_EQ(bl_time_parse("unlimited", &v), -EINVAL);
	CHECK_EQ(bl_time_parse("18446744074", &v), -ERANGE);
	CHECK_STR(bl_time_format(buf, sizeof(buf), 10000000000ULL), "10 s");
	CHECK_STR(bl_time_format(buf, sizeof(buf), 120000000000ULL), "2 min");
	CHECK_STR(bl_time_format(buf, sizeof(buf), 500000000ULL), "500 ms");
	CHECK_STR(bl_time_format(buf, sizeof(buf), 1234567890ULL), "1.23 s");
	CHECK_STR(bl_time_format(buf, sizeof(buf), 0), "0 ns");
}

TEST(counts, "counts are whole numbers or unlimited")
{
	uint64_t v;

	CHECK_OK(bl_count_parse(" 4096 ", &v));
	CHECK_EQ(v, 4096);
	CHECK_OK(bl_count_parse("unlimited", &v));
	CHECK_EQ(v, UINT64_MAX);
	CHECK_EQ(bl_count_parse("1.5", &v), -EINVAL);
	CHECK_EQ(bl_count_parse("4K", &v), -EINVAL);
	CHECK_EQ(bl_count_parse("", &v), -EINVAL);
}

TEST(words, "every reason, escalation and kind has its word")
{
	uint32_t v;

	CHECK_STR(bl_reason_name(BELAY_REASON_UNMAPPED), "unmapped");
	CHECK_STR(bl_reason_name(BELAY_REASON_GUARANTEE), "guarantee");
	CHECK_STR(bl_reason_name(12345), "?");
	CHECK_STR(bl_reason_text(BELAY_REASON_ADMIN), "recalled by an administrator");
	CHECK_STR(bl_escalation_name(BL_KILL), "kill");
	CHECK_STR(bl_escalation_name(99), "?");
	CHECK_OK(bl_escalation_parse("release", &v));
	CHECK_EQ(v, BL_RELEASE);
	CHECK_EQ(bl_escalation_parse("default", &v), -EINVAL);
	CHECK_STR(bl_kind_name(BELAY_TRACKED), "tracked");
}

static void named(void *arg)
{
	CHECK_SYS(prctl(PR_SET_NAME, "a) b (c\n"));
	raise(SIGSTOP);
}

TEST(start_time, "the start time is found whatever the process calls itself")
{
	uint64_t mine, theirs;
	uid_t uids[4];
	char name[64];
	int status;
	pid_t pid;

	CHECK_OK(bl_proc_start_time(getpid(), &mine));
	pid = tap_spawn(named, NULL);
	CHECK_SYS(waitpid(pid, &status, WUNTRACED));
	CHECK_OK(bl_proc_start_time(pid, &theirs));
	CHECK_GE(theirs, mine);
	CHECK_LT(theirs, mine + 1000);
	CHECK_OK(bl_proc_command(pid, name, sizeof(name)));
	CHECK_STR(name, "a) b (c?");
	CHECK_OK(bl_proc_uids(pid, uids));
	CHECK_EQ(uids[0], getuid());
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SYS(waitpid(pid, &status, 0));
	CHECK_EQ(bl_proc_start_time(pid, &theirs), -ESRCH);
	CHECK_EQ(bl_proc_start_time(0, &theirs), -ESRCH);
}

TAP_MAIN()
