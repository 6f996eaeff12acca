/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Digests of blocks, zeros among them, and the shape of hash trees. */

#include "blocks.h"
#include "test.h"

static void digests(void **state _unused_)
{
        static uint8_t data[4 * BLOCK_SIZE];
        struct sha256 each[4], expected;

        data[1 * BLOCK_SIZE] = 1;
        data[4 * BLOCK_SIZE - 1] = 2;
        blocks_hash(data, 4, each);
        for (size_t i = 0; i < 4; i++) {
                sha256_of(data + i * BLOCK_SIZE, BLOCK_SIZE, &expected);
                assert_true(sha256_equal(&each[i], &expected));
        }
        assert_true(sha256_equal(&each[0], &zero_block_digest));
}

/* Data blocks → blocks of each level, from the leaves up. */
static const struct {
        uint64_t data_blocks, levels[4];
} shapes[] = {
        { 1, {} },
        { 2, { 1 } },
        { 128, { 1 } },
        { 129, { 2, 1 } },
        { 128 * 128, { 128, 1 } },
        { 128 * 128 + 1, { 129, 2, 1 } },
        { 128ULL * 128 * 128 + 1, { 128 * 128 + 1, 129, 2, 1 } },
};

static void shape(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
                struct hash_tree_shape s;
                uint64_t below = BLOCK_SIZE;
                size_t levels = 0;

                assert_int_equal(hash_tree_shape(shapes[i].data_blocks * BLOCK_SIZE, &s), 0);
                assert_int_equal(s.data_blocks, shapes[i].data_blocks);
                while (levels < 4 && shapes[i].levels[levels] > 0)
                        levels++;
                assert_int_equal(s.levels, levels);
                /* From the root, behind the superblock, down to the leaves, without gaps. */
                while (levels-- > 0) {
                        assert_int_equal(s.level[levels].blocks, shapes[i].levels[levels]);
                        assert_int_equal(s.level[levels].offset, below);
                        below += s.level[levels].blocks * BLOCK_SIZE;
                }
                assert_int_equal(s.size, below);
        }
}

static void no_image(void **state _unused_)
{
        struct hash_tree_shape s;

        assert_int_equal(hash_tree_shape(0, &s), -EINVAL);
        assert_int_equal(hash_tree_shape(4095, &s), -EINVAL);
        assert_int_equal(hash_tree_shape(BLOCK_SIZE + 1, &s), -EINVAL);
        assert_int_equal(hash_tree_shape(UINT64_MAX - BLOCK_SIZE + 1, &s), 0);
        assert_true(s.levels < HASH_TREE_LEVELS_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(digests),
                cmocka_unit_test(shape),
                cmocka_unit_test(no_image),
        };

        return test_run(tests);
}
