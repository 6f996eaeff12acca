/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Debian's Release file: what a suite is, until when it is valid, and the digests of its indexes.
 */

#include "digest.h"

enum { RELEASE_SIZE_MAX = 16 * 1024 * 1024, RELEASE_FILES_MAX = 200000 };

struct release_file {
        char *path; /* below dists/<suite>/ */
        uint64_t size;
        struct sha256 sha256;
};

struct release {
        char *suite, *codename;     /* NULL: not said */
        uint64_t date, valid_until; /* seconds; valid_until 0: for ever */
        bool by_hash;               /* Acquire-By-Hash: yes */
        bool lists_all, merges_all; /* "all" in Architectures; No-Support-for-Architecture-all */
        struct release_file *files; /* sorted by path */
        size_t n_files, capacity;
};

/* Parses a Release text, which must already be verified. */
int release_parse(const char *text, size_t size, struct release *ret,
                  struct error *err) _must_check_;
void release_done(struct release *r);
#define _cleanup_release_ _cleanup_(release_done)

/* NULL: the Release does not list it. */
const struct release_file *release_find(const struct release *r, const char *path);

/* Whether packages of architecture "all" are listed on their own, as apt sees it. */
static inline bool release_separate_all(const struct release *r)
{
        return r->lists_all && !r->merges_all;
}

/* "Sat, 12 Sep 2026 07:55:41 UTC" (also GMT, Z and +0000), whatever the locale; 0 or -EINVAL. */
int release_date_parse(const char *text, uint64_t *ret) _must_check_;
