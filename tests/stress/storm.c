// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Everything at once, for $MINUTES: belayd and four clients of it (storm_client.c), which
 * register, trim, lose and compare memory of all kinds; stress-ng, whose stressors map,
 * unmap, move, fork, swap, migrate, split and collapse; khugepaged and ksmd at full
 * speed; limits and recalls that change at random; files truncated and pages migrated
 * under the clients; clients and the daemon killed at any moment.
 *
 * It passes if no client ever sees a valid region whose pages have changed, nobody gets
 * an error that is not documented, limits hold, and when all is over nothing is held;
 * and if the kernel has not complained, which the test runner sees.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/tap.h"
#include "tests/stress/storm.h"

#define CLIENTS_MAX	4
#define SOCKET		"/run/belay/belay.sock"
#define CONFIG		"/tmp/storm.conf"
/* What all clients may hold together; limits at random are below. */
#define MAX_MIB		48

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define KSM "/sys/kernel/mm/ksm/"

struct weather {
	struct storm *s;
	uint32_t seed;
	pid_t daemon, clients[CLIENTS_MAX];
	struct stress stress;
	double ends;
	uint64_t daemon_kills, client_kills, limits_set, recalls, truncations, migrations,
		over;
	uint64_t ksm_sharing;	/* the most that was seen */
};

static uint32_t choose(struct weather *w, uint32_t n)
{
	return bk_random(&w->seed) % n;
}

static int run(const char *const *words)
{
	pid_t pid = storm_start(words, "/dev/null");
	int status;

	CHECK_SYS(waitpid(pid, &status, 0));
	/* SIGKILL: memory was short. */
	if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) > 125)
		FAIL("%s %s has ended with status %#x", words[0], words[1], status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the daemon ----------------------------------------------------------------- */

static void start_daemon(struct weather *w)
{
	const char *const words[] = { "belayd", "-c", CONFIG, "-s", SOCKET, NULL };

	w->daemon = CHECK_SYS(storm_start(words, "/dev/null"));
}

/* It ends when it is told to, and not otherwise. */
static void end_daemon(struct weather *w, int sig)
{
	int status;

	if (waitpid(w->daemon, &status, WNOHANG))
		FAIL("belayd has ended by itself: status %#x", status);
	kill(w->daemon, sig);
	CHECK_SYS(waitpid(w->daemon, &status, 0));
	if (sig == SIGKILL ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status)
		FAIL("belayd has ended with status %#x", status);
}

static void kill_daemon(struct weather *w)
{
	end_daemon(w, SIGKILL);
	start_daemon(w);
	w->daemon_kills++;
}

static void write_config(void)
{
	FILE *f = fopen(CONFIG, "w");

	CHECK(f);
	fprintf(f, "[system]\nmax = %uM\n[default]\nmax = %uM\n", MAX_MIB, MAX_MIB);
	fclose(f);
	mkdir("/run/belay", 0755);
}

/* Failing is part of it: the daemon may have been killed a moment ago. */
static void set_limit(struct weather *w)
{
	static const char *const of[] = { "system", "user/root" };
	char max[32];
	const char *words[] = { "belayctl", "limit", "set", of[choose(w, 2)], max, NULL };

	snprintf(max, sizeof(max), "%uM", 1 + choose(w, MAX_MIB));
	w->limits_set += !run(words);
}

static void recall(struct weather *w)
{
	static const char *const escalations[] = { "keep", "release", "kill" };
	char pid[16];
	/* One in four waits until all is gone, or the deadline has passed. */
	const char *words[] = { "belayctl", "recall", "--pid", pid, "--deadline", "1s",
				"--escalate", escalations[choose(w, 3)],
				choose(w, 4) ? "--no-wait" : NULL, NULL };

	snprintf(pid, sizeof(pid), "%d", w->clients[choose(w, CLIENTS_MAX)]);
	w->recalls += !run(words);
}

static void list(struct weather *w)
{
	const char *words[] = { "belayctl", "list", choose(w, 2) ? "regions" : "grants", NULL };

	run(words);
}

/* ---- clients ---------------------------------------------------------------------- */

static void start_client(struct weather *w, int n)
{
	uint32_t seed = bk_random(&w->seed);
	pid_t parent = getpid();

	w->clients[n] = CHECK_SYS(fork());
	if (w->clients[n])
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		storm_client(w->s, seed);
	_exit(0);
}

/* A client ends by itself only if there was no daemon; a failed CHECK is 1, a crash a signal. */
static void reap_clients(struct weather *w)
{
	int i, status;

	for (i = 0; i < CLIENTS_MAX; i++) {
		if (waitpid(w->clients[i], &status, WNOHANG) != w->clients[i])
			continue;
		if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status))
			FAIL("a client ended with status %#x", status);
		start_client(w, i);
	}
}

