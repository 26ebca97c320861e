// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* progress.c - a line on a terminal that says that, and how long, one waits */
#include <unistd.h>

#include "common/clock.h"
#include "ctl/belayctl.h"

/* Called now and then; prints nothing before its time, nor to what is no terminal. */
void ctl_progress_show(struct ctl *c, uint64_t waited, uint64_t deadline)
{
	static const char spinner[] = "|/-\\";
	int fd = fileno(c->err);
	uint64_t now;

	if (waited < (uint64_t)c->progress_msec * 1000000 || fd < 0 || !isatty(fd))
		return;
	now = bl_boottime();
	fprintf(c->err, "\r%c %s, %llu s", spinner[c->progress_turns++ % 4], c->waiting_for,
		(unsigned long long)(waited / BL_NSEC_PER_SEC));
	if (deadline > now)
		fprintf(c->err, " (deadline in %llu s)",
			(unsigned long long)((deadline - now) / BL_NSEC_PER_SEC + 1));
	else if (deadline)
		fputs(" (deadline has passed)", c->err);
	fputs("\033[K", c->err);
	fflush(c->err);
	c->progress_shown = true;
}

/* Takes the line away again. May be called twice. */
void ctl_progress_end(struct ctl *c)
{
	if (!c->progress_shown)
		return;
	fputs("\r\033[K", c->err);
	fflush(c->err);
	c->progress_shown = false;
}
