/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Standard error may be a pipe or a socket that nobody reads from (a journal that
 * stands still), a terminal that is stopped, a file on a disk that hangs. It is shared
 * with others, so making it non-blocking is not ours to do. So a thread writes, and
 * whoever logs only puts a line into a queue; what finds no room there is counted,
 * and told in its place.
 *
 * Before bl_log_start() there is nobody to be held up: lines are written at once.
 * The thread touches nothing but the queue. A fork() has no such thread.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/core/bucket.h"
#include "daemon/sys/log.h"

/* Enough to see what a client does, too little to drown the journal. */
#define CLIENT_BURST	50
#define CLIENT_PER_SEC	5

#define LINE_MAX_BYTES	1024
#define QUEUE_MAX	512	/* lines: what a configuration full of errors may have to say */
#define LAST_WORDS_SEC	1	/* for the queue to be written at the end */

struct line {
	STAILQ_ENTRY(line) link;
	unsigned int dropped;	/* lines before this one */
	size_t len;
	char text[];
};

static struct {
	pthread_mutex_t lock;	/* protects all that follows */
	pthread_cond_t changed;
	bool started;
	bool ended;
	bool stop;
	unsigned int count;
	unsigned int dropped;	/* since the last that was queued */
	STAILQ_HEAD(, line) lines;
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.lines = STAILQ_HEAD_INITIALIZER(queue.lines),
};

static int max_level = LOG_INFO;

void bl_log_set_level(int level)
{
	max_level = level;
}

/* As sd-daemon(3) says: it may be set, and be about somebody else's standard error. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

/* The length; with its newline, and without a NUL. */
static size_t format(char line[LINE_MAX_BYTES], int level, const char *fmt, va_list ap)
{
	static int journal = -1;
	int n, m;

	if (journal < 0)
		journal = is_journal();
	if (journal)
		n = snprintf(line, LINE_MAX_BYTES, "<%d>", level);
	else
		n = snprintf(line, LINE_MAX_BYTES, "belayd: ");
	m = vsnprintf(line + n, LINE_MAX_BYTES - (size_t)n - 1, fmt, ap);
	if (m < 0)
		return 0;
	n += m;
	if (n > LINE_MAX_BYTES - 2)
		n = LINE_MAX_BYTES - 2;
	line[n++] = '\n';
	return (size_t)n;
}

/* One write for one line: lines of other writers do not get between. */
static void write_line(const char *line, size_t len)
{
	if (write(STDERR_FILENO, line, len) < 0)
		return;	/* there is nobody to tell */
}

/* ------------------------------------------------------------------------ */
/* The thread                                                                */

__attribute__((format(printf, 2, 3)))
static void write_now(int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	write_line(line, format(line, level, fmt, ap));
	va_end(ap);
}

static void say_dropped(unsigned int n)
{
	if (n)
		write_now(LOG_WARNING, "%u lines dropped: the log was not read", n);
}

/* With the lock, which it leaves while it writes. */
static void write_first(void)
{
	struct line *l = STAILQ_FIRST(&queue.lines);
	unsigned int dropped = l ? l->dropped : queue.dropped;

	if (l) {
		STAILQ_REMOVE_HEAD(&queue.lines, link);
		queue.count--;
	} else {
		queue.dropped = 0;
	}
	pthread_mutex_unlock(&queue.lock);
	say_dropped(dropped);
	if (l)
		write_line(l->text, l->len);
	free(l);
	pthread_mutex_lock(&queue.lock);
}

static void *write_all(void *arg)
{
	pthread_mutex_lock(&queue.lock);
	for (;;) {
		if (queue.count || queue.dropped)
			write_first();
		else if (!queue.stop)
			pthread_cond_wait(&queue.changed, &queue.lock);
		else
			break;
	}
	queue.ended = true;
	pthread_cond_broadcast(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

static void enqueue(const char *text, size_t len)
{
	struct line *l = NULL;

	pthread_mutex_lock(&queue.lock);
	if (queue.count < QUEUE_MAX)
		l = malloc(sizeof(*l) + len);
	if (l) {
		l->len = len;
		memcpy(l->text, text, len);
		l->dropped = queue.dropped;
		queue.dropped = 0;
		STAILQ_INSERT_TAIL(&queue.lines, l, link);
		queue.count++;
	} else {
		queue.dropped++;
	}
	pthread_cond_broadcast(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
}

int bl_log_start(void)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int err;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&queue.changed, &attr);
	pthread_condattr_destroy(&attr);
	queue.stop = queue.ended = false;
	/* Signals are for the loop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, write_all, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	pthread_detach(thread);
	queue.started = true;
	return 0;
}

void bl_log_stop(void)
{
	struct timespec end;

	if (!queue.started)
		return;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += LAST_WORDS_SEC;
	pthread_mutex_lock(&queue.lock);
	queue.stop = true;
	pthread_cond_broadcast(&queue.changed);
	while (!queue.ended &&
	       pthread_cond_timedwait(&queue.changed, &queue.lock, &end) != ETIMEDOUT)
		;
	/* A thread that still writes goes with the process; lines go to its queue. */
	if (queue.ended)
		queue.started = false;
	pthread_mutex_unlock(&queue.lock);
}

/* ------------------------------------------------------------------------ */

static void log_line(int level, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	size_t len;

	if (level > max_level)
		return;
	len = format(line, level, fmt, ap);
	if (queue.started)
		enqueue(line, len);
	else
		write_line(line, len);
}

void bl_log(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}

void bl_log_client(int level, const char *fmt, ...)
{
	static struct bl_bucket bucket;
	static unsigned int suppressed;
	va_list ap;

	if (!bl_bucket_take(&bucket, CLIENT_BURST, CLIENT_PER_SEC, bl_boottime())) {
		suppressed++;
		return;
	}
	if (suppressed)
		bl_log(level, "(%u more lines about clients)", suppressed);
	suppressed = 0;
	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}
