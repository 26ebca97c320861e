/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* Logging waits for nobody, loses nothing silently, and knows when it is the journal's. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/sys/log.h"
#include "tests/lib/tap.h"

#define LINES 5000

/* Standard error becomes that; the other end is returned. */
static int stderr_to(int pair[2])
{
	CHECK_SYS(dup2(pair[1], STDERR_FILENO));
	close(pair[1]);
	return pair[0];
}

/* What comes in a second; lines of ours, and those that are said to be dropped. */
static void count(int fd, unsigned int *ret_lines, unsigned int *ret_dropped)
{
	static char buf[LINES * 100];
	size_t len = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char *line, *save;
	unsigned int n;
	ssize_t got;

	while (poll(&p, 1, 1000) > 0) {
		got = CHECK_SYS(read(fd, buf + len, sizeof(buf) - len - 1));
		if (!got)
			break;
		len += (size_t)got;
	}
	buf[len] = '\0';
	*ret_lines = *ret_dropped = 0;
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "belayd: %u lines dropped", &n) == 1)
			*ret_dropped += n;
		else if (sscanf(line, "belayd: line %u of", &n) == 1)
			++*ret_lines;
		else
			FAIL("a line that is none: %s", line);
	}
}

static void log_to(int pair[2])
{
	unsigned int lines, dropped, i;
	double begin = tap_now();
	int fd = stderr_to(pair);

	CHECK_OK(bl_log_start());
	for (i = 0; i < LINES; i++)
		bl_log(LOG_WARNING, "line %u of what nobody reads for now", i);
	CHECK_LT(tap_now() - begin, 5);
	begin = tap_now();
	bl_log_stop();
	CHECK_LT(tap_now() - begin, 10);	/* nor does it end later for that */
	count(fd, &lines, &dropped);
	tap_diag("%u lines came, %u were dropped", lines, dropped);
	CHECK_EQ(lines + dropped, LINES);
	CHECK_GT(dropped, 0);
	CHECK_GT(lines, 100);
}

TEST_TIMEOUT(pipe_full, "a pipe that is not read holds up nobody, and what was dropped is counted", 30)
{
	int pair[2];

	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	log_to(pair);
}

TEST_TIMEOUT(socket_full, "nor does a socket, which the journal's is", 30)
{
	int pair[2], size = 8192;

	CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	log_to(pair);
}

TEST(shared, "standard error itself is left as it was, since others have it, too")
{
	int pair[2], flags;

	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	stderr_to(pair);
	flags = CHECK_SYS(fcntl(STDERR_FILENO, F_GETFL));
	CHECK_OK(bl_log_start());
	bl_log(LOG_WARNING, "something");
	bl_log_stop();
	CHECK_EQ(fcntl(STDERR_FILENO, F_GETFL), flags);
}

TEST(ordinary, "lines come in order, all of them, also the last before the end")
{
	char buf[4096] = "", want[4096] = "";
	int pair[2], i;

	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	stderr_to(pair);
	bl_log(LOG_ERR, "line 0");
	CHECK_OK(bl_log_start());
	for (i = 1; i < 100; i++)
		bl_log(LOG_ERR, "line %d", i);
	bl_log_stop();
	bl_log(LOG_ERR, "line 100");
	for (i = 0; i <= 100; i++)
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "belayd: line %d\n", i);
	CHECK_SYS(read(pair[0], buf, sizeof(buf) - 1));
	CHECK_STR(buf, want);
}

/* The first line that is logged with that in $JOURNAL_STREAM. */
static void first_line(const char *stream, char *buf, size_t len)
{
	int pair[2];
	ssize_t n;

	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	stderr_to(pair);
	CHECK_SYS(setenv("JOURNAL_STREAM", stream, 1));
	bl_log(LOG_WARNING, "text");
	n = CHECK_SYS(read(pair[0], buf, len - 1));
	buf[n] = '\0';
}

TEST(not_journal, "levels are for the journal: not when JOURNAL_STREAM is about another file")
{
	char buf[64];

	first_line("1:2", buf, sizeof(buf));
	CHECK_STR(buf, "belayd: text\n");
}

TEST(journal_garbage, "nor when it is no pair of numbers")
{
	char buf[64];

	first_line("yes", buf, sizeof(buf));
	CHECK_STR(buf, "belayd: text\n");
}

TEST(journal, "and they are there when it is about standard error")
{
	char buf[64], stream[64];
	int pair[2];
	struct stat st;

	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	stderr_to(pair);
	CHECK_SYS(fstat(STDERR_FILENO, &st));
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	CHECK_SYS(setenv("JOURNAL_STREAM", stream, 1));
	bl_log(LOG_WARNING, "text");
	buf[CHECK_SYS(read(pair[0], buf, sizeof(buf) - 1))] = '\0';
	CHECK_STR(buf, "<4>text\n");
}

TAP_MAIN()
