// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* reload.c - belayctl reload: the configuration is read again, or stays as it was */
#include "ctl/belayctl.h"

int ctl_reload(struct ctl *c, int argc, char **argv)
{
	static const struct option options[] = {
		CTL_COMMON_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	const char *text;
	int status;

	if (!ctl_getopt(c, argc, argv, options))
		return c->status;
	if (optind < argc)
		return ctl_usage(c, "reload takes no argument, there is \"%s\"", argv[optind]);
	status = ctl_connect(c);
	if (status)
		return status;
	status = ctl_done(c, belay_admin_reload(c->admin, &text));
	if (status)
		return status;
	if (c->json)
		return ctl_json_print(c, ctl_json_object("text", ctl_json_text(text), NULL));
	fputs("The configuration has been read again.\n", c->out);
	if (text[0])
		fprintf(c->out, "%s\n", text);
	return CTL_OK;
}
