/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of an update site that spare machines a new kernel's modules: patches/, a file and its
 * signature for each pair of module sets (base/module-patches.h). */

#include "channel.h"
#include "commit-site.h"

enum { SITE_PATCHES_RELEASES = 3 /* of the channel, which patches are made from */ };

struct site_patches {
        struct site_repo *repo; /* has the commits of all of them */
        const struct channel *channel;
        const struct release *release; /* the new one */
        const struct sha256 *commit;
        const struct site_keys *keys;
        int level; /* of zstd */
        /* Before a file is made, which takes a minute; may be NULL. */
        void (*progress)(void *userdata, const char *from_kernel, const char *to_kernel);
        void *userdata;
};

/* Makes those that are not there, for the last releases whose modules are others. */
int site_patches_add(int site_fd, const struct site_patches *p, bool *ret_changed,
                     struct error *err) _must_check_;
/* Removes those to a set that is not listed, and what a killed publisher left; *ret: how many. */
int site_patches_prune(int site_fd, const struct sha256 *new_sets, size_t count, uint64_t *ret,
                       struct error *err) _must_check_;