static void kill_client(struct weather *w)
{
	kill(w->clients[choose(w, CLIENTS_MAX)], SIGKILL);
	w->client_kills++;
}

/* ---- what others do to memory -------------------------------------------------------- */

static void truncate_file(struct weather *w)
{
	int fd = w->s->files[choose(w, STORM_FILES)];
	off_t at = choose(w, STORM_FILE_PAGES) * BK_PAGE;

	if (choose(w, 2)) {
		CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 4 * BK_PAGE));
	} else {
		CHECK_SYS(ftruncate(fd, at));
		CHECK_SYS(ftruncate(fd, STORM_FILE_PAGES * BK_PAGE));
	}
	w->truncations++;
}

static void migrate(struct weather *w)
{
	unsigned long from = 1UL << choose(w, 2), to = from ^ 3;

	if (syscall(SYS_migrate_pages, w->clients[choose(w, CLIENTS_MAX)], 3, &from, &to) >= 0)
		w->migrations++;
}

static void compact(struct weather *w)
{
	bk_write("/proc/sys/vm/compact_memory", "1");
}

/* ---- all of it ------------------------------------------------------------------------ */

static void look_at_limit(struct weather *w)
{
	uint64_t sharing = bk_read(KSM "pages_sharing");

	/* The highest that the limits ever are. */
	if (bk_sysfs("charged_bytes") > (uint64_t)MAX_MIB << 20)
		w->over++;
	if (sharing > w->ksm_sharing)
		w->ksm_sharing = sharing;
}

static void report(struct weather *w, double left)
{
	struct storm *s = w->s;

	tap_diag("%4.0f s left; %llu pinned, %llu tracked, %llu watched, %llu trimmed, %llu lost, "
		 "%llu compared, %llu requests; killed: %llu clients, %llu daemons; %u turns of stressors",
		 left, (unsigned long long)s->count[PINNED], (unsigned long long)s->count[TRACKED],
		 (unsigned long long)s->count[WATCHED], (unsigned long long)s->count[TRIMMED],
		 (unsigned long long)(s->count[LOST] + s->count[LOST_AT_ONCE]),
		 (unsigned long long)s->count[COMPARED], (unsigned long long)s->count[REQUESTS],
		 (unsigned long long)w->client_kills, (unsigned long long)w->daemon_kills,
		 w->stress.turns);
	fflush(stdout);
}

static void full_speed(void)
{
	bk_write(THP "enabled", "always");
	bk_write(THP "khugepaged/scan_sleep_millisecs", "0");
	bk_write(THP "khugepaged/alloc_sleep_millisecs", "0");
	bk_write(KSM "sleep_millisecs", "0");
	bk_write(KSM "pages_to_scan", "500");
	bk_write(KSM "run", "1");
	if (system("modprobe -q zram && echo 256M > /sys/block/zram0/disksize &&"
		   "mkswap -q /dev/zram0 && swapon /dev/zram0"))
		FAIL("no swap on zram");
}

static void calm(void)
{
	bk_write(KSM "run", "2");
	bk_write(KSM "run", "0");
	bk_write(THP "khugepaged/scan_sleep_millisecs", "10000");
	bk_write(THP "khugepaged/alloc_sleep_millisecs", "60000");
	bk_write(KSM "sleep_millisecs", "20");
	if (system("swapoff /dev/zram0 && echo 1 > /sys/block/zram0/reset"))
		FAIL("swap cannot be turned off");
}

