/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of a root's directories, so that nobody asks twice: those that were opened last,
 * open still, and one path that is not there. Paths are resolved ones; "" is the root itself. */

#include <limits.h>

#include "error.h"

enum { ROOT_DIRS_MAX = 16 };

struct root_dir {
        struct root_dirs *all;
        char *path; /* NULL: to be found by nobody */
        size_t length;
        int fd;
        unsigned users; /* places in it; it is closed when they are done */
        uint64_t used;  /* when, by root_dirs.clock */
        bool touched;   /* its file system counts as written to */
};

struct root_dirs {
        struct root_dir dirs[ROOT_DIRS_MAX]; /* the first is the root */
        uint64_t clock;
        unsigned makers;       /* places in which something may appear at any time */
        char absent[PATH_MAX]; /* "": nothing is known to be absent */
};

/* Borrows the root's descriptor. NULL: out of memory. */
struct root_dirs *root_dirs_new(int root_fd);
void root_dirs_free(struct root_dirs *all);

/* The deepest open directory that the first n bytes of the path name or are below. */
struct root_dir *root_dirs_nearest(struct root_dirs *all, const char *path, size_t n);
/* Takes over the descriptor of a directory without symlinks on its way, also on failure. NULL: out
 * of memory, or all are in use. */
struct root_dir *root_dirs_add(struct root_dirs *all, const char *path, size_t n, int fd);
/* The path, or something below it, is open. */
bool root_dirs_know(const struct root_dirs *all, const char *path);
/* Directories at the path and below, and what is absent. */
void root_dirs_forget(struct root_dirs *all, const char *path);

void root_dir_use(struct root_dir *dir);
void root_dir_leave(struct root_dir *dir);

void root_dirs_note_absent(struct root_dirs *all, const char *path, size_t n);
/* The first n bytes of the path name nothing. */
bool root_dirs_is_absent(const struct root_dirs *all, const char *path, size_t n);
/* From here to the end things may be made: nothing is known to be absent. */
void root_dirs_begin_making(struct root_dirs *all);
void root_dirs_end_making(struct root_dirs *all);
