/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Memory for megabytes at once. */

#include <stddef.h>

enum { MEMORY_HUGE_PAGE = 2 * 1024 * 1024 };

/* As malloc(), and freed with free(); NULL when there is none. From MEMORY_HUGE_PAGE bytes on it
 * begins at a multiple of that and is made of huge pages where the kernel has some: on many a
 * virtual machine the faults for small ones take longer than the work with what is in them
 * (docs/performance.md). */
void *memory_large(size_t size) __attribute__((malloc));
