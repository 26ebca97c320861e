// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define SYSFS	"/sys/class/misc/belay/"

static void read_text(const char *path, char *text, size_t room)
{
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	n = read(fd, text, room - 1);
	if (n < 0)
		FAIL("%s: %s", path, strerror(errno));
	text[n] = 0;
	close(fd);
}

uint64_t bk_read(const char *path)
{
	char text[64], *end;
	uint64_t v;

	read_text(path, text, sizeof(text));
	v = strtoull(text, &end, 10);
	if (end == text)
		FAIL("%s holds no number: %s", path, text);
	return v;
}

bool bk_readable(const char *path)
{
	return !access(path, R_OK);
}

uint64_t bk_sysfs(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), SYSFS "%s", name);
	return bk_read(path);
}

uint64_t bk_seen(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), SYSFS "events/%s", name);
	return bk_read(path);
}

uint64_t bk_field(const char *path, const char *name)
{
	static char text[64 << 10];
	unsigned long long v;
	size_t len = strlen(name);
	char *p, unit[4] = "";

	read_text(path, text, sizeof(text));
	for (p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p) {
		if (strncmp(p, name, len) || (p[len] != ' ' && p[len] != ':'))
			continue;
		p += len + (p[len] == ':');
		if (sscanf(p, "%llu %3s", &v, unit) >= 1)
			return !strcmp(unit, "kB") || !strcmp(unit, "KiB") ? v << 10 : v;
	}
	FAIL("%s has no %s", path, name);
}

uint64_t bk_vm_pin(void)
{
	return bk_field("/proc/self/status", "VmPin");
}

int64_t bk_pins(void)
{
	/* They are kept per CPU. */
	bk_write("/proc/sys/vm/stat_refresh", "1");
	return (int64_t)(bk_field("/proc/vmstat", "nr_foll_pin_acquired") -
			 bk_field("/proc/vmstat", "nr_foll_pin_released"));
}

void bk_write(const char *path, const char *text)
{
	int fd;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	if (write(fd, text, strlen(text)) < 0)
		FAIL("%s into %s: %s", text, path, strerror(errno));
	close(fd);
}

void bk_load(void)
{
	struct utsname name;
	char path[128];
	int fd;

	if (bk_readable("/sys/module/belay"))
		return;
	CHECK_SYS(uname(&name));
	snprintf(path, sizeof(path), "build/kmod/%.64s/belay.ko", name.release);
	fd = CHECK_SYS(open(path, O_RDONLY | O_CLOEXEC));
	CHECK_SYS(syscall(SYS_finit_module, fd, "", 0));
	close(fd);
	CHECK_SOON(bk_readable("/dev/belay"), 5);
}

int bk_unload(void)
{
	return syscall(SYS_delete_module, "belay", O_NONBLOCK) ? -errno : 0;
}

int bk_steal_fd(pid_t pid, int fd)
{
	int pidfd, copy;

	pidfd = CHECK_SYS(syscall(SYS_pidfd_open, pid, 0));
	copy = CHECK_SYS(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
	close(pidfd);
	return copy;
}

unsigned int bk_nodes(void)
{
	unsigned int n = 0;
	char path[64];

	do
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", n);
	while (!access(path, F_OK) && ++n);
	return n;
}

void bk_run_on_cpu(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_SYS(sched_setaffinity(0, sizeof(set), &set));
}

unsigned int bk_rounds(unsigned int n)
{
	const char *text = getenv("FEWER");
	unsigned int fewer = text ? strtoul(text, NULL, 0) : 1;

	if (fewer <= 1 || n <= 20)
		return n;
	return n / fewer < 20 ? 20 : n / fewer;
}

bool bk_is_slow(void)
{
	return bk_rounds(400) < 400;
}

bool bk_in_part(unsigned int i)
{
	const char *text = getenv("BELAY_PART");
	unsigned int share, parts;

	return !text || sscanf(text, "%u/%u", &share, &parts) != 2 || !parts ||
		i % parts == share % parts;
}

uint32_t bk_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

uint32_t bk_seed(void)
{
	const char *text = getenv("BELAY_SEED");
	struct timespec ts;
	uint32_t seed;

	clock_gettime(CLOCK_REALTIME, &ts);
	seed = text ? strtoul(text, NULL, 0)
		    : (uint32_t)(ts.tv_nsec ^ ts.tv_sec << 10) | 1;
	tap_diag("BELAY_SEED=%u", seed);
	return seed;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bk_median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double bk_percentile99(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[(n * 99 + 99) / 100 - 1];
}

struct bk_steps *bk_steps(void)
{
	return CHECK_SYS(mmap(NULL, sizeof(struct bk_steps), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

void bk_step(struct bk_steps *s, uint32_t to)
{
	__atomic_store_n(&s->now, to, __ATOMIC_RELEASE);
}

/* As the kernel's own report of hung tasks does, but in the test's output. */
static void say_what_hangs(uint32_t step)
{
	tap_diag("still waiting for step %u; in the kernel, and not to be interrupted:", step);
	fflush(stdout);
	if (system("for t in /proc/[0-9]*/task/*; do"
		   " grep -qs '^State:.D' $t/status || continue;"
		   " echo \"# $t $(cat $t/comm)\"; sed 's/^/#   /' $t/stack; done"))
		tap_diag("(not all of it could be read)");
}

void bk_await(struct bk_steps *s, uint32_t at_least)
{
	double start = tap_now();
	bool said = false;

	while (__atomic_load_n(&s->now, __ATOMIC_ACQUIRE) < at_least) {
		if (!said && tap_now() > start + 20) {
			say_what_hangs(at_least);
			said = true;
		}
		if (tap_now() > start + 100)
			FAIL("the other process never came to step %u", at_least);
		/* Whoever is to come to that step shall have the processors. */
		usleep(20);
	}
}
