/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where everything goes, once it is known what it takes: one after the other, or, so that an update
 * fetches little, like an earlier image (the base).
 *
 * Like the base: a file whose object is in the base lies where it lies there, under whatever name.
 * An inode keeps the node id of the one that has its path there, if it fits the place, and a
 * directory its blocks. What is new goes where the base's other things have left room, else to the
 * end. So blocks of the zone change only where what they describe has changed. The zone stays where
 * it is in the base as long as it fits there. */

#include <inttypes.h>

#include "erofs-internal.h"
#include "space.h"

/* ---- the zone, as a row of slots ---- */

uint64_t erofs_item_extent(const struct erofs_item *item)
{
        uint64_t size = item->inode_size + item->xattr_size + erofs_item_tail(item);

        return item->layout == EROFS_COMPRESSED_COMPACT ? size + erofs_map_size(item) : size;
}

static void zone_end(struct erofs_image *image, uint64_t slots)
{
        image->zone_blocks = DIV_ROUND_UP(slots, EROFS_BLOCK_SLOTS);
}

/* ---- one after the other ---- */

/* Inodes with what follows them; returns the end, in bytes. */
static uint64_t place_inodes(struct erofs_image *image)
{
        uint64_t position = EROFS_SLOT_SIZE; /* slot 0 is left free */

        for (size_t i = 0; i < image->n_items; i++) {
                struct erofs_item *item = &image->items[i];
                uint64_t size = erofs_item_extent(item);

                position = ROUND_UP(position, EROFS_SLOT_SIZE);
                if (size <= EROFS_BLOCK_SIZE &&
                    position % EROFS_BLOCK_SIZE + size > EROFS_BLOCK_SIZE)
                        position = ROUND_UP(position, EROFS_BLOCK_SIZE);
                item->position = position;
                position += size;
        }
        return position;
}

/* Whole blocks of directories and symlinks, behind the inodes. */
static void place_zone_blocks(struct erofs_image *image, uint64_t inodes_end)
{
        uint64_t block = DIV_ROUND_UP(inodes_end, EROFS_BLOCK_SIZE);

        for (size_t i = 0; i < image->n_items; i++) {
                struct erofs_item *item = &image->items[i];

                if (S_ISREG(item->inode->mode))
                        continue;
                item->block = (uint32_t)block;
                block += erofs_item_plain_blocks(item);
        }
        zone_end(image, block * EROFS_BLOCK_SLOTS);
}

void erofs_place_zone(struct erofs_image *image)
{
        place_zone_blocks(image, place_inodes(image));
        image->end_block = image->zone_block + image->zone_blocks;
}

/* The image's places hold: its size is known. */
static void settle(struct erofs_image *image, uint64_t end_block)
{
        image->end_block = image->bound_blocks = end_block;
        image->placed = true;
}

void erofs_image_place(struct erofs_image *image)
{
        uint64_t block = 1;

        for (size_t i = 0; i < image->n_files; i++) {
                image->files[i]->block = (uint32_t)block;
                block += image->files[i]->blocks;
        }
        image->zone_block = block;
        erofs_place_zone(image);
        settle(image, image->end_block);
}

/* ---- what corresponds in the base ---- */

static int compare_objects(const void *a, const void *b)
{
        const struct erofs_item *x = *(struct erofs_item *const *)a,
                                *y = *(struct erofs_item *const *)b;

        return memcmp(&x->inode->object, &y->inode->object, sizeof(x->inode->object));
}

/* The base's files that are objects, sorted by these. */
static int sort_files(const struct erofs_image *base, struct erofs_item ***ret, size_t *ret_n,
                      struct error *err)
{
        struct erofs_item **files = calloc(base->n_files + 1, sizeof(*files));
        size_t n = 0;

        if (!files)
                return error_oom(err);
        for (size_t i = 0; i < base->n_files; i++)
                if (base->files[i]->inode->kind == CONTENT_OBJECT)
                        files[n++] = base->files[i];
        qsort(files, n, sizeof(*files), compare_objects);
        *ret = files;
        *ret_n = n;
        return 0;
}

/* The base's item of the same path, or NULL: both trees are sorted by name, and `parent` is the
 * base's node of the directory. */
static const struct tree_node *same_name(const struct tree_node *parent,
                                         const struct tree_node *node)
{
        return parent ? tree_child(parent, node->name) : NULL;
}

