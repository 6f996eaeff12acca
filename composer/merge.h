/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Unions package trees and layer files into the image's tree, and does declaratively what
 * maintainer scripts would have done. */

#include "package.h"

/* Reported, not fatal: goes into report.json. */
struct finding {
        char *subject; /* "package openssh-server" */
        char *reason;  /* "postinst runs ucf: not covered" */
};

struct merge_result {
        struct tree *tree; /* only what the commit holds: /usr and nothing else at the root */
        struct {
                struct id_allocation *items;
                size_t count;
        } users, groups; /* for the lock */
        struct {
                struct finding *items;
                size_t count;
        } findings;
};
void merge_result_done(struct merge_result *r);
#define _cleanup_merge_result_ _cleanup_(merge_result_done)

/* What of a build the tree depends on besides packages, layers and manifest. */
struct merge_inputs {
        const struct lock *lock; /* uid/gid allocations to keep; NULL: none */
        uint64_t epoch;          /* that the image says it is of */
        const char *certificate; /* PEM, of who signs root hashes; NULL: nobody */
};

/* Order: packages by name, with diversions and Replaces honoured and every other clash an error;
 * layers in manifest order (a layer's file replaces a package's); removals; then the table of
 * fix-ups in fixup.c. */
int tree_merge(const struct workdir *w, const struct manifest *m,
               const struct package_trees *packages, const struct merge_inputs *inputs,
               struct merge_result *ret, struct error *err) _must_check_;

/* glob(7) on absolute paths: `*` and `?` and `[…]` stay within one component, `**` crosses
 * components. */
bool glob_match(const char *pattern, const char *path);
