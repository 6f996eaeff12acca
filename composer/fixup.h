/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fix-ups: what maintainer scripts would have done, declaratively. Each is one file that ends with
 * its function; fixup.c holds the table, whose order is part of the design. */

#include "accounts.h"
#include "union.h"

struct fixup_context {
        const struct workdir *w;
        const struct manifest *m;
        const struct package_tree *packages;
        size_t count;
        const struct content_store *store;
        const struct lock *lock; /* may be NULL */
        uint64_t epoch;          /* of the build: the release's timestamp */
        const char *certificate; /* PEM, of who signs root hashes; NULL: nobody */
        struct tree *tree;
        struct accounts accounts; /* filled by fixup_users */
        struct merge_result *result;
        const char *origin; /* "fix-up <name>" of the one that runs, interned */
};

struct fixup {
        const char *name;
        int (*apply)(struct fixup_context *c, struct error *err);
};

/* Runs the whole table. */
int fixups_run(struct fixup_context *c, struct error *err) _must_check_;

/* ---- for the fix-ups ---- */

/* Whether the image has a package of that name. */
bool fixup_has_package(const struct fixup_context *c, const char *name);
/* The text of a file, symlinks followed; *ret NULL when it is not there. */
int fixup_read(const struct fixup_context *c, const char *path, char **ret,
               struct error *err) _must_check_;
/* Puts a file, replacing what is there. */
int fixup_put(struct fixup_context *c, const char *path, const char *text, size_t size, mode_t mode,
              struct error *err) _must_check_;
/* Puts a file or symlink when nothing is there yet. */
int fixup_put_missing(struct fixup_context *c, const char *path, const char *text, mode_t mode,
                      struct error *err) _must_check_;
int fixup_link_missing(struct fixup_context *c, const char *path, const char *target,
                       struct error *err) _must_check_;
/* Copies a regular file, root's, under another name; the content is shared, not the inode. */
int fixup_copy(struct fixup_context *c, const struct tree_node *from, const char *to, mode_t mode,
               struct error *err) _must_check_;
/* Gives a file an inode of its own, so that attributes can change for this name alone: packages
 * arrive with equal files sharing an inode. */
int fixup_unshare(struct tree_node *node, struct error *err) _must_check_;
/* Paths of the files with that suffix in the directories (ends with NULL), sorted by their name; a
 * file in an earlier directory hides one of the same name in a later one. */
int fixup_config_files(const struct fixup_context *c, const char *const *directories,
                       const char *suffix, char ***ret, struct error *err) _must_check_;
/* Adds a finding. */
int fixup_finding(struct merge_result *result, const char *subject, struct error *err,
                  const char *format, ...) _printf_(4, 5) _must_check_;

/* ---- the fix-ups, in the order of the table ---- */

int fixup_kernel(struct fixup_context *c, struct error *err);
int fixup_users(struct fixup_context *c, struct error *err);
int fixup_defaults(struct fixup_context *c, struct error *err);
int fixup_pam(struct fixup_context *c, struct error *err);
int fixup_certificates(struct fixup_context *c, struct error *err);
int fixup_alternatives(struct fixup_context *c, struct error *err);
int fixup_attributes(struct fixup_context *c, struct error *err);
int fixup_layer_config(struct fixup_context *c, struct error *err);
int fixup_remove(struct fixup_context *c, struct error *err);
int fixup_state(struct fixup_context *c, struct error *err);
int fixup_presets(struct fixup_context *c, struct error *err);
int fixup_modules(struct fixup_context *c, struct error *err);
int fixup_libraries(struct fixup_context *c, struct error *err);
int fixup_extensions(struct fixup_context *c, struct error *err);
int fixup_release(struct fixup_context *c, struct error *err);
