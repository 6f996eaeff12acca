/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See blocks.h. */

#include "blocks.h"

const struct sha256 zero_block_digest = { {
        0xad, 0x7f, 0xac, 0xb2, 0x58, 0x6f, 0xc6, 0xe9, 0x66, 0xc0, 0x04,
        0xd7, 0xd1, 0xd1, 0x6b, 0x02, 0x4f, 0x58, 0x05, 0xff, 0x7c, 0xb4,
        0x7c, 0x7a, 0x85, 0xda, 0xbd, 0x8b, 0x48, 0x89, 0x2c, 0xa7,
} };

void blocks_hash(const void *data, uint64_t count, struct sha256 *ret)
{
        const uint8_t *block = data;

        for (uint64_t i = 0, end; i < count; i = end) {
                for (end = i; end < count && !memory_is_zero(block + end * BLOCK_SIZE, BLOCK_SIZE);)
                        end++;
                if (end > i)
                        sha256_each(block + i * BLOCK_SIZE, BLOCK_SIZE, end - i, &ret[i]);
                else
                        ret[end++] = zero_block_digest;
        }
}

int hash_tree_shape(uint64_t data_size, struct hash_tree_shape *ret)
{
        struct hash_tree_shape s = { .data_blocks = data_size / BLOCK_SIZE };
        uint64_t blocks = s.data_blocks, offset = BLOCK_SIZE /* superblock */;

        if (data_size == 0 || data_size % BLOCK_SIZE != 0)
                return -EINVAL;
        while (blocks > 1) {
                blocks = DIV_ROUND_UP(blocks, (uint64_t)DIGESTS_PER_BLOCK);
                s.level[s.levels++].blocks = blocks;
        }
        for (size_t i = s.levels; i > 0; i--) {
                s.level[i - 1].offset = offset;
                offset += s.level[i - 1].blocks * BLOCK_SIZE;
        }
        s.size = offset;
        *ret = s;
        return 0;
}
