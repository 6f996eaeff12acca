/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tree as a newc cpio archive, the format of an initramfs. */

#include "strv.h"
#include "tree.h"

/* Which nodes an archive gets. */
struct cpio_filter {
        bool (*wants)(const void *userdata, const struct tree_node *node);
        const void *userdata;
};

/* Appends directories, regular files, symlinks and device nodes in the tree's order (the root
 * itself is left out), all owned by 0:0 with the given mtime. Nodes that share an inode become
 * files of their own. filter NULL: all. -EFBIG when a file exceeds 4 GiB - 1, which the format
 * cannot say. */
int cpio_write(const struct tree *tree, const struct content_store *store, uint64_t mtime,
               const struct cpio_filter *filter, struct buffer *out,
               struct error *err) _must_check_;
/* Equal ones are of equal archives. Contents that are objects are not read for it. */
int cpio_identity(const struct tree *tree, const struct content_store *store, uint64_t mtime,
                  const struct cpio_filter *filter, struct sha256 *ret,
                  struct error *err) _must_check_;
