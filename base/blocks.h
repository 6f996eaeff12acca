/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The blocks that dm-verity, the composer and the update agent count in, and the place of each
 * level in a hash tree without salt: sha256, 4096/4096, superblock first, then the levels from the
 * root down; the leaf level is the plain list of the sha256 of each block. Format: the kernel's
 * Documentation/admin-guide/device-mapper/verity.rst. */

#include "digest.h"

enum {
        BLOCK_SIZE = 4096,
        DIGESTS_PER_BLOCK = BLOCK_SIZE / SHA256_SIZE,
        HASH_TREE_LEVELS_MAX = 10,
};

/* That of a block of zeros. */
extern const struct sha256 zero_block_digest;

/* The digests of `count` blocks of data. */
void blocks_hash(const void *data, uint64_t count, struct sha256 *ret);

struct hash_tree_level {
        uint64_t offset; /* bytes from the superblock */
        uint64_t blocks;
};

/* Level 0 has the leaves, the last one has one block, whose digest is the root hash. An image of
 * one block has no levels: its own digest is the root hash. */
struct hash_tree_shape {
        uint64_t data_blocks;
        size_t levels;
        struct hash_tree_level level[HASH_TREE_LEVELS_MAX];
        uint64_t size; /* bytes, superblock included */
};

/* -EINVAL: no such image (not whole blocks, or none). */
int hash_tree_shape(uint64_t data_size, struct hash_tree_shape *ret) _must_check_;
