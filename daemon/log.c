/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "daemon/core/bucket.h"
#include "daemon/log.h"

/* Enough to see what a client does, too little to drown the journal. */
#define CLIENT_BURST	50
#define CLIENT_PER_SEC	5

static int max_level = LOG_INFO;

void bl_log_set_level(int level)
{
	max_level = level;
}

/* One write for one line: lines of other writers do not get between. */
static void write_line(int level, const char *fmt, va_list ap)
{
	static int journal = -1;
	char line[1024];
	int n = 0, m;

	if (level > max_level)
		return;
	if (journal < 0)
		journal = getenv("JOURNAL_STREAM") != NULL;
	if (journal)
		n = snprintf(line, sizeof(line), "<%d>", level);
	else
		n = snprintf(line, sizeof(line), "belayd: ");
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;	/* there is nobody to tell */
}

void bl_log(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(level, fmt, ap);
	va_end(ap);
}

void bl_log_client(int level, const char *fmt, ...)
{
	static struct bl_bucket bucket;
	static unsigned int suppressed;
	struct timespec ts;
	uint64_t now;
	va_list ap;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	if (!bl_bucket_take(&bucket, CLIENT_BURST, CLIENT_PER_SEC, now)) {
		suppressed++;
		return;
	}
	if (suppressed)
		bl_log(level, "(%u more lines about clients)", suppressed);
	suppressed = 0;
	va_start(ap, fmt);
	write_line(level, fmt, ap);
	va_end(ap);
}
