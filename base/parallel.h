/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runs the same function over many items on several threads. */

#include "error.h"

typedef int (*parallel_fn)(void *context, size_t index, struct error *err);

/* Calls fn for every index in [0, count), handed out in order, on up to `threads` threads (0: one
 * per CPU this process may use; never more than count). After a failure no further index is handed
 * out. Of several failures the one with the lowest index is returned, so errors do not depend on
 * timing more than they must. */
int parallel_for(size_t count, unsigned threads, parallel_fn fn, void *context,
                 struct error *err) _must_check_;

/* CPUs this process may use, at least 1. */
unsigned parallel_cpus(void);
