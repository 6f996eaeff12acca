/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a machine that has image A must fetch to have image B, when the leaves of B's hash tree are
 * its index: a block of B (4 KiB) is *missing* when its sha256 is that of no block of A, wherever
 * in A that would be. A block of zeros is never missing: a hole needs no fetch. A missing block
 * that occurs several times in B counts each time. Blocks are fetched in ranges: two missing blocks
 * belong to one range when what lies between them is not longer than the gap; it is fetched along
 * then. Not counted is the hash tree itself (a 127th of the image). */

#include "block-digests.h"

enum { BLOCK_DIFF_GAPS = 3 };

struct block_range_sum {
        uint64_t gap;           /* bytes, a multiple of BLOCK_SIZE */
        uint64_t ranges, bytes; /* bytes: with the gaps that are fetched along */
};

struct block_diff {
        uint64_t blocks, zeros; /* of B */
        uint64_t missing;
        struct block_range_sum sums[BLOCK_DIFF_GAPS]; /* gaps of 0, 16 KiB, 64 KiB */
};

/* Sorts a copy of A's digests: a 128th of A's size in memory. */
int block_diff(const struct block_digests *a, const struct block_digests *b, struct block_diff *ret,
               struct error *err) _must_check_;