static void begin(struct weather *w)
{
	int i;

	w->s = mmap(NULL, sizeof(*w->s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(w->s != MAP_FAILED);
	for (i = 0; i < STORM_FILES; i++)
		w->s->files[i] = bk_file(BK_MEMFD, STORM_FILE_PAGES * BK_PAGE);
	bk_hugepages(24);
	bk_ext4();
	write_config();
	full_speed();
	start_daemon(w);
	for (i = 0; i < CLIENTS_MAX; i++)
		start_client(w, i);
}

/* All of them in each round, in any order. */
static void shuffle(struct weather *w, void (**acts)(struct weather *), unsigned int n)
{
	void (*act)(struct weather *);
	unsigned int other;

	while (n > 1) {
		other = choose(w, n--);
		act = acts[n];
		acts[n] = acts[other];
		acts[other] = act;
	}
}

static void go_on(struct weather *w)
{
	/* Those that start a program are dear. */
	void (*acts[])(struct weather *) = {
		truncate_file, truncate_file, truncate_file, truncate_file, migrate, migrate,
		migrate, kill_client, look_at_limit, set_limit, recall, list,
	};
	const unsigned int n = sizeof(acts) / sizeof(acts[0]);
	double next = 0, now;
	unsigned int step;

	for (step = 0; (now = tap_now()) < w->ends; step++) {
		if (now > next) {
			report(w, w->ends - now);
			next = now + 30;
			compact(w);
		}
		if (step % n == 0)
			shuffle(w, acts, n);
		acts[step % n](w);
		if (step % (2 * n) == n)
			kill_daemon(w);
		reap_clients(w);
		stress_turn(&w->stress, &w->seed);
		look_at_limit(w);
		usleep(choose(w, 200000));
	}
	report(w, 0);
}

/* Clients first: the daemon is to hear of it, and forget them. */
static void end(struct weather *w)
{
	static const char *const status[] = { "belayctl", "status", NULL };
	int i, ctl;

	for (i = 0; i < CLIENTS_MAX; i++) {
		kill(w->clients[i], SIGKILL);
		CHECK_SYS(waitpid(w->clients[i], NULL, 0));
	}
	stress_end(&w->stress);
	CHECK_SOON(!bk_sysfs("regions") && !bk_sysfs("sessions") && !bk_sysfs("grants"), 60);
	CHECK_EQ(bk_sysfs("pinned_bytes"), 0);
	CHECK_EQ(bk_sysfs("charged_bytes"), 0);
	/* One that has only just begun ends by the signal itself. */
	CHECK_SOON(!run(status), 60);
	end_daemon(w, SIGTERM);
	ctl = bk_open_control();
	bk_sweep(ctl);
	close(ctl);
	calm();
	for (i = 0; i < STORM_FILES; i++)
		close(w->s->files[i]);
}

/*
 * It was a storm: of everything, at least so much in a minute. The debug kernel gets
 * through some 30 acts in one, and its stressors take several times their seconds to end.
 */
static void judge(struct weather *w, const uint64_t *before, unsigned int minutes)
{
	static const char *const events[] = { "thp_collapse_alloc", "pswpout", "pgmigrate_success" };
	unsigned int i, rounds = bk_rounds(100 * minutes);
	unsigned int few = bk_is_slow() ? (minutes + 1) / 2 : minutes;

	for (i = 0; i < COUNTS; i++)
		if (i != RELEASED && i != NOT_THERE && i != CLIENTS)
			CHECK_GE(w->s->count[i], i == FORKED || i == OVER_LIMIT || i == COMMIT_AGAIN ?
				 1 : i == REQUESTS ? rounds / 50 + 1 : rounds / 5);
	for (i = 0; i < BK_KINDS; i++) {
		tap_diag("%s: %llu registered", bk_kind_name(i), (unsigned long long)w->s->of_kind[i]);
		CHECK_GE(w->s->of_kind[i], 1);
	}
	CHECK_EQ(w->over, 0);
	CHECK_GE(w->daemon_kills, few);
	CHECK_GE(w->client_kills, few);
	CHECK_GE(w->limits_set, few);
	CHECK_GE(w->recalls, 1);
	CHECK_GE(w->truncations, 2 * few);
	CHECK_GE(w->migrations, few);
	for (i = 0; i < 3; i++) {
		tap_diag("%s: %llu", events[i],
			 (unsigned long long)(bk_field("/proc/vmstat", events[i]) - before[i]));
		CHECK_GT(bk_field("/proc/vmstat", events[i]), before[i]);
	}
	CHECK_GT(w->ksm_sharing, 0);
	stress_judge(&w->stress, bk_is_slow() ? few : 2 * few);
}

TEST_TIMEOUT(storm, "registrations hold their promise while all else happens at once, and nothing is left", 7 * 24 * 3600)
{
	const char *text = getenv("MINUTES");
	unsigned int minutes = text ? atoi(text) : 2;
	struct weather w = { .seed = bk_seed() };
	uint64_t before[] = {
		bk_field("/proc/vmstat", "thp_collapse_alloc"),
		bk_field("/proc/vmstat", "pswpout"),
		bk_field("/proc/vmstat", "pgmigrate_success"),
	};

	CHECK_GT(minutes, 0);
	begin(&w);
	w.ends = tap_now() + 60.0 * minutes;
	go_on(&w);
	end(&w);
	judge(&w, before, minutes);
}

TAP_MAIN()
