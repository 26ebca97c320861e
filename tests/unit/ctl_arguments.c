// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* What people type: nothing here gets as far as the daemon. */
#include "tests/lib/tap.h"
#include "tests/unit/ctl_fake.h"

#define USAGE(line, text) CHECK_RUN(run(line), CTL_USAGE, text)

static void nobody_there(void)
{
	snprintf(fake.path, sizeof(fake.path), "/tmp/belayctl-no-such-socket.%d", getpid());
}

TEST(help, "--help explains the command and each subcommand, on standard output")
{
	static const char *const names[] = { "status", "list", "limit", "recall", "reload" };
	char line[64], usage[64];
	struct run *r = run("--help");
	size_t i;

	CHECK_EQ(r->status, CTL_OK);
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		CHECK(strstr(r->out, names[i]));
	CHECK_STR(r->err, "");
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(line, sizeof(line), "%s --help", names[i]);
		snprintf(usage, sizeof(usage), "Usage: belayctl %s", names[i]);
		r = run(line);
		CHECK_EQ(r->status, CTL_OK);
		CHECK(strstr(r->out, usage) == r->out);
		CHECK(strstr(r->out, "--json"));
	}
}

TEST(version, "--version prints the version")
{
	struct run *r = run("--version");

	CHECK_EQ(r->status, CTL_OK);
	CHECK_STR(r->out, "belayctl " BELAY_VERSION "\n");
}

TEST(unknown, "an unknown command or option is named, and the way to the help")
{
	USAGE("frobnicate", "there is no command \"frobnicate\"");
	USAGE("frobnicate", "Try: belayctl --help");
	USAGE("--frobnicate", "no option --frobnicate");
	USAGE("list --frobnicate", "no option --frobnicate");
	USAGE("list --frobnicate", "Try: belayctl list --help");
	USAGE("list -x", "no option -x");
	USAGE("list --user", "--user needs a value");
	USAGE("list --json=1", "--json=1 takes no value");
	USAGE("list --help=1", "--help=1 takes no value");
	USAGE("--version=1", "--version=1 takes no value");
	USAGE("list -V", "there is no option -V after a command; for the version: belayctl -V");
	USAGE("list --version", "there is no option --version\n");
	USAGE("list --frobnicate", "there is no option --frobnicate\n");
	USAGE("recall --re 3 --no", "--no is ambiguous: --no-headings, --node, --no-wait\n");
	USAGE("list --no-h=3", "--no-h=3 takes no value");
}

TEST(too_much, "an argument that has no place is named")
{
	USAGE("status now", "\"now\"");
	USAGE("reload now", "\"now\"");
	USAGE("list grants regions", "\"regions\" is too much");
	USAGE("list everything", "no list of \"everything\": accounts, grants or regions");
	USAGE("limit show system system", "is too much");
	USAGE("limit raise", "not \"raise\"");
	USAGE("limit set system 1G 2G", "\"2G\" is too much");
	USAGE("recall 3:1", "\"3:1\" is too much");
	USAGE("list accounts --pid 3", "not accounts");
}

TEST(limit_arguments, "limit set wants an account and a limit that is one")
{
	USAGE("limit set", "needs an account");
	USAGE("limit set system", "needs a limit");
	USAGE("limit set system lots", "\"lots\" is no size");
	USAGE("limit set system 1.3", "no whole number of bytes");
	USAGE("limit set system 99999999999G", "too large");
	USAGE("limit set system -5", "no option -5");
	USAGE("limit set system 1G --regions many", "\"many\" is no number of regions");
	USAGE("limit show --regions 3", "--regions is for limit set");
	USAGE("limit set user/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1G",
	      "is no account");
}

TEST(recall_arguments, "recall wants a selection, well-formed")
{
	USAGE("recall", "recall what?");
	USAGE("recall --deadline 3s", "recall what?");
	USAGE("recall --grant 3 --grant 4", "--grant is given twice");
	USAGE("recall --grant 0", "not the number of a grant");
	USAGE("recall --grant 18446744073709551616", "not the number of a grant");
	USAGE("recall --grant x", "not the number of a grant");
	USAGE("recall --pid -1", "not the number of a process");
	USAGE("recall --pid 2147483648", "not the number of a process");
	USAGE("recall --region 0", "not the number of a region");
	USAGE("recall --region 3:17.2", "not the number of a region");
	USAGE("recall --region -3", "not the number of a region");
	USAGE("recall --grant 3 --deadline soon", "is no time");
	USAGE("recall --grant 3 --deadline 0", "longer than nothing");
	USAGE("recall --grant 3 --deadline 10ns", "longer than nothing");
	USAGE("recall --grant 3 --deadline 721h", "at most 720h");
	USAGE("recall --grant 3 --escalate nuke", "keep, release or kill");
	USAGE("recall --grant 3 --wait --no-wait", "--wait and --no-wait exclude each other");
	USAGE("recall --grant 3 --no-wait --wait", "--wait and --no-wait exclude each other");
}

