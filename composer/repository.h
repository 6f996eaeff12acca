/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The metadata of the manifest's repositories, brought up to date in the cache and verified. */

#include "manifest.h"
#include "mirror.h"
#include "workdir.h"

/* One Packages file in the cache: metadata/<sha256><suffix>. */
struct repository_index {
        const char *repository; /* logical name; the manifest's string */
        struct sha256 sha256;
        char name[SHA256_HEX_SIZE + 4]; /* file name below metadata/ */
};

struct repository_indexes {
        struct repository_index *items; /* in the manifest's order */
        size_t count;
        char **warnings; /* for the report */
        uint64_t newest; /* date of the newest Release, seconds */
};

int repositories_refresh(const struct workdir *w, const struct manifest *m,
                         const struct mirrors *mirrors, struct repository_indexes *ret,
                         struct error *err) _must_check_;
void repository_indexes_done(struct repository_indexes *i);
#define _cleanup_indexes_ _cleanup_(repository_indexes_done)

/* Removes files that no build has used for weeks from a directory below the cache. */
void cache_prune(int cache_fd, const char *directory);
