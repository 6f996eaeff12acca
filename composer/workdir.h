/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a build works: cache, repository, output, and how it tells its progress. One per process,
 * made by the verb, handed to every step. */

#include "commit.h"

enum step {
        STEP_RESOLVE,
        STEP_FETCH,
        STEP_IMPORT,
        STEP_MERGE,
        STEP_COMMIT,
        STEP_EROFS,
        STEP_VERITY,
        STEP_INITRD,
        STEP_UKI,
        STEP_DISK,
        STEP_OUTPUT,
        _STEP_MAX,
};

const char *step_name(enum step step);

struct workdir {
        char *cache_path; /* absolute */
        int cache_fd;     /* packages/, metadata/, solv/, tmp/ live below */
        struct repo *repo;
        char *output_path; /* absolute, NULL for verbs that write no artifacts */
        int output_fd;
        char *libexec_path; /* where programs for images (`ignition` …) are */
        unsigned threads;   /* 0: one per CPU */
        bool allow_expired; /* repository metadata past its Valid-Until is accepted */
        bool offline;       /* use cached metadata and packages only */
        char **mirrors;     /* --mirror NAME=URL, as given */
        /* Called from any thread with bytes or items done of total (0: unknown); NULL: silent. */
        void (*progress)(void *userdata, enum step step, uint64_t done, uint64_t total);
        void *progress_userdata;
};

static inline void workdir_progress(const struct workdir *w, enum step step, uint64_t done,
                                    uint64_t total)
{
        if (w->progress)
                w->progress(w->progress_userdata, step, done, total);
}
