/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A hash tree as a block index: the leaf level of dm-verity's tree says the sha256 of each block of
 * an image, so two trees say which blocks a machine has already. Trees are files, or ranges of
 * partitions, and are read in windows: memory does not grow with the image, but for the index,
 * which takes 12 bytes a block and ends at BLOCK_INDEX_MAX. */

#include "blocks.h"

enum { BLOCK_INDEX_MAX = 3 * 1024 * 1024 /* blocks: 12 GiB of image, 36 MiB of memory */ };

struct hash_tree {
        int fd;          /* borrowed */
        uint64_t offset; /* of the superblock in it */
        struct hash_tree_shape shape;
        struct sha256 root_hash; /* zeros when nobody knows */
};

/* Checks the whole tree against the root hash, superblock included: nothing that follows has to
 * doubt a leaf. -EBADMSG when it is another one's, or damaged. */
int hash_tree_open(int fd, uint64_t offset, uint64_t data_size, const struct sha256 *root_hash,
                   struct hash_tree *ret, struct error *err) _must_check_;
/* Only the shape; leaves that somebody else has to doubt (each block is hashed before it is used).
 */
int hash_tree_trust(int fd, uint64_t offset, uint64_t data_size, struct hash_tree *ret,
                    struct error *err) _must_check_;
/* Leaves [first, first + count). */
int hash_tree_leaves(const struct hash_tree *t, uint64_t first, uint64_t count, struct sha256 *ret,
                     struct error *err) _must_check_;

/* The root hash of a tree over such leaves: what an image is known by that is small enough to be
 * hashed as a whole. */
int hash_tree_root(const struct sha256 *leaves, uint64_t count, struct sha256 *ret,
                   struct error *err) _must_check_;

/* Where a block with a given content is. */
struct block_index;
int block_index_new(const struct hash_tree *t, struct block_index **ret,
                    struct error *err) _must_check_;
void block_index_free(struct block_index *i);
DEFINE_CLEANUP(struct block_index, block_index_free)
/* A candidate by the digest's first bytes: the caller hashes what it reads there. */
bool block_index_find(const struct block_index *i, const struct sha256 *digest,
                      uint64_t *ret_block);