/* ---- like the base ---- */

struct rebase {
        struct erofs_image *image;
        const struct erofs_image *base;
        struct space blocks, slots;
        const struct erofs_item **models; /* of each item: the base's of the same path, or NULL */
        struct erofs_item **files;        /* of the base, by object */
        size_t n_files;
        bool *kept; /* of each item: its inode has its place */
};

static void rebase_done(struct rebase *b)
{
        space_done(&b->blocks);
        space_done(&b->slots);
        free(b->models);
        free(b->files);
        free(b->kept);
}

/* Walks both trees side by side. */
static void find_models(struct rebase *b, const struct tree_node *node,
                        const struct tree_node *model)
{
        const struct erofs_item *item = erofs_item_find(b->image, node->inode);
        size_t index = (size_t)(item - b->image->items);

        if (model && item->node == node) {
                const struct erofs_item *other = erofs_item_find(b->base, model->inode);

                if (other->node == model)
                        b->models[index] = other;
        }
        for (size_t i = 0; i < node->n_children; i++)
                find_models(b, node->children[i], same_name(model, node->children[i]));
}

/* An inode that has grown does not fit; nor may one that has become small cross a block. */
static bool fits_place(const struct erofs_item *item, const struct erofs_item *model)
{
        uint64_t size = erofs_item_extent(item);

        return erofs_item_slots(item) <= erofs_item_slots(model) &&
               (size > EROFS_BLOCK_SIZE ||
                model->position % EROFS_BLOCK_SIZE + size <= EROFS_BLOCK_SIZE);
}

