// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Prints what each account holds and may hold, in the text format that Prometheus reads (its node
 * exporter takes it from a file). Root and the members of belay-admin see all accounts.
 *
 *	cc exporter.c -o exporter $(pkg-config --cflags --libs belay-admin)
 */
#include <belay-admin.h>
#include <inttypes.h>
#include <stdio.h>

/* No limit is no line. */
static void print_metric(const char *name, const char *account, uint64_t value)
{
	if (value != UINT64_MAX)
		printf("belay_account_%s{account=\"%s\"} %" PRIu64 "\n", name, account, value);
}

int main(void)
{
	struct belay_admin_account account = { .size = sizeof(account) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *admin;
	int n;

	n = belay_admin_open(&admin, NULL);
	if (!n)
		n = belay_admin_list_new(admin, BELAY_ADMIN_ACCOUNTS, NULL, &list);
	while (n >= 0 && (n = belay_admin_next_account(list, &account)) > 0) {
		print_metric("usage_bytes", account.name, account.usage_bytes);
		print_metric("limit_bytes", account.name, account.limit_bytes);
		print_metric("usage_regions", account.name, account.usage_regions);
		print_metric("refusals_total", account.name, account.refusals);
	}
	if (n < 0)
		fprintf(stderr, "exporter: %s\n", belay_admin_error(admin));
	belay_admin_list_free(list);
	belay_admin_close(admin);
	return n < 0;
}
