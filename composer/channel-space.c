/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The space contract of a channel, see channel.h: machines in the field never get larger
 * partitions, so a release that they cannot take is refused here, and growth is told before it
 * comes to that. */

#include <inttypes.h>

#include "channel.h"

enum { TREND_RELEASES = 8 };

static const struct {
        const char *name;
        size_t offset;
} partitions[] = {
        { "usr", offsetof(struct release_layout, usr) },
        { "usr-verity", offsetof(struct release_layout, usr_verity) },
        { "esp", offsetof(struct release_layout, esp) },
};

static uint64_t size_in(const struct release_layout *l, size_t partition)
{
        return *(const uint64_t *)((const char *)l + partitions[partition].offset);
}

/* Reports what lacks most. */
int channel_fits(const struct channel *c, const struct release *r, struct error *err)
{
        const struct channel_layout *layouts = c->layouts.items, *worst = NULL;
        size_t partition = 0;
        uint64_t lacking = 0;

        for (size_t i = 0; i < c->layouts.count; i++)
                for (size_t k = 0; k < ARRAY_SIZE(partitions); k++) {
                        uint64_t need = size_in(&r->layout, k),
                                 have = size_in(&layouts[i].sizes, k);

                        if (need <= have || need - have <= lacking)
                                continue;
                        worst = &layouts[i];
                        partition = k;
                        lacking = need - have;
                }
        if (!worst)
                return 0;
        return error_set(err, -ENOSPC,
                         "version %s does not fit layout '%s': it needs a partition %s of %" PRIu64
                         " bytes, there are %" PRIu64 ": %" PRIu64 " bytes are missing",
                         r->version, worst->name, partitions[partition].name,
                         size_in(&r->layout, partition), size_in(&worst->sizes, partition),
                         lacking);
}

/* One partition of one layout; no layout: as if there were room without end. */
static struct channel_trend trend_of(const struct channel *c, const struct channel_layout *layout,
                                     size_t partition)
{
        unsigned n = (unsigned)MIN(c->releases.count, (size_t)TREND_RELEASES);
        const struct channel_release *last = channel_last(c), *first = last - (n - 1);
        struct channel_trend t = {
                .partition = partitions[partition].name,
                .layout = layout ? layout->name : NULL,
                .size = size_in(&last->sizes, partition),
                .limit = layout ? size_in(&layout->sizes, partition) : UINT64_MAX,
                .releases = n,
                .left = UINT64_MAX,
        };

        if (n > 1)
                t.growth = ((int64_t)t.size - (int64_t)size_in(&first->sizes, partition)) /
                           (int64_t)(n - 1);
        if (layout && t.growth > 0)
                t.left = t.limit > t.size ? (t.limit - t.size) / (uint64_t)t.growth : 0;
        return t;
}

/* Fewer releases left, or when that is not known the smaller share of room. */
static bool is_tighter(const struct channel_trend *a, const struct channel_trend *b)
{
        if (a->left != b->left)
                return a->left < b->left;
        return (double)a->size / (double)a->limit > (double)b->size / (double)b->limit;
}

bool channel_trend(const struct channel *c, struct channel_trend *ret)
{
        const struct channel_layout *layouts = c->layouts.items;

        if (c->releases.count == 0)
                return false;
        *ret = trend_of(c, c->layouts.count > 0 ? &layouts[0] : NULL, 0);
        for (size_t i = 0; i < c->layouts.count; i++)
                for (size_t k = 0; k < ARRAY_SIZE(partitions); k++) {
                        struct channel_trend t = trend_of(c, &layouts[i], k);

                        if (is_tighter(&t, ret))
                                *ret = t;
                }
        return true;
}
