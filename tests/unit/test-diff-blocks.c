/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which blocks of B are missing in A, and the ranges they are fetched in. */

#include "test.h"

#include "diff-blocks.h"

/* One block a letter: equal letters are equal blocks, '.' is a block of zeros. */
static void fill(struct block_digests *b, const char *letters)
{
        struct error err = {};

        assert_ok(block_digests_init(b, strlen(letters), &err), &err);
        for (size_t i = 0; letters[i]; i++) {
                char block[BLOCK_SIZE] = { letters[i] == '.' ? '\0' : letters[i] };

                block_digests_set(b, i, block, 1);
        }
}

struct sum {
        uint64_t ranges, blocks;
};

static void check(const char *before, const char *after, uint64_t missing, const struct sum *sums)
{
        _cleanup_block_digests_ struct block_digests a = {}, b = {};
        struct block_diff d;
        struct error err = {};

        fill(&a, before);
        fill(&b, after);
        assert_ok(block_diff(&a, &b, &d, &err), &err);
        assert_int_equal(d.blocks, strlen(after));
        assert_int_equal(d.missing, missing);
        for (size_t i = 0; i < BLOCK_DIFF_GAPS; i++) {
                assert_int_equal(d.sums[i].ranges, sums[i].ranges);
                assert_int_equal(d.sums[i].bytes, sums[i].blocks * BLOCK_SIZE);
        }
}

static void content_counts_not_place(void **state _unused_)
{
        check("abcdef", "fedcba", 0, (struct sum[BLOCK_DIFF_GAPS]){});
        check("abc", "aabbccabc", 0, (struct sum[BLOCK_DIFF_GAPS]){});
        check("abc", "xabcx", 2, (struct sum[]){ { 2, 2 }, { 1, 5 }, { 1, 5 } });
        check("", "ab", 2, (struct sum[]){ { 1, 2 }, { 1, 2 }, { 1, 2 } });
        check("ab", "", 0, (struct sum[BLOCK_DIFF_GAPS]){});
}

static void zeros_are_never_missing(void **state _unused_)
{
        check("abc", "a..c", 0, (struct sum[BLOCK_DIFF_GAPS]){});
        check("", "....", 0, (struct sum[BLOCK_DIFF_GAPS]){});
        check("abc", "x.x", 2, (struct sum[]){ { 2, 2 }, { 1, 3 }, { 1, 3 } });
}

/* 16 KiB are four blocks, 64 KiB sixteen. */
static void gaps_join_up_to_their_length(void **state _unused_)
{
        check("a", "xaaaax", 2, (struct sum[]){ { 2, 2 }, { 1, 6 }, { 1, 6 } });
        check("a", "xaaaaax", 2, (struct sum[]){ { 2, 2 }, { 2, 2 }, { 1, 7 } });
        check("a", "xaaaaaaaaaaaaaaaax", 2, (struct sum[]){ { 2, 2 }, { 2, 2 }, { 1, 18 } });
        check("a", "xaaaaaaaaaaaaaaaaax", 2, (struct sum[]){ { 2, 2 }, { 2, 2 }, { 2, 2 } });
        /* What is before the first and behind the last missing block is nobody's gap. */
        check("a", "aaxxaxyaa", 4, (struct sum[]){ { 2, 4 }, { 1, 5 }, { 1, 5 } });
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(content_counts_not_place),
                cmocka_unit_test(zeros_are_never_missing),
                cmocka_unit_test(gaps_join_up_to_their_length),
        };

        return test_run(tests);
}
