// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <stdio.h>

#include "tests/lib/example/core.h"

int main(void)
{
	const int values[] = { 1, 2 };

	printf("%d\n", example_sum(values, 2));
	return 0;
}
