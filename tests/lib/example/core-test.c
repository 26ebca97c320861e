// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include "tests/lib/example/core.h"
#include "tests/lib/tap.h"

TEST(empty, "the sum of nothing is zero")
{
	CHECK_EQ(example_sum(NULL, 0), 0);
}

TEST(two, "two numbers are added")
{
	const int values[] = { 1, 2 };

	CHECK_EQ(example_sum(values, 2), 3);
}

TAP_MAIN()
