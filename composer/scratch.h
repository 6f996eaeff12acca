/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Temporary directories below cache/tmp/, for tools that want files. A build that is killed leaves
 * them, and drafts; the next one takes them away, and leaves alone what another build works on. */

#include "error.h"

struct scratch {
        char *path; /* absolute */
        int fd;     /* of the directory; its lock says that it is in use */
};
#define SCRATCH_NULL                                                                               \
        {                                                                                          \
                .fd = -1                                                                           \
        }

/* Makes <cache>/tmp/<what>-XXXXXX, for this user alone. */
int scratch_open(const char *cache_path, const char *what, struct scratch *ret,
                 struct error *err) _must_check_;
/* Removes it with all that is in it. */
void scratch_done(struct scratch *s);
#define _cleanup_scratch_ _cleanup_(scratch_done)

/* Removes what killed builds left in the cache. Failing to is no reason to fail. */
void scratch_sweep(int cache_fd);
