/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See diff-blocks.h. One walk over B's blocks; for each gap it is enough to remember where the last
 * missing block ended. */

#include "diff-blocks.h"

static const uint64_t gaps[BLOCK_DIFF_GAPS] = { 0, 16 * KIB, 64 * KIB };

static int compare(const void *a, const void *b)
{
        return memcmp(a, b, SHA256_SIZE);
}

static int sort_digests(const struct block_digests *a, struct sha256 **ret, struct error *err)
{
        struct sha256 *sorted = malloc(MAX(a->count, 1ULL) * sizeof(*sorted));

        if (!sorted)
                return error_oom(err);
        memcpy(sorted, a->items, a->count * sizeof(*sorted));
        qsort(sorted, a->count, sizeof(*sorted), compare);
        *ret = sorted;
        return 0;
}

/* Notes that the block at `index` is missing; the last one before it ended at `end` (0: none). */
static void add_missing(struct block_diff *d, uint64_t index, uint64_t end)
{
        uint64_t between = (index - end) * BLOCK_SIZE;

        d->missing++;
        for (size_t i = 0; i < BLOCK_DIFF_GAPS; i++) {
                struct block_range_sum *s = &d->sums[i];
                bool joins = s->ranges > 0 && between <= s->gap;

                s->ranges += !joins;
                s->bytes += BLOCK_SIZE + (joins ? between : 0);
        }
}

int block_diff(const struct block_digests *a, const struct block_digests *b, struct block_diff *ret,
               struct error *err)
{
        _cleanup_block_digests_ struct block_digests zero = {};
        _cleanup_free_ struct sha256 *sorted = NULL;
        struct block_diff d = { .blocks = b->count };
        uint64_t end = 0;
        int r;

        r = block_digests_init(&zero, 1, err);
        if (r >= 0)
                r = sort_digests(a, &sorted, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < BLOCK_DIFF_GAPS; i++)
                d.sums[i].gap = gaps[i];
        for (uint64_t i = 0; i < b->count; i++) {
                if (sha256_equal(&b->items[i], zero.items)) {
                        d.zeros++;
                } else if (!bsearch(&b->items[i], sorted, a->count, sizeof(*sorted), compare)) {
                        add_missing(&d, i, end);
                        end = i + 1;
                }
        }
        *ret = d;
        return 0;
}
