#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Do the unit tests of the module's pure parts notice a mistake in them? Each line
# below is one: the program that must fail, the file, what is replaced => by what. It
# is made in a copy of kmod/, against which the program is compiled.
# (tests/mutants has promises of the whole module, for a virtual machine.)
set -euo pipefail
. tests/lib/tap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build()
{
	gcc -std=gnu11 -O1 -D_GNU_SOURCE -DBELAY_VERSION='""' -w -iquote "$work" -iquote . \
		-Iinclude -Iinclude/uapi -Ibuild/tests/unit/include -o "$work/$1" "tests/unit/$1.c"
}

fresh()
{
	rm -rf "$work/kmod"
	cp -r kmod "$work/kmod"
}

passes()
{
	fresh
	build "$1"
	"$work/$1" > "$work/tap" || { cat "$work/tap"; return 1; }
}

# notices PROGRAM FILE FROM TO: TO instead of the first FROM, which must be there.
notices()
{
	local text
	fresh
	text=$(< "kmod/$2")
	printf '%s\n' "${text/"$3"/"$4"}" > "$work/kmod/$2"
	! cmp -s "kmod/$2" "$work/kmod/$2" || { echo "kmod/$2 has no: $3"; return 1; }
	build "$1" || return
	! "$work/$1" > "$work/tap" || { echo "$1 passes"; return 1; }
	grep '^not ok' "$work/tap"
}

programs=() lines=()
while read -r program file change; do
	lines+=("$program $file $change")
	[[ " ${programs[*]} " == *" $program "* ]] || programs+=("$program")
