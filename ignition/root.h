/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The system to be provisioned, below --root. Paths inside it are resolved here: symlinks in parent
 * directories lead where they would lead when the system runs, the last component is never
 * followed. A resolved path is relative to the root's fd and free of symlinks; the root itself is
 * ".". */

#include "io.h"
#include "root-dirs.h"

enum { ROOT_DEVICES_MAX = 32, ROOT_LINKS_MAX = 40 };

struct root {
        int fd;
        struct root_dirs *dirs;
        size_t device_count; /* file systems written to, for root_sync() */
        dev_t devices[ROOT_DEVICES_MAX];
        int device_fds[ROOT_DEVICES_MAX];
};

int root_open(struct root *root, const char *path, struct error *err) _must_check_;
void root_done(struct root *root);

int root_resolve(const struct root *root, const char *path, char **ret,
                 struct error *err) _must_check_;
/* Also follows a symlink in the last component. */
int root_resolve_all(const struct root *root, const char *path, char **ret,
                     struct error *err) _must_check_;

/* A resolved path as its parent directory, open, and the name in it. Symlinks are met nowhere on
 * the way (what has become one since it was resolved is an error), so nothing outside is reached.
 *
 * The directories used last stay open. One that comes up again is the one that was there before,
 * whatever its path would lead to now. Who removes or moves a directory says so: root_forget(). */
struct place {
        int dir;          /* borrowed from the root */
        const char *name; /* borrowed from the path; "." for the root itself */
        struct root_dir *of;
        bool makes; /* things may be made here until place_done() */
};
#define PLACE_NULL                                                                                 \
        {                                                                                          \
                .dir = -1                                                                          \
        }

/* -ENOENT (among others) when a parent is not there. */
int place_open(const struct root *root, const char *path, struct place *ret,
               struct error *err) _must_check_;
/* Creates the missing parents, 0755; the file system counts as written to. */
int place_make(struct root *root, const char *path, struct place *ret,
               struct error *err) _must_check_;
void place_done(struct place *p);
#define _cleanup_place_ _cleanup_(place_done)

/* What is known of the resolved path and of all below it holds no longer; "": of everything. */
void root_forget(const struct root *root, const char *path);
/* The resolved path is known to be a directory. */
bool root_knows(const struct root *root, const char *path);

/* lstat() of a resolved path; false: not there. Errors other than absence count as absence too:
 * whoever then tries to create something gets the reason. */
bool root_stat(const struct root *root, const char *path, struct stat *ret);
/* The same, for who would do harm by taking something for absent: 1, 0 (not there) or an error. */
int root_find(const struct root *root, const char *path, struct stat *ret,
              struct error *err) _must_check_;
/* Opens an existing file or directory by its resolved path; the flags get O_NOFOLLOW. */
int root_open_path(const struct root *root, const char *path, int flags,
                   struct error *err) _must_check_;
/* rm -rf of a resolved path; it may be absent. */
int root_remove(const struct root *root, const char *path, struct error *err) _must_check_;
/* Removes the drafts (".<name>.XXXXXX") that a killed attempt left beside a resolved path. */
int root_sweep(const struct root *root, const char *path, struct error *err) _must_check_;

/* Remembers the file system of an open file as written to. */
int root_touch(struct root *root, int fd, struct error *err) _must_check_;
/* Everything written reaches the disks. */
int root_sync(struct root *root, struct error *err) _must_check_;

/* A small text of the root by its path; NULL in *ret when it is absent. */
int root_read(const struct root *root, const char *path, char **ret,
              struct error *err) _must_check_;
/* The same by a resolved path, with what lstat() says of it. */
int root_read_resolved(const struct root *root, const char *path, struct stat *ret_stat, char **ret,
                       struct error *err) _must_check_;
