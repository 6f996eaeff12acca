/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See hash-tree.h. A table with open addressing: a digest's first four bytes say where in it to
 * begin, the next four are kept to tell entries apart. So an entry takes 8 bytes, and with room for
 * half as many again 12 bytes a block: as much as a sorted list of 8 + 4 bytes, but five times
 * quicker to make and to search. That two blocks agree in all of this happens once in thousands of
 * millions of updates; then one block is fetched that was there.
 *
 * Zeros are left out (nobody asks for them), and so is what stands in an image twice. */

#include <assert.h>

#include "hash-tree.h"

enum { WINDOW_BLOCKS = 4096 };

struct entry {
        uint32_t tag, block;
};
static_assert(sizeof(struct entry) == 8, "entry of the block index");

#define ENTRY_FREE UINT32_MAX /* as block */

struct block_index {
        size_t count;
        struct entry entries[];
};

/* Two numbers that have nothing to do with each other. */
static void digest_numbers(const struct sha256 *digest, uint32_t *ret_place, uint32_t *ret_tag)
{
        memcpy(ret_place, digest->bytes, sizeof(*ret_place));
        memcpy(ret_tag, digest->bytes + sizeof(*ret_place), sizeof(*ret_tag));
}

/* Where that digest is, or the free entry where it belongs. */
static size_t find_entry(const struct block_index *i, const struct sha256 *digest,
                         uint32_t *ret_tag)
{
        uint32_t place;
        size_t at;

        digest_numbers(digest, &place, ret_tag);
        at = (size_t)((uint64_t)place * i->count >> 32);
        while (i->entries[at].block != ENTRY_FREE && i->entries[at].tag != *ret_tag)
                at = at + 1 < i->count ? at + 1 : 0;
        return at;
}

static void add_block(struct block_index *i, const struct sha256 *digest, uint64_t block)
{
        uint32_t tag;
        size_t at = find_entry(i, digest, &tag);

        if (i->entries[at].block == ENTRY_FREE)
                i->entries[at] = (struct entry){ .tag = tag, .block = (uint32_t)block };
}

static int add_blocks(struct block_index *i, const struct hash_tree *t, uint64_t blocks,
                      struct error *err)
{
        _cleanup_free_ struct sha256 *leaves = calloc(WINDOW_BLOCKS, sizeof(*leaves));

        if (!leaves)
                return error_oom(err);
        for (uint64_t first = 0; first < blocks; first += WINDOW_BLOCKS) {
                uint64_t count = MIN(blocks - first, (uint64_t)WINDOW_BLOCKS);
                int r = hash_tree_leaves(t, first, count, leaves, err);

                if (r < 0)
                        return r;
                for (uint64_t k = 0; k < count; k++)
                        if (!sha256_equal(&leaves[k], &zero_block_digest))
                                add_block(i, &leaves[k], first + k);
        }
        return 0;
}

int block_index_new(const struct hash_tree *t, struct block_index **ret, struct error *err)
{
        uint64_t blocks = MIN(t->shape.data_blocks, (uint64_t)BLOCK_INDEX_MAX);
        size_t count = (size_t)(blocks + blocks / 2 + 1);
        _cleanup_(block_index_free_p) struct block_index *i =
                malloc(sizeof(*i) + count * sizeof(i->entries[0]));
        int r;

        if (!i)
                return error_oom(err);
        i->count = count;
        memset(i->entries, 0xff, count * sizeof(i->entries[0]));
        r = add_blocks(i, t, blocks, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(i);
        return 0;
}

void block_index_free(struct block_index *i)
{
        free(i);
}

bool block_index_find(const struct block_index *i, const struct sha256 *digest, uint64_t *ret_block)
{
        uint32_t tag;
        size_t at = find_entry(i, digest, &tag);

        if (i->entries[at].block == ENTRY_FREE)
                return false;
        *ret_block = i->entries[at].block;
        return true;
}
