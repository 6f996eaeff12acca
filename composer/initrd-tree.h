/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The initrd while it is put together: a second tree, with the paths of the image, that takes files
 * and what they need from the image's tree. */

#include "workdir.h"

struct requester;

struct initrd {
        const struct tree *image;
        const struct content_store *store;
        const char *const *library_dirs; /* the dynamic linker's own, in order; ends with NULL */
        int level;                       /* of compress(); 0: the default */
        struct tree *tree;
        const struct requester *requester; /* initrd-include.c: whose needs are being included */
};

/* Includes the path, or what matches the pattern (glob_match()): files with the libraries they
 * need, directories with what is below, symlinks with what they point to. -ENOENT when there is no
 * such thing in the image. */
int initrd_include(struct initrd *i, const char *pattern, struct error *err) _must_check_;
/* The same for one path. Returns 1, or 0 when the path, or what a symlink leads to, is not in the
 * image. */
int initrd_include_path(struct initrd *i, const char *path, struct error *err) _must_check_;

/* initrd-modules.c: the named kernel modules with what they depend on, uncompressed, with indexes
 * of their own and their firmware. Works in a private directory below the cache. */
int initrd_modules(struct initrd *i, const struct workdir *w, const char *kernel_version,
                   char *const *names, struct error *err) _must_check_;

/* initrd-archive.c: the tree as newc cpio through zstd, to fd from its start. What was compressed
 * before comes from the cache. */
int initrd_archive(const struct initrd *i, int cache_fd, unsigned threads, int fd,
                   struct error *err) _must_check_;