static int keep_inodes(struct rebase *b, struct error *err)
{
        for (size_t i = 0; i < b->image->n_items; i++) {
                struct erofs_item *item = &b->image->items[i];
                const struct erofs_item *model = b->models[i];
                uint64_t blocks = erofs_item_zone_blocks(item);
                int r = 0;

                if (model && fits_place(item, model)) {
                        b->kept[i] = true;
                        item->position = model->position;
                        r = space_claim(&b->slots, item->position / EROFS_SLOT_SIZE,
                                        erofs_item_slots(item), err);
                }
                item->block = 0;
                if (r >= 0 && model && blocks > 0 && erofs_item_zone_blocks(model) == blocks) {
                        item->block = model->block;
                        r = space_claim(&b->slots, (uint64_t)item->block * EROFS_BLOCK_SLOTS,
                                        blocks * EROFS_BLOCK_SLOTS, err);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_inodes(struct rebase *b, struct error *err)
{
        uint64_t slot, blocks;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < b->image->n_items; i++) {
                struct erofs_item *item = &b->image->items[i];

                if (!b->kept[i]) {
                        r = space_take(&b->slots, erofs_item_slots(item), 1, EROFS_BLOCK_SLOTS,
                                       &slot, err);
                        if (r >= 0)
                                item->position = slot * EROFS_SLOT_SIZE;
                }
                blocks = erofs_item_zone_blocks(item);
                if (r >= 0 && blocks > 0 && item->block == 0) {
                        r = space_take(&b->slots, blocks * EROFS_BLOCK_SLOTS, EROFS_BLOCK_SLOTS, 0,
                                       &slot, err);
                        if (r >= 0)
                                item->block = (uint32_t)(slot / EROFS_BLOCK_SLOTS);
                }
        }
        return r;
}

/* Gives all metadata its place in the zone. */
static int rebase_zone(struct rebase *b, struct error *err)
{
        int r;

        r = space_init(&b->slots, b->base->zone_blocks * EROFS_BLOCK_SLOTS, err);
        if (r >= 0)
                r = space_claim(&b->slots, 0, 1, err);
        if (r >= 0)
                r = keep_inodes(b, err);
        if (r >= 0)
                r = take_inodes(b, err);
        if (r >= 0)
                zone_end(b->image, b->slots.end);
        return r;
}

static bool same_contents(const struct erofs_item *file, const struct erofs_item *other)
{
        return other && other->inode->kind == CONTENT_OBJECT &&
               sha256_equal(&other->inode->object, &file->inode->object) &&
               other->blocks == file->blocks && other->layout == file->layout;
}

/* The base's file of the same path, or of any, if its contents are the same and packed the same
 * way; else NULL. */
static const struct erofs_item *find_contents(const struct rebase *b, struct erofs_item *file,
                                              bool same_path)
{
        const struct erofs_item *found = b->models[file - b->image->items];
        struct erofs_item *const *by_object;

        if (file->inode->kind != CONTENT_OBJECT)
                return NULL;
        if (!same_path) {
                by_object =
                        bsearch(&file, b->files, b->n_files, sizeof(*b->files), compare_objects);
                found = by_object ? *by_object : NULL;
        }
        return same_contents(file, found) ? found : NULL;
}

static int keep_files(struct rebase *b, bool same_path, struct error *err)
{
        for (size_t i = 0; i < b->image->n_files; i++) {
                struct erofs_item *file = b->image->files[i];
                const struct erofs_item *same;
                int r;

                if (same_path)
                        file->block = 0;
                same = file->block == 0 ? find_contents(b, file, same_path) : NULL;
                if (!same)
                        continue;
                r = space_claim(&b->blocks, same->block, same->blocks, err);
                if (r == -EEXIST)
                        continue; /* another file with the same contents has it */
                if (r < 0)
                        return r;
                file->block = same->block;
        }
        return 0;
}

static int take_files(struct rebase *b, struct error *err)
{
        uint64_t block;

        for (size_t i = 0; i < b->image->n_files; i++) {
                struct erofs_item *file = b->image->files[i];
                int r;

                if (file->block != 0)
                        continue;
                r = space_take(&b->blocks, file->blocks, 1, 0, &block, err);
                if (r < 0)
                        return r;
                file->block = (uint32_t)block;
        }
        return 0;
}

/* The zone stays where it is if it fits, which it also does at the image's end. */
static int place_zone(struct rebase *b, struct error *err)
{
        const struct erofs_image *base = b->base;
        struct erofs_image *image = b->image;
        bool last = base->zone_block + base->zone_blocks == base->end_block;

        image->zone_block = base->zone_block;
        if (image->zone_blocks <= base->zone_blocks || last)
                return space_claim(&b->blocks, image->zone_block, image->zone_blocks, err);
        return space_take(&b->blocks, image->zone_blocks, 1, 0, &image->zone_block, err);
}

/* Gives the zone and all contents their place in the image. */
static int rebase_blocks(struct rebase *b, struct error *err)
{
        int r;

        r = space_init(&b->blocks, b->base->end_block, err);
        if (r >= 0)
                r = space_claim(&b->blocks, 0, 1, err);
        if (r >= 0)
                r = keep_files(b, true, err);
        if (r >= 0)
                r = keep_files(b, false, err);
        if (r >= 0)
                r = place_zone(b, err);
        if (r >= 0)
                r = take_files(b, err);
        return r;
}

/* The row ends with what is taken last. */
static uint64_t used_end(const struct space *s)
{
        const struct space_range *last = s->count > 0 ? &s->ranges[s->count - 1] : NULL;

        return last && last->start + last->size == s->end ? last->start : s->end;
}

bool erofs_places_hold(const struct erofs_image *image, uint64_t end)
{
        uint64_t used = image->zone_blocks + 1;

        for (size_t i = 0; i < image->n_files; i++)
                used += image->files[i]->blocks;
        return end <= used + used / EROFS_REBASE_GROWTH + EROFS_REBASE_SLACK && end <= UINT32_MAX &&
               erofs_item_nid(&image->items[0]) <= UINT16_MAX;
}

int erofs_image_rebase(struct erofs_image *image, const struct erofs_image *base, struct error *err)
{
        _cleanup_(rebase_done) struct rebase b = { .image = image, .base = base };
        int r;

        b.models = calloc(image->n_items, sizeof(*b.models));
        b.kept = calloc(image->n_items, sizeof(*b.kept));
        if (!b.models || !b.kept)
                return error_oom(err);
        r = sort_files(base, &b.files, &b.n_files, err);
        if (r < 0)
                return r;
        find_models(&b, image->top, base->top);
        r = rebase_zone(&b, err);
        if (r >= 0)
                r = rebase_blocks(&b, err);
        if (r < 0)
                return r;
        if (!erofs_places_hold(image, used_end(&b.blocks))) {
                erofs_image_place(image);
                return 1;
        }
        settle(image, used_end(&b.blocks));
        return 0;
}
