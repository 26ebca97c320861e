// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * stress-ng in the storm: its stressors map, unmap, move, fork, swap, migrate, split and
 * collapse memory. Two at a time for a while, then others, until each has had its turn.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/tap.h"
#include "tests/stress/storm.h"

/* Each with what keeps it from taking all the machine's memory. */
static const char *const stressors[] = {
	"--mmap 1 --mmap-bytes 16M", "--mremap 1 --mremap-bytes 8M", "--munmap 1",
	"--mmapfork 1", "--mmapfixed 1", "--mmaphuge 1 --mmaphuge-mmaps 8",
	"--madvise 1", "--mprotect 1", "--mlock 1", "--msync 1 --msync-bytes 8M",
	"--stack 1", "--shm 1 --shm-bytes 4M", "--memfd 1 --memfd-bytes 8M",
	"--remap 1", "--pagemove 1 --pagemove-bytes 8M", "--pageswap 1", "--numa 1",
	"--vm 1 --vm-bytes 16M --vm-madvise mergeable", "--vm-rw 1 --vm-rw-bytes 8M",
	"--vm-splice 1 --vm-splice-bytes 1M", "--vm-segv 1", "--fork 1 --fork-max 2",
	"--rmap 1", "--tlb-shootdown 1", "--mincore 1", "--userfaultfd 1 --userfaultfd-bytes 4M",
};
static_assert(sizeof(stressors) / sizeof(stressors[0]) == STRESSORS, "all have a place");
#define STRESS_SECONDS	8
#define STRESS_SAID	"/tmp/storm.stress"

/* stress-ng(1), EXIT STATUS */
enum { STRESS_USAGE = 1, STRESS_FAILED = 2, STRESS_NOT_HERE = 4 };

pid_t storm_start(const char *const *words, const char *to)
{
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	setpgid(0, 0);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execvp(words[0], (char **)words);
	_exit(127);
}

/* A call that fails is no surprise here, memory that is not what it was is. */
static bool says_fail(void)
{
	bool found = false;
	char line[256];
	FILE *f = fopen(STRESS_SAID, "r");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " fail:") && !strstr(line, "errno=");
	if (f)
		fclose(f);
	return found;
}

/* Too little memory is to be expected now and then, and what comes of it. */
static bool is_fault(int status)
{
	int code = WEXITSTATUS(status);

	return WIFEXITED(status) && (code == STRESS_USAGE || code == STRESS_NOT_HERE ||
				     (code == STRESS_FAILED && says_fail()) || code > 125);
}

static void stress_ended(struct stress *s, int status)
{
	bool stopped = s->cut && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	unsigned int i;

	if (stopped || (WIFEXITED(status) && !WEXITSTATUS(status))) {
		s->turns++;
		s->turns_cut += stopped;
		for (i = 0; i < STRESS_AT_ONCE; i++)
			s->worked[s->at_work[i]] = true;
		return;
	}
	s->turns_bad++;
	tap_diag("%s, %s: status %#x", stressors[s->at_work[0]], stressors[s->at_work[1]], status);
	tap_diag_file(STRESS_SAID);
	fflush(stdout);
	if (is_fault(status))
		FAIL("stress-ng ended with status %#x", status);
}

/*
 * They look at the clock only between two rounds of their work, and one of those can
 * take minutes here; so they are stopped.
 */
static bool stress_is_over(struct stress *s)
{
	double limit = STRESS_SECONDS * (bk_is_slow() ? 6 : 3);
	int status;

	if (!s->ended && waitpid(s->pid, &status, WNOHANG) == s->pid) {
		s->ended = true;
		stress_ended(s, status);
	}
	if (!s->ended && !s->cut && tap_now() > s->since + limit) {
		s->cut = true;
		kill(-s->pid, SIGKILL);
	}
	/* Its workers are nobody's children then, and may be busy in the kernel. */
	return s->ended && kill(-s->pid, 0) < 0 && errno == ESRCH;
}

/* Each once, in any order, before any comes again. */
static unsigned int next_stressor(struct stress *s, uint32_t *seed)
{
	unsigned int other, i;

	if (!s->left)
		for (; s->left < STRESSORS; s->left++)
			s->deck[s->left] = s->left;
	other = bk_random(seed) % s->left--;
	i = s->deck[other];
	s->deck[other] = s->deck[s->left];
	return i;
}

/* Two of them for a while, then others. */
void stress_turn(struct stress *s, uint32_t *seed)
{
	char seconds[16], text[STRESS_AT_ONCE][80];
	const char *words[32] = { "stress-ng", "--oomable", "--timeout", seconds };
	unsigned int n = 4, i;
	char *rest;

	if (s->pid > 0 && !stress_is_over(s))
		return;
	s->cut = s->ended = false;
	snprintf(seconds, sizeof(seconds), "%d", STRESS_SECONDS);
	for (i = 0; i < STRESS_AT_ONCE; i++) {
		s->at_work[i] = next_stressor(s, seed);
		snprintf(text[i], sizeof(text[i]), "%s", stressors[s->at_work[i]]);
		for (rest = text[i]; (words[n] = strtok(rest, " ")); rest = NULL)
			n++;
	}
	s->pid = CHECK_SYS(storm_start(words, STRESS_SAID));
	s->since = tap_now();
}

void stress_end(struct stress *s)
{
	if (s->pid <= 0)
		return;
	kill(-s->pid, SIGKILL);
	/* That was no turn: it may just have begun. */
	if (!s->ended)
		CHECK_SYS(waitpid(s->pid, NULL, 0));
	s->ended = true;
	CHECK_SOON(stress_is_over(s), 60);
}

void stress_judge(const struct stress *s, unsigned int at_least)
{
	unsigned int i, worked = 0;

	for (i = 0; i < STRESSORS; i++)
		worked += s->worked[i];
	tap_diag("%u of %u stressors; %u turns, of which %u took too long; %u failed", worked,
		 STRESSORS, s->turns, s->turns_cut, s->turns_bad);
	CHECK_GE(s->turns, at_least);
	CHECK_LE(s->turns_bad, s->turns / 2 + 1);
}