done << 'LINES'
kmod_charge charge.c old > max - n => old >= max - n
kmod_charge charge.c old > max - n => old + n > max
kmod_charge charge.c old > max - n => old > max - n + 1
kmod_charge charge.c n > max || =>
kmod_charge charge.c n > max || => n >= max ||
kmod_charge charge.c while (!atomic_long_try_cmpxchg(counter, (long *)&old, old + n)) => while (sched_yield()); counter->n = old + n
kmod_charge charge.c atomic_long_sub(regions, &node->regions); =>
kmod_charge charge.c atomic_long_sub(regions, &undo->regions); =>
kmod_charge charge.c undo != n; => undo != n->parent;
kmod_charge charge.c for (n = node; n; n = n->parent) => for (n = node; n == node; n = n->parent)
kmod_charge charge.c for (; node; node = node->parent) =>
kmod_coverage coverage.c (r->it.last - g->next + 1) => (r->it.last - g->next)
kmod_coverage coverage.c g->pages += at->it.start - g->next; => g->pages += at->it.start - g->next + 1;
kmod_coverage coverage.c g->next = max(g->next, at->it.last + 1) => g->next = max(g->next, at->it.last)
kmod_coverage coverage.c g->next = max(g->next, at->it.last + 1) => g->next = at->it.last + 1
kmod_coverage coverage.c if (at->it.last >= r->it.last) => if (at->it.last > r->it.last)
kmod_coverage coverage.c at != r && at->layer == r->layer => at->layer == r->layer
kmod_coverage coverage.c at != r && at->layer == r->layer => at != r
kmod_coverage coverage.c if (d->nr == BELAY_MAX_OVERLAP - 1) { => if (0) {
kmod_coverage coverage.c if (d->open[i] >= page) => if (d->open[i] > page)
kmod_coverage coverage.c if (d->open[i] >= page) => if (d->open[i] + 1 >= page)
kmod_coverage coverage.c d->is_too_deep = true; => ;
kmod_coverage coverage.c if (at == r) => if (0)
kmod_coverage coverage.c a->any = true; =>
kmod_coverage coverage.c a->any_ill |= !healthy; =>
kmod_coverage coverage.c a->layer_ill |= !healthy; =>
kmod_coverage coverage.c if (at->layer != layer) => if (0)
kmod_coverage coverage.c at->layer > a->best => at->layer < a->best
kmod_coverage coverage.c a.best != newest) => 0)
kmod_coverage coverage.c && !a.layer_ill) { => ) {
kmod_coverage coverage.c newest + 1 : 0; => newest + 1 : newest;
kmod_coverage coverage.c BELAY_WORD_SUSPECT | BELAY_WORD_LOST => BELAY_WORD_LOST
kmod_coverage coverage.c watched ? 0 : choose_layer => 0 ? 0 : choose_layer
kmod_coverage coverage.c if (READ_ONCE(r->state) == BELAY_DEAD) => if (0)
kmod_coverage coverage.c more > 0 => 0
kmod_coverage coverage.c (s64)pages - (s64)a.uncovered => (s64)pages
kmod_coverage coverage.c place && r->placed => r->placed
kmod_coverage coverage.c if (!mutex_trylock(&g->lock)) => if (mutex_trylock(&g->lock), 0)
kmod_coverage coverage.c max(r->it.start, last + 1) => max(r->it.start, last)
kmod_coverage coverage.c min(r->it.last, start - 1) => min(r->it.last, start)
kmod_coverage coverage.c (start > r->it.start && last < r->it.last) => (start > r->it.start && last <= r->it.last)
kmod_coverage coverage.c parts[i]->layer = r->layer; =>
kmod_coverage coverage.c pages -= covered_alone(parts[i]); =>
kmod_coverage coverage.c mutex_unlock(&g->lock); =>
kmod_extent extent.c == pfn && => == pfn + 1 &&
kmod_extent extent.c + pages <= BELAY_EXTENT_MAX_PAGES => + pages < BELAY_EXTENT_MAX_PAGES
kmod_extent extent.c + pages <= BELAY_EXTENT_MAX_PAGES => + pages <= BELAY_EXTENT_MAX_PAGES + 1
kmod_extent extent.c x->nr_inline < BELAY_EXTENTS_INLINE => x->nr_inline <= BELAY_EXTENTS_INLINE
kmod_extent extent.c list_add_tail(&x->filling->lru, &x->full); =>
kmod_extent extent.c fit = (bytes - sizeof(*p)) / sizeof(u64); => fit = bytes / sizeof(u64);
kmod_extent extent.c memcpy(p->run, runs + done, => memcpy(p->run, runs,
kmod_extent extent.c rounddown_pow_of_two(need) => need
kmod_extent extent.c tail = &p->next; =>
kmod_extent extent.c x->pieces = p->next; => x->pieces = NULL;
kmod_extent extent.c list_splice_init(&from->full, &to->full); =>
kmod_extent extent.c if (i->at < RUNS_PER_PAGE) => if (i->at < RUNS_PER_PAGE - 1)
kmod_extent extent.c if (i->passed > last || => if (i->passed >= last ||
kmod_extent extent.c page_private(i->page) <= page) => page_private(i->page) <= page + 1)
kmod_extent extent.c i->passed += page_private(i->page); =>
kmod_extent extent.c pages += belay_run_pages(runs[i]); => pages++;
kmod_extent extent.c min(last, i->passed - 1) => min(last, i->passed)
kmod_extent extent.c if (start <= end) => if (start < end)
kmod_extent extent.c + (start - at) =>
kmod_extent extent.c page < i->passed - belay_run_pages(i->run) => page < i->passed - belay_run_pages(i->run) - 1
kmod_extent extent.c page < i->passed - belay_run_pages(i->run) => 0
kmod_extent extent.c while (page >= i->passed) => while (page > i->passed)
kmod_extent extent.c - (i->passed - page) => - (i->passed - page) + 1
kmod_extent extent.c i->passed = 0; =>
kmod_extent extent.h COUNT_BITS	24 => COUNT_BITS	25
kmod_extent_64k extent.c (PAGE_SIZE / sizeof(u64)) => 512
kmod_range range.h !len || !PAGE_ALIGNED(addr) => !PAGE_ALIGNED(addr)
kmod_range range.h !PAGE_ALIGNED(addr) || =>
kmod_range range.h || !PAGE_ALIGNED(len) =>
kmod_range range.h start < first => start <= first
kmod_range range.h || start > last => || 0
kmod_range range.h pages - 1 > last - start => pages > last - start
kmod_range range.h start + (pages - 1) => start + pages
kmod_range range.h min(*start, add_start) => add_start
kmod_range range.h max(*last, add_last) => add_last
kmod_range range.h gone_start > gone_last || =>
kmod_range range.h gone_start > last) => 0)
kmod_range range.h gone_start > start ? => 1 ?
kmod_range range.h max(start, gone_last + 1) => gone_last + 1
kmod_range range.h gone_last + 1) => gone_last)
kmod_range range.h start > last ? 0 : => 0 ? 0 :
kmod_range range.h : last - start + 1; => : last - start;
kmod_range range.h *ret_addr = pages ? => *ret_addr = 1 ?
kmod_range range.h (u64)pages << => (u64)pages - 1 <<
kmod_range belay.h last <= r->lost_last => last < r->lost_last
kmod_range belay.h pages == ULONG_MAX ? => 0 ?
LINES

for program in "${programs[@]}"; do
	check "$program passes with kmod/ as it is" passes "$program"
done
for line in "${lines[@]}"; do
	read -r program file change <<< "$line"
	from=${change%% =>*} to=${change#*=>}
	check "$program notices, in $file: $change" notices "$program" "$file" "$from" "${to# }"
done
tap_done
