/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* dm-verity: sha256, 4096/4096, no salt, so that the leaf level is the plain list of sha256 of each
 * block. The tree is made from the digests that the image's writer noted. Format: the kernel's
 * Documentation/admin-guide/device-mapper/verity.rst, the superblock as cryptsetup defines it. */

#include "block-digests.h"

/* Bytes of superblock + tree for an image of that size, rounded up to blocks. */
uint64_t verity_tree_size(uint64_t data_size);

/* Writes superblock (with uuid) and tree to fd at offset, where verity_tree_size() bytes read as
 * zeros (a hole) before: then they are what `veritysetup format` writes, byte for byte. fd -1: only
 * the root hash is wanted. */
int verity_write(const struct block_digests *leaves, const struct uuid *uuid, int fd,
                 uint64_t offset, struct sha256 *ret_root_hash, struct error *err) _must_check_;
/* verity-check.c: the leaves of the tree at this place of a file, where there are `room` bytes.
 * -EBADMSG unless its superblock is one of ours and all of it comes to the root hash. */
int verity_check_tree(int fd, uint64_t offset, uint64_t room, const struct sha256 *root_hash,
                      struct block_digests *ret_leaves, struct error *err) _must_check_;
/* Whether the blocks of the image at this place are those. */
int verity_check_blocks(int fd, uint64_t offset, const struct block_digests *leaves,
                        struct error *err) _must_check_;
