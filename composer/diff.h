/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What differs between two trees: files, packages, units, kernel options. */

#include "tree.h"

enum change_kind { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_CHANGED };

struct change {
        enum change_kind kind;
        char *name;           /* path, package or kernel option */
        char *before, *after; /* for people: version, value, "1234 bytes, 0755"; NULL: absent */
        int64_t size_delta;   /* bytes; files only */
};

struct change_list {
        struct change *items; /* sorted by name */
        size_t count, capacity;
};

struct tree_diff {
        struct change_list packages; /* from /usr/share/slipway/packages.json */
        struct change_list files;    /* all but units */
        struct change_list units;    /* files and links below systemd/system */
        struct change_list options;  /* of the kernels' configurations */
        int64_t size_delta;          /* bytes of all files */
};

int tree_diff(const struct tree *before, const struct tree *after,
              const struct content_store *store, struct tree_diff *ret,
              struct error *err) _must_check_;
void tree_diff_done(struct tree_diff *d);
#define _cleanup_tree_diff_ _cleanup_(tree_diff_done)
