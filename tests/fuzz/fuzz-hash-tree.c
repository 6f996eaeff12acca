/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a hash tree: 4 bytes say how many blocks the image has, 32 are the root hash (zeros:
 * whatever fits the first block, so that more than the top is reached), the rest is the tree. What
 * is believed has leaves, and the index finds each of them. */

#include <assert.h>
#include <sys/mman.h>

#include "hash-tree.h"
#include "io.h"

enum { HEAD = 4 + SHA256_SIZE, BLOCKS_MAX = 20000, SIZE_MAX_ = 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_leaves(const struct hash_tree *t)
{
        uint64_t blocks = t->shape.data_blocks, found;
        _cleanup_free_ struct sha256 *leaves = calloc(blocks, sizeof(*leaves));
        _cleanup_(block_index_free_p) struct block_index *index = NULL;
        struct sha256 root_hash;

        assert(leaves && hash_tree_leaves(t, 0, blocks, leaves, NULL) == 0);
        assert(hash_tree_root(leaves, blocks, &root_hash, NULL) == 0);
        assert(block_index_new(t, &index, NULL) == 0);
        for (uint64_t i = 0; i < blocks; i++)
                assert(block_index_find(index, &leaves[i], &found) ==
                       !sha256_equal(&leaves[i], &zero_block_digest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_close_ int fd = -1;
        struct sha256 root_hash;
        struct hash_tree tree;
        uint32_t blocks;

        if (size < HEAD || size > SIZE_MAX_)
                return 0;
        memcpy(&blocks, data, sizeof(blocks));
        memcpy(&root_hash, data + 4, sizeof(root_hash));
        blocks %= BLOCKS_MAX;
        data += HEAD;
        size -= HEAD;
        if (memory_is_zero(&root_hash, sizeof(root_hash)) && size >= 2 * BLOCK_SIZE)
                sha256_of(data + BLOCK_SIZE, BLOCK_SIZE, &root_hash);
        fd = memfd_create("tree", MFD_CLOEXEC);
        if (fd < 0 || io_pwrite(fd, data, size, 0, NULL) < 0)
                return 0;
        if (hash_tree_open(fd, 0, (uint64_t)blocks * BLOCK_SIZE, &root_hash, &tree, NULL) == 0)
                check_leaves(&tree);
        return 0;
}
