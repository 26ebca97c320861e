// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include "tests/lib/example/core.h"

int example_sum(const int *values, int n)
{
	int i, sum = 0;

	for (i = 0; i < n; i++)
		sum += values[i];
	return sum;
}
