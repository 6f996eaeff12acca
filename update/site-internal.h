/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the site*.c files share: site-variant.c reads libostree's formats, site.c gets them from the
 * site and decides, site-etc.c looks into the release's tree. */

#include "site.h"

enum {
        SITE_SUMMARY_MAX = 4 * 1024 * 1024, /* some ten thousand channels */
        SITE_SIGNATURES_SIZE_MAX = 64 * 1024,
        SITE_SIGNATURES_MAX = 16,
        SITE_COMMIT_MAX = 8 * 1024 * 1024, /* a release has 64 KiB, a record of places some MiB */
        SITE_DIRTREE_MAX = 16 * 1024 * 1024,
        SITE_ETC_DEPTH_MAX = 32,
        SITE_ETC_FILES_MAX = 16384,
};

struct site_signatures {
        struct ed25519_signature items[SITE_SIGNATURES_MAX];
        size_t count;
};

/* "ostree.sign.ed25519" of a dictionary (summary.sig, or a commit's detached metadata). None is no
 * failure: nothing is signed, then. */
int site_signatures_parse(const void *data, size_t size, struct site_signatures *ret,
                          struct error *err) _must_check_;

struct site_summary {
        uint64_t last_modified, expires; /* seconds since the epoch; expires 0: it does not say */
        struct sha256 commit;            /* of the ref */
};

/* -ENOENT: has no such ref. */
int site_summary_parse(const void *data, size_t size, const char *ref, struct site_summary *ret,
                       struct error *err) _must_check_;

/* The release in a commit object, which must be one of this image and architecture, and say of
 * itself what the rest of the metadata says. */
int site_commit_parse(const void *data, size_t size, const char *image, const char *architecture,
                      struct release *ret, struct error *err) _must_check_;
/* The root directory of a commit. */
int site_commit_tree(const void *data, size_t size, struct sha256 *ret,
                     struct error *err) _must_check_;
/* An entry of a directory; 1: found, 0: there is none of the name. */
int site_directory_find(const void *data, size_t size, const char *name, bool directory,
                        struct sha256 *ret, struct error *err) _must_check_;
