// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Unloading: refused while anything of a client or of the policy owner is open, and
 * otherwise clean, whatever was left behind. Each test loads the module if the one
 * before could not.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define EVENTS	"/sys/kernel/tracing/events/belay"

#define CYCLES	20

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

static bool is_loaded(void)
{
	return exists("/sys/module/belay");
}

static bool is_refused(void)
{
	int err = bk_unload();

	return (err == -EWOULDBLOCK || err == -EBUSY) && is_loaded();
}

static void trace_all(void)
{
	/* Or the scheduler is traced, to know the names of all processes. */
	bk_write("/sys/kernel/tracing/options/record-cmd", "0");
	bk_write(EVENTS "/enable", "1");
}

/* The thread that an idle workqueue keeps has its name. */
static bool has_thread(void)
{
	char path[300], comm[32];
	struct dirent *e;
	bool found = false;
	FILE *f;
	DIR *d;

	d = opendir("/proc");
	CHECK(d);
	while (!found && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = e->d_name[0] > '0' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		found = fgets(comm, sizeof(comm), f) &&
			(!strcmp(comm, "belay\n") || !strcmp(comm, "kworker/R-belay\n"));
		fclose(f);
	}
	closedir(d);
	return found;
}

/* All that the module shows of itself, or nothing. */
static unsigned int traces_of_it(void)
{
	return is_loaded() + exists("/dev/belay") + exists("/sys/class/misc/belay") +
		exists("/sys/kernel/slab/belay_region") + exists(EVENTS) + has_thread();
}

#define ALL_TRACES	6

/* ---- refused ------------------------------------------------------------------ */

TEST(refused_while_used, "unloading is refused while a control file, a session or only its words are open, and nothing is disturbed")
{
	struct bk_region r;
	struct bk b;
	int reader;

	bk_load();
	bk_begin(&b);
	r = bk_hold(&b, bk_anon(PAGES(4), 1), PAGES(4), BELAY_PINNED, W);
	CHECK(is_refused());
	/* A session alone. */
	close(b.ctl);
	CHECK(is_refused());
	CHECK(bk_valid(&b, &r));
	CHECK_EQ(bk_check(b.fd, r.id), 0);
	CHECK_OK(bk_unregister(b.fd, r.id));
	/* A mapping of its words. */
	close(b.fd);
	CHECK(is_refused());
	CHECK_EQ(bk_sysfs("sessions"), 1);
	CHECK_SYS(munmap((void *)b.words, BELAY_WORDS_MAX * sizeof(uint64_t)));
	CHECK_SOON(bk_sysfs("sessions") == 0, 5);
	/* A reader, and the owner, alone. */
	reader = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));
	CHECK(is_refused());
	close(reader);
	b.ctl = bk_open_control();
	CHECK(is_refused());
	close(b.ctl);
	CHECK_OK(bk_unload());
	bk_load();
}

static void holder_run(void *arg)
{
	struct bk_steps *s = arg;
	struct bk b;

	bk_begin(&b);
	bk_hold(&b, bk_anon(PAGES(4), 1), PAGES(4), BELAY_TRACKED, W);
	close(b.ctl);
	s->value[0] = b.fd;
	bk_step(s, 1);
	bk_await(s, 2);
	_exit(0);
}

TEST(refused_after_death, "a session whose process is dead, open elsewhere, still refuses it; its last close allows it")
{
	struct bk_steps *s = bk_steps();
	int fd, status;
	pid_t pid;

	bk_load();
	pid = tap_spawn(holder_run, s);
	bk_await(s, 1);
	fd = bk_steal_fd(pid, s->value[0]);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SYS(waitpid(pid, &status, 0));
	CHECK(is_refused());
	/* The region is lost, and waits for its session. */
	CHECK_SOON(bk_sysfs("charged_bytes") == 0, 5);
	CHECK_EQ(bk_sysfs("regions"), 1);
	CHECK(is_refused());
	close(fd);
	CHECK_SOON(bk_unload() == 0, 5);
	CHECK_EQ(traces_of_it(), 0);
	bk_load();
}

static int event_id(const char *event)
{
	char path[128];

	snprintf(path, sizeof(path), EVENTS "/%s/id", event);
	return bk_read(path);
}

TEST(refused_by_perf, "an open perf event of it refuses unloading; events that tracefs has enabled do not")
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	int fd;

	bk_load();
	attr.config = event_id("belay_register");
	fd = CHECK_SYS(syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC));
	CHECK(is_refused());
	close(fd);
	trace_all();
	CHECK_SOON(bk_unload() == 0, 5);
	CHECK_EQ(traces_of_it(), 0);
	bk_load();
}

