/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#ifndef EXAMPLE_CORE_H
#define EXAMPLE_CORE_H

int example_sum(const int *values, int n);

#endif
