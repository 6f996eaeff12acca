/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The packages of an image: resolved, fetched, imported. */

#include "manifest.h"
#include "workdir.h"

struct package {
        char *name, *version, *architecture;
        char *repository;     /* logical name of the repository */
        char *filename;       /* path below the repository's URL */
        uint64_t size;        /* bytes of the .deb */
        struct sha256 sha256; /* of the .deb: its identity everywhere */
};

struct package_set {
        struct package *items; /* sorted by name */
        size_t count;
        char **warnings; /* for the report, e.g. expired metadata that was allowed */
        uint64_t newest; /* date of the newest repository metadata, seconds; in the lock too */
};

void package_set_done(struct package_set *set);
#define _cleanup_package_set_ _cleanup_(package_set_done)
/* Nothing that is made of them can differ. */
bool package_set_equal(const struct package_set *a, const struct package_set *b);

/* A package with its tree in the repository: /data (the files, as in the package) and /control
 * (control, scripts, conffiles …). */
struct package_tree {
        const struct package *package;
        struct sha256 commit; /* that has the tree */
        struct tree *tree;
};
struct package_trees {
        struct package_tree *items; /* in the order of the set */
        size_t count;
};
void package_trees_done(struct package_trees *trees);
#define _cleanup_package_trees_ _cleanup_(package_trees_done)

/* resolve.c: reads and verifies repository metadata, solves for all layers' packages. */
int packages_resolve(const struct workdir *w, const struct manifest *m, struct package_set *ret,
                     struct error *err) _must_check_;
/* What packages_resolve() gave last time, if the cache still has all that it takes to say so, and
 * all of the packages; the servers may have something else by now. */
bool packages_recall(const struct workdir *w, const struct manifest *m, struct package_set *ret);
/* fetch.c: downloads what is missing in the cache (cache/packages/<sha256>.deb), several at a time,
 * resuming partial files, checking size and sha256 before a file gets its name. */
int packages_fetch(const struct workdir *w, const struct package_set *set,
                   struct error *err) _must_check_;
/* Whether the cache has it, by its size. */
bool package_present(const struct workdir *w, const struct package *p);
/* import.c: every package not yet in the repository becomes a commit with ref
 * pkg/deb/<name>/<version>/<arch> (characters a ref cannot hold are escaped), in parallel, largest
 * first; the others are loaded, all at once if the cache has them. The commit's metadata
 * "slipway.sha256" names the .deb; a ref whose .deb differs is imported again. Inside a transaction
 * of the caller's, which is to be given up when this fails. The trees refer to the set's packages.
 */
int packages_import(const struct workdir *w, const struct package_set *set,
                    struct package_trees *ret, struct error *err) _must_check_;
/* The ref of a package; caller frees. NULL: out of memory. */
char *package_ref(const struct package *p);

/* lock.c: IMAGE.lock.json beside IMAGE.json: packages and the uid/gid allocations. */
struct id_allocation {
        char *name;
        uint64_t id;
};
struct lock {
        struct package_set packages;
        struct {
                struct id_allocation *items;
                size_t count;
        } users, groups;
};
/* "<manifest without .json>.lock.json"; caller frees, NULL: out of memory. */
char *lock_path(const char *manifest_path);
int lock_load(const char *path, struct lock *ret, struct error *err) _must_check_;
/* Written atomically, keys and items in a fixed order. */
int lock_save(const char *path, const struct lock *lock, struct error *err) _must_check_;
void lock_done(struct lock *lock);
#define _cleanup_lock_ _cleanup_(lock_done)
