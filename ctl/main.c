// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* main.c - belayctl's main(); all else is in files that tests can link */
#include <locale.h>

#include "ctl/belayctl.h"

int main(int argc, char **argv)
{
	struct ctl c;

	setlocale(LC_ALL, "");
	ctl_init(&c, stdout, stderr);
	return ctl_main(&c, argc, argv);
}
