// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* trace.c - the code of the trace events, see trace.h */
#define CREATE_TRACE_POINTS
#include "trace.h"
