// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* progress.c - a line on a terminal that says that, and how long, one waits */
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "ctl/belayctl.h"


void ctl_progress_init(struct ctl_progress *p, FILE *err, const char *what,
		       int after_msec, uint64_t deadline)
{
	int fd = fileno(err);

	memset(p, 0, sizeof(*p));
	p->err = fd >= 0 && isatty(fd) ? err : NULL;
	p->what = what;
	p->started = bl_boottime();
	p->after_msec = after_msec;
	p->deadline = deadline;
}

/* Called now and then; prints nothing before its time. */
void ctl_progress_tick(struct ctl_progress *p)
{
	static const char spinner[] = "|/-\\";
	uint64_t now, waited;

	if (!p->err)
		return;
	now = bl_boottime();
	waited = now - p->started;
	if (waited < (uint64_t)p->after_msec * 1000000)
		return;
	fprintf(p->err, "\r%c %s, %llu s", spinner[p->turns++ % 4], p->what,
		(unsigned long long)(waited / BL_NSEC_PER_SEC));
	if (p->deadline > now)
		fprintf(p->err, " (deadline in %llu s)",
			(unsigned long long)((p->deadline - now) / BL_NSEC_PER_SEC + 1));
	else if (p->deadline)
		fputs(" (deadline has passed)", p->err);
	fputs("\033[K", p->err);
	fflush(p->err);
	p->shown = true;
}

/* Takes the line away again. May be called twice. */
void ctl_progress_fini(struct ctl_progress *p)
{
	if (!p->shown)
		return;
	fputs("\r\033[K", p->err);
	fflush(p->err);
	p->shown = false;
}
