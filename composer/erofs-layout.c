/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The places of an image as a record, for the commit of an image that lies like an earlier one:
 * with it the image follows from the commit alone.
 *
 *   zone's first block, zone's blocks, image's blocks
 *   for each inode in tree order: its slot, less the one behind the inode before
 *       regular with contents: first block, less the one behind the file before; blocks that
 *           compression saves
 *       with blocks in the zone: the first, less the one behind those before
 *
 * Numbers are those of number.h; differences have their sign in the lowest bit. */

#include <inttypes.h>

#include "erofs-internal.h"
#include "number.h"
#include "space.h"
#include "strv.h"

enum { LAYOUT_ZONE_BLOCKS_MAX = 4 * 1024 * 1024 };

/* Where what comes next would lie if it lay behind what came before. */
struct expected {
        uint64_t slot, block, zone_block;
};

/* ---- encoding ---- */

static void put_difference(struct buffer *b, uint64_t value, uint64_t from)
{
        number_put(b, value >= from ? (value - from) << 1 : ((from - value) << 1) - 1);
}

static void put_item(struct buffer *b, const struct erofs_item *item, struct expected *e)
{
        uint64_t zone_blocks = erofs_item_zone_blocks(item);

        put_difference(b, erofs_item_nid(item), e->slot);
        e->slot = erofs_item_nid(item) + erofs_item_slots(item);
        if (S_ISREG(item->inode->mode) && item->size > 0) {
                put_difference(b, item->block, e->block);
                number_put(b, erofs_item_plain_blocks(item) - item->blocks);
                e->block = item->block + item->blocks;
        }
        if (zone_blocks > 0) {
                put_difference(b, item->block, e->zone_block);
                e->zone_block = item->block + zone_blocks;
        }
}

void erofs_image_layout(const struct erofs_image *image, struct buffer *ret)
{
        struct expected e = {};

        number_put(ret, image->zone_block);
        number_put(ret, image->zone_blocks);
        number_put(ret, image->end_block);
        for (size_t i = 0; i < image->n_items; i++)
                put_item(ret, &image->items[i], &e);
}

/* ---- decoding ---- */

struct decoder {
        const uint8_t *at, *end;
        struct space blocks, slots; /* what is taken */
        struct error *err;
};

static void decoder_done(struct decoder *d)
{
        space_done(&d->blocks);
        space_done(&d->slots);
}

static int refuse(struct decoder *d, const char *why)
{
        return error_set(d->err, -EBADMSG, "layout: %s", why);
}

static int claim(struct decoder *d, struct space *s, uint64_t start, uint64_t size)
{
        int r = space_claim(s, start, size, d->err);

        return r == -EEXIST ? refuse(d, "two things lie in one place") : r;
}

static int get_number(struct decoder *d, uint64_t max, uint64_t *ret)
{
        const char *wrong = number_take(&d->at, d->end, max, ret);

        return wrong ? refuse(d, wrong) : 0;
}

static int get_difference(struct decoder *d, uint64_t from, uint64_t max, uint64_t *ret)
{
        uint64_t number, size;
        int r = get_number(d, UINT64_MAX, &number);

        if (r < 0)
                return r;
        size = (number >> 1) + (number & 1);
        if (number & 1 ? size > from : size > max || from > max - size)
                return refuse(d, "a place is out of range");
        *ret = number & 1 ? from - size : from + size;
        return 0;
}

static int get_contents(struct decoder *d, struct erofs_item *item, struct expected *e)
{
        uint64_t plain = erofs_item_plain_blocks(item), block = 0, saved = 0;
        int r;

        r = get_difference(d, e->block, UINT32_MAX, &block);
        if (r >= 0)
                r = get_number(d, item->compress ? plain - 1 : 0, &saved);
        if (r < 0)
                return r;
        item->block = (uint32_t)block;
        item->blocks = (uint32_t)(plain - saved);
        if (saved > 0)
                item->layout = EROFS_COMPRESSED_COMPACT;
        e->block = block + item->blocks;
        return claim(d, &d->blocks, block, item->blocks);
}

static int get_zone_blocks(struct decoder *d, struct erofs_item *item, struct expected *e)
{
        uint64_t blocks = erofs_item_zone_blocks(item), block = 0;
        int r = get_difference(d, e->zone_block, UINT32_MAX, &block);

        if (r < 0)
                return r;
        item->block = (uint32_t)block;
        e->zone_block = block + blocks;
        return claim(d, &d->slots, block * EROFS_BLOCK_SLOTS, blocks * EROFS_BLOCK_SLOTS);
}

static int get_inode(struct decoder *d, struct erofs_item *item, uint64_t slot)
{
        uint64_t size = erofs_item_extent(item);

        item->position = slot * EROFS_SLOT_SIZE;
        if (size <= EROFS_BLOCK_SIZE && item->position % EROFS_BLOCK_SIZE + size > EROFS_BLOCK_SIZE)
                return refuse(d, "an inode crosses a block");
        return claim(d, &d->slots, slot, erofs_item_slots(item));
}

static int get_item(struct decoder *d, struct erofs_item *item, struct expected *e)
{
        uint64_t slot;
        int r = get_difference(d, e->slot, UINT32_MAX, &slot);

        /* What the inode takes depends on its contents. */
        if (r >= 0 && S_ISREG(item->inode->mode) && item->size > 0)
                r = get_contents(d, item, e);
        if (r >= 0)
                r = get_inode(d, item, slot);
        if (r >= 0 && erofs_item_zone_blocks(item) > 0)
                r = get_zone_blocks(d, item, e);
        e->slot = slot + erofs_item_slots(item);
        return r;
}

static int get_head(struct decoder *d, struct erofs_image *image)
{
        int r;

        r = get_number(d, UINT32_MAX, &image->zone_block);
        if (r >= 0)
                r = get_number(d, LAYOUT_ZONE_BLOCKS_MAX, &image->zone_blocks);
        if (r >= 0)
                r = get_number(d, UINT32_MAX, &image->end_block);
        if (r >= 0)
                r = space_init(&d->blocks, image->end_block, d->err);
        if (r >= 0)
                r = space_init(&d->slots, image->zone_blocks * EROFS_BLOCK_SLOTS, d->err);
        if (r >= 0)
                r = claim(d, &d->blocks, 0, 1);
        if (r >= 0)
                r = claim(d, &d->slots, 0, 1);
        if (r >= 0)
                r = claim(d, &d->blocks, image->zone_block, image->zone_blocks);
        return r;
}

int erofs_image_apply(struct erofs_image *image, const void *layout, size_t size, struct error *err)
{
        _cleanup_(decoder_done) struct decoder d = { .at = layout,
                                                     .end = (const uint8_t *)layout + size,
                                                     .err = err };
        struct expected e = {};
        int r;

        r = get_head(&d, image);
        for (size_t i = 0; r >= 0 && i < image->n_items; i++)
                r = get_item(&d, &image->items[i], &e);
        if (r < 0)
                return r;
        if (d.at != d.end)
                return refuse(&d, "there is more than the tree has");
        if (d.blocks.end != image->end_block ||
            d.slots.end != image->zone_blocks * EROFS_BLOCK_SLOTS)
                return refuse(&d, "something lies outside");
        if (!erofs_places_hold(image, image->end_block))
                return refuse(&d, "too much lies idle, or the root lies too far");
        image->bound_blocks = image->end_block;
        image->placed = true;
        return 0;
}