TEST(unknown_user, "a user that does not exist is \"no such thing\"")
{
	CHECK_RUN(run("recall --user no.such.user"), CTL_NOT_FOUND, "no user \"no.such.user\"");
	CHECK_RUN(run("list --user no.such.user"), CTL_NOT_FOUND, "no user \"no.such.user\"");
	USAGE("list --user 4294967295", "more than a user's number");
}

TEST(not_running, "without a daemon: one plain sentence, and a status of its own")
{
	struct run *r;
	char want[256];

	nobody_there();
	r = run("");
	CHECK_EQ(r->status, CTL_NOT_RUNNING);
	snprintf(want, sizeof(want), "belayctl: belayd is not running: nothing answers at %s. "
		 "Is that its socket? Check --socket, or BELAY_SOCKET\n", fake.path);
	CHECK_STR(r->err, want);
	CHECK_STR(r->out, "");
	CHECK_RUN(run("list --json"), CTL_NOT_RUNNING, "is not running");
	CHECK_RUN(run("limit set system 1G"), CTL_NOT_RUNNING, "is not running");
	CHECK_RUN(run("recall --pid 1"), CTL_NOT_RUNNING, "is not running");
	CHECK_RUN(run("reload"), CTL_NOT_RUNNING, "is not running");
}

TEST(socket_names, "the socket is --socket, before or after the command, else $BELAY_SOCKET")
{
	struct ctl c;

	CHECK_RUN(run("--socket /tmp/a.belay status"), CTL_NOT_RUNNING, "/tmp/a.belay");
	CHECK_RUN(run("status --socket /tmp/b.belay"), CTL_NOT_RUNNING, "/tmp/b.belay");
	setenv("BELAY_SOCKET", "/tmp/c.belay", 1);
	ctl_init(&c, stdout, stderr);
	CHECK_RUN(run_with(&c, "status"), CTL_NOT_RUNNING, "/tmp/c.belay");
	setenv("BELAY_SOCKET", "", 1);
	ctl_init(&c, stdout, stderr);
	CHECK_STR(c.socket, BL_SOCKET_PATH);
}

TEST(long_socket, "a path that no socket can have is refused, not cut")
{
	char line[256];

	memset(line, 0, sizeof(line));
	strcpy(line, "status --socket /");
	memset(line + strlen(line), 'a', 120);
	USAGE(line, "too long");
}

TEST(amounts, "amounts are rounded down to three digits, exact with --bytes")
{
	struct ctl c;
	char buf[CTL_CELL];

	ctl_init(&c, stdout, stderr);
	CHECK_STR(ctl_bytes(&c, 0, buf), "0 B");
	CHECK_STR(ctl_bytes(&c, 1023, buf), "1023 B");
	CHECK_STR(ctl_bytes(&c, 4096, buf), "4 KiB");
	CHECK_STR(ctl_bytes(&c, 1536 << 10, buf), "1.5 MiB");
	CHECK_STR(ctl_bytes(&c, (64 << 20) - 4096, buf), "63.9 MiB");
	CHECK_STR(ctl_bytes(&c, 1ULL << 30, buf), "1 GiB");
	CHECK_STR(ctl_bytes(&c, 1263534080, buf), "1.17 GiB");
	CHECK_STR(ctl_bytes(&c, 1000ULL << 20, buf), "1000 MiB");
	CHECK_STR(ctl_bytes(&c, 1ULL << 63, buf), "8 EiB");
	CHECK_STR(ctl_bytes(&c, UINT64_MAX - 1, buf), "15.9 EiB");
	CHECK_STR(ctl_bytes(&c, UINT64_MAX, buf), "unlimited");
	c.bytes = true;
	CHECK_STR(ctl_bytes(&c, 4097, buf), "4097");
	CHECK_STR(ctl_percent(1, 3, buf), "33%");
	CHECK_STR(ctl_percent(4096, 0, buf), ">100%");
	CHECK_STR(ctl_percent(4096, UINT64_MAX, buf), "-");
}

TEST(times, "spans of time show their two largest units")
{
	char buf[CTL_CELL];

	CHECK_STR(ctl_duration(0, buf), "0s");
	CHECK_STR(ctl_duration(1, buf), "0.0s");
	CHECK_STR(ctl_duration(420000000, buf), "0.4s");
	CHECK_STR(ctl_duration(59999999999, buf), "59s");
	CHECK_STR(ctl_duration(125000000000, buf), "2m05s");
	CHECK_STR(ctl_duration(3600000000000, buf), "1h00m");
	CHECK_STR(ctl_duration(273600000000000, buf), "3d4h");
}

TEST(states, "the bits of a validity word have names, unknown ones a number")
{
	char buf[CTL_CELL];

	CHECK_STR(ctl_state(0, buf), "valid");
	CHECK_STR(ctl_state(1, buf), "suspect");
	CHECK_STR(ctl_state(6, buf), "lost,recalled");
	CHECK_STR(ctl_state(0x48, buf), "released,0x40");
	CHECK_STR(ctl_state(0xffffffff, buf), "registering,suspect,lost,recalled,released,0x7ffffff0");
}

TAP_MAIN()