TEST(open_sysfs, "an open file of sysfs does not refuse it, and reads ENODEV afterwards")
{
	char text[32];
	int fd;

	bk_load();
	fd = CHECK_SYS(open("/sys/class/misc/belay/regions", O_RDONLY | O_CLOEXEC));
	CHECK_GT(CHECK_SYS(read(fd, text, sizeof(text))), 0);
	CHECK_OK(bk_unload());
	CHECK_ERRNO(pread(fd, text, sizeof(text), 0), ENODEV);
	close(fd);
	bk_load();
}

/* ---- clean ---------------------------------------------------------------------- */

/* Every kind, lost, recalled, released, refused; events that nobody deals with. */
static void work_run(void *arg)
{
	struct bk_region r[4];
	struct bk b;
	char *p;

	bk_begin_limited(&b, PAGES(64), 100);
	bk_account(b.ctl, b.account, 0, 0);
	p = bk_anon(PAGES(64), 1);
	r[0] = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	r[1] = bk_hold(&b, p + PAGES(8), PAGES(8), BELAY_TRACKED, W);
	CHECK_OK(bk_register(b.fd, p + PAGES(16), PAGES(8), BELAY_WATCHED, W, &r[2]));
	r[3] = bk_hold(&b, p + PAGES(24), PAGES(8), BELAY_PINNED, 0);
	CHECK_EQ(bk_register(b.fd, p, PAGES(65), BELAY_PINNED, W, NULL), -EDQUOT);
	CHECK_SYS(munmap(p + PAGES(2), PAGES(20)));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r[0].id, BELAY_EVENT_LOST, NULL), 5);
	CHECK_SOON(bk_find_event(b.ctl, b.session, r[1].id, BELAY_EVENT_LOST, NULL), 5);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r[1].id, 1), 0);
	CHECK_OK(bk_unregister(b.fd, r[1].id));
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r[3].id, 2), 0);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r[3].id, 0), 0);
	/* Suspect, with its worker about to look. */
	CHECK_SYS(madvise(p, PAGES(1), MADV_DONTNEED));
	if (arg)
		raise(SIGKILL);
	_exit(0);
}

static void work(unsigned int cycle)
{
	pid_t pid = tap_spawn(work_run, cycle % 2 ? &cycle : NULL);
	int status;

	CHECK_SYS(waitpid(pid, &status, 0));
	if (cycle % 2)
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	/* It did register. */
	CHECK_EQ(bk_seen("registered"), 4);
	CHECK_GE(bk_seen("lost"), 3);
	CHECK_EQ(bk_sysfs("accounts"), 2);
}

TEST_TIMEOUT(again_and_again, "loaded and unloaded 20 times, with accounts and unheard events left and events traced: nothing of it stays", 120)
{
	unsigned int i;
	int64_t pins;

	bk_load();
	CHECK_EQ(traces_of_it(), ALL_TRACES);
	CHECK_SOON(bk_unload() == 0, 5);
	pins = bk_pins();
	for (i = 0; i < CYCLES; i++) {
		bk_load();
		CHECK_EQ(traces_of_it(), ALL_TRACES);
		if (i % 3 == 0)
			trace_all();
		work(i);
		CHECK_SOON(bk_unload() == 0, 5);
		CHECK_SOON(traces_of_it() == 0, 5);
		CHECK_EQ(bk_pins(), pins);
	}
	bk_load();
}

static void look_run(void *arg)
{
	static const char *const files[] = { "/sys/class/misc/belay/regions",
		"/sys/class/misc/belay/events/lost", EVENTS "/belay_register/format",
		EVENTS "/belay_invalidate/enable" };
	struct belay_info info = { .size = sizeof(info) };
	struct bk_steps *s = arg;
	char text[4096];
	unsigned int i;
	int fd;

	while (!__atomic_load_n(&s->now, __ATOMIC_ACQUIRE)) {
		for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			fd = open(files[i], O_RDONLY | O_CLOEXEC);
			if (fd >= 0 && read(fd, text, sizeof(text)) > 0)
				s->value[1]++;
			if (fd >= 0)
				close(fd);
		}
		fd = open("/dev/belay", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		CHECK_OK(bk_ioctl(fd, BELAY_INFO, &info));
		s->value[0]++;
		close(fd);
	}
}

TEST_TIMEOUT(while_looked_at, "unloaded and loaded while another process opens everything it shows, as fast as it can", 120)
{
	struct bk_steps *s = bk_steps();
	unsigned int i, tries = 0;
	pid_t pid;

	bk_load();
	pid = tap_spawn(look_run, s);
	for (i = 0; i < CYCLES; i++) {
		while (s->value[0] <= i * 3)
			usleep(1000);
		while (bk_unload())
			tries++;
		bk_load();
	}
	tap_diag("%llu opened, %llu read, %u times refused", (unsigned long long)s->value[0],
		 (unsigned long long)s->value[1], tries);
	CHECK_GT(s->value[1], CYCLES);
	bk_step(s, 1);
	tap_join(pid);
}

TAP_MAIN()
