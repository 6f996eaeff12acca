/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tree as a newc cpio archive, the format of an initramfs. */

#include "tree.h"

/* Where the archive goes, piece by piece. */
struct cpio_sink {
        int (*write)(void *userdata, const void *data, size_t size, struct error *err);
        void *userdata;
};

/* Writes directories, regular files, symlinks and device nodes in the tree's order (the root itself
 * is left out), all owned by 0:0 with the given mtime. Nodes that share an inode become files of
 * their own. -EFBIG when a file exceeds 4 GiB - 1, which the format cannot say. */
int cpio_write(const struct tree *tree, const struct content_store *store, uint64_t mtime,
               const struct cpio_sink *sink, struct error *err) _must_check_;
