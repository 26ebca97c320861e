// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * table.c - a thin hand over libsmartcols
 *
 * Cells are added from left to right. A table that ran out of memory remembers
 * it and says so once, when it is printed.
 */
#include <errno.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>

#include "ctl/belayctl.h"

struct ctl_table {
	struct libscols_table *table;
	struct libscols_line *line;
	size_t cell;
	bool failed;
};

struct ctl_table *ctl_table_new(const struct ctl *c, const struct ctl_column *columns)
{
	struct ctl_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->table = scols_new_table();
	if (!t->table) {
		free(t);
		return NULL;
	}
	scols_table_set_stream(t->table, c->out);
	scols_table_enable_noheadings(t->table, !c->headings);
	for (; columns->name; columns++)
		if (!scols_table_new_column(t->table, columns->name, 0, columns->flags))
			t->failed = true;
	return t;
}

void ctl_table_row(struct ctl_table *t)
{
	if (!t || t->failed)
		return;
	t->cell = 0;
	t->line = scols_table_new_line(t->table, NULL);
	if (!t->line)
		t->failed = true;
}

void ctl_table_cell(struct ctl_table *t, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (!t || t->failed)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text || scols_line_refer_data(t->line, t->cell++, text)) {
		free(text);
		t->failed = true;
	}
}

void ctl_table_free(struct ctl_table *t)
{
	if (t)
		scols_unref_table(t->table);
	free(t);
}

/* Prints and frees it. NULL is a table that could not be made. */
int ctl_table_print(struct ctl *c, struct ctl_table *t)
{
	int status = CTL_OK;

	if (!t || t->failed)
		status = ctl_fail(c, CTL_FAILED, "out of memory");
	else if (scols_print_table(t->table))
		status = ctl_fail(c, CTL_FAILED, "cannot print the table: %m");
	ctl_table_free(t);
	return status;
}
