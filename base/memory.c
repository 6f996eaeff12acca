/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See memory.h; madvise(2). */

#include <stdint.h>
#include <sys/mman.h>

#include "macro.h"
#include "memory.h"

void *memory_large(size_t size)
{
        void *memory;

        if (size < MEMORY_HUGE_PAGE || size > SIZE_MAX - MEMORY_HUGE_PAGE)
                return malloc(size);
        size = ROUND_UP(size, (size_t)MEMORY_HUGE_PAGE);
        memory = aligned_alloc(MEMORY_HUGE_PAGE, size);
        if (memory)
                (void)!madvise(memory, size, MADV_HUGEPAGE);
        return memory;
}
