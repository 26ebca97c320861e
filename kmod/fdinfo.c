// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * fdinfo.c - what /proc/PID/fdinfo shows of our files
 *
 * One key a line, as of the DRM drivers: a number, KiB where it says so, or a
 * word. Its reader may ptrace the process: it is told nothing that the
 * process could not find out itself.
 *
 * A session's regions are counted one by one, which takes a while if there are
 * many; nobody is held up by it.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "belay.h"
#include "select.h"

struct tally {
	unsigned long regions, pages, held;
};

/* A session's regions, counted. */
struct tallies {
	struct tally kind[BELAY_WATCHED + 1];
	unsigned long prepared, suspect, lost, recalled;
	unsigned long lost_pages;
};

static void add(struct tallies *t, struct belay_region *r)
{
	struct tally *kind = &t->kind[r->kind];

	spin_lock(&r->lock);
	if (r->state == BELAY_LIVE) {
		kind->regions++;
		kind->pages += belay_region_pages(r);
		kind->held += belay_held_pages(r);
		t->prepared += r->prepared;
		t->suspect += !!(r->bits & BELAY_WORD_SUSPECT);
		t->lost += !!(r->bits & BELAY_WORD_LOST);
		t->recalled += !!(r->bits & BELAY_WORD_RECALLED);
		t->lost_pages += belay_range_pages(r->lost_start, r->lost_last);
	}
	spin_unlock(&r->lock);
}

static void add_all(struct tallies *t, struct belay_session *s)
{
	struct belay_region *r;
	unsigned long slot = 0;

	while (!fatal_signal_pending(current) && (r = belay_region_next(s, &slot))) {
		add(t, r);
		belay_region_put(r);
		slot++;
		cond_resched();
	}
}

static void show(struct seq_file *m, const char *key, u64 n)
{
	seq_printf(m, "%s\t%llu\n", key, n);
}

static void show_pages(struct seq_file *m, const char *key, unsigned long pages)
{
	if (pages == ULONG_MAX)
		seq_printf(m, "%s\tunlimited\n", key);
	else
		seq_printf(m, "%s\t%llu KiB\n", key, (u64)pages << (PAGE_SHIFT - 10));
}

static void show_regions(struct seq_file *m, const struct tallies *t)
{
	const struct tally *pinned = &t->kind[BELAY_PINNED];
	const struct tally *tracked = &t->kind[BELAY_TRACKED];
	const struct tally *watched = &t->kind[BELAY_WATCHED];

	show(m, "belay-regions-pinned:", pinned->regions);
	show(m, "belay-regions-tracked:", tracked->regions);
	show(m, "belay-regions-watched:", watched->regions);
	show(m, "belay-regions-prepared:", t->prepared);
	show(m, "belay-regions-suspect:", t->suspect);
	show(m, "belay-regions-lost:", t->lost);
	show(m, "belay-regions-recalled:", t->recalled);
	show_pages(m, "belay-size-pinned:", pinned->pages);
	show_pages(m, "belay-size-tracked:", tracked->pages);
	show_pages(m, "belay-size-watched:", watched->pages);
	show_pages(m, "belay-size-lost:", t->lost_pages);
	show_pages(m, "belay-held-pinned:", pinned->held);
	show_pages(m, "belay-held-tracked:", tracked->held);
}

static void show_grant(struct seq_file *m, struct belay_grant *g)
{
	unsigned long limit = READ_ONCE(g->node.limit_regions);

	show(m, "belay-grant:", g->id);
	show(m, "belay-account:", g->account_id);
	show(m, "belay-pid:", belay_grant_pid(g));
	show(m, "belay-ended:", READ_ONCE(g->dead));
	show_pages(m, "belay-charged:", atomic_long_read(&g->node.pages));
	show_pages(m, "belay-limit:", READ_ONCE(g->node.limit_pages));
	show(m, "belay-charged-regions:", atomic_long_read(&g->node.regions));
	if (limit == ULONG_MAX)
		seq_puts(m, "belay-limit-regions:\tunlimited\n");
	else
		show(m, "belay-limit-regions:", limit);
	show(m, "belay-refusals:", atomic64_read(&g->node.refusals));
}

void belay_fdinfo_session(struct seq_file *m, struct file *file)
{
	struct belay_session *s = file->private_data;
	struct tallies t = {};

	add_all(&t, s);
	show(m, "belay-session:", s->id);
	show_grant(m, s->grant);
	show_regions(m, &t);
}

void belay_fdinfo_control(struct seq_file *m, struct file *file)
{
	seq_printf(m, "belay-control:\t%s\n",
		   file->f_mode & FMODE_WRITE ? "owner" : "reader");
	show(m, "belay-events-pending:", belay_events_pending());
}
