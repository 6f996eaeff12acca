/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Debian's Release file: what a suite is, until when it is valid, and the digests of its indexes.
 */

#include "digest.h"

enum { SUITE_RELEASE_SIZE_MAX = 16 * 1024 * 1024, SUITE_RELEASE_FILES_MAX = 200000 };

struct suite_file {
        char *path; /* below dists/<suite>/ */
        uint64_t size;
        struct sha256 sha256;
};

struct suite_release {
        char *suite, *codename;     /* NULL: not said */
        uint64_t date, valid_until; /* seconds; valid_until 0: for ever */
        bool by_hash;               /* Acquire-By-Hash: yes */
        bool lists_all, merges_all; /* "all" in Architectures; No-Support-for-Architecture-all */
        struct suite_file *files;   /* sorted by path */
        size_t n_files, capacity;
};

/* Parses a Release text, which must already be verified. */
int suite_release_parse(const char *text, size_t size, struct suite_release *ret,
                        struct error *err) _must_check_;
void suite_release_done(struct suite_release *r);
#define _cleanup_suite_release_ _cleanup_(suite_release_done)

/* NULL: the Release does not list it. */
const struct suite_file *suite_release_find(const struct suite_release *r, const char *path);

/* Whether packages of architecture "all" are listed on their own, as apt sees it. */
static inline bool suite_release_separate_all(const struct suite_release *r)
{
        return r->lists_all && !r->merges_all;
}

/* "Sat, 12 Sep 2026 07:55:41 UTC" (also GMT, Z and +0000), whatever the locale; 0 or -EINVAL. */
int suite_release_date_parse(const char *text, uint64_t *ret) _must_check_;
