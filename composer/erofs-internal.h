/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image in the making, shared by the files of the EROFS writer and by nobody else: erofs.c
 * makes it, erofs-data.c gives the contents of files their blocks and writes them, erofs-zone.c
 * places and encodes the metadata, erofs-cluster.c, erofs-xattr.c and erofs-directory.c know their
 * own records.
 *
 * Contents are cut into pieces of piece_size, each of a file of its own: what is compressed as one.
 * Threads take batches of pieces. */

#include "erofs-format.h"
#include "erofs.h"

/* One inode of the image. */
struct erofs_item {
        const struct tree_inode *inode;
        const struct tree_node *node; /* its first name */
        uint64_t position;            /* of the on-disk inode, bytes from the zone's start */
        uint64_t size;                /* i_size */
        uint32_t nlink;
        uint32_t block;      /* first block of what is not inline: in the image for a regular file,
                                else in the zone */
        uint32_t blocks;     /* of a regular file */
        uint32_t done;       /* so many of them in this pass */
        uint32_t piece;      /* index of its first */
        uint32_t xattr_size; /* bytes between inode and inline data, 0 or header + entries */
        uint8_t inode_size;  /* 32 or 64 */
        uint8_t layout;      /* enum erofs_data_layout */
        bool compress;       /* is tried */
        const struct extent *kept; /* in the cache, or NULL */
        uint32_t cache_block;      /* in the cache's new pack */
        uint32_t cache_blocks;     /* so many of the file's are there */
};

/* Finds the item of a tree inode; sorted by address, which nothing but lookups depends on. */
struct erofs_index {
        const struct tree_inode *inode;
        size_t item;
};

struct erofs_image {
        struct tree_node *top; /* the image's root */
        struct uuid uuid;
        char label[EROFS_LABEL_SIZE];
        uint64_t build_time;
        struct codec_settings codec;
        struct extent_cache *cache;
        uint32_t piece_size;
        struct erofs_item *items; /* in tree order */
        struct erofs_index *index;
        size_t n_items;
        struct erofs_item **files; /* with contents, in the same order */
        size_t n_files;
        uint32_t n_pieces;
        uint16_t *piece_blocks; /* of each compressed piece; 0: it stayed plain */
        uint32_t *batches;      /* first piece of each, and the end */
        size_t n_batches;
        uint64_t bound_blocks;          /* no image has more */
        uint64_t zone_block, end_block; /* data ends and the zone begins, the image ends */
        uint8_t *zone;                  /* the zone's bytes */
        uint64_t zone_blocks;
        bool placed; /* everything has its place, before it is written */
        bool keep;   /* new contents go to the cache */
};

/* The item of an inode that is in the tree. */
const struct erofs_item *erofs_item_find(const struct erofs_image *image,
                                         const struct tree_inode *inode);
static inline uint64_t erofs_item_nid(const struct erofs_item *item)
{
        return item->position / EROFS_SLOT_SIZE;
}
/* Bytes of the last, partial block when it is inline, else 0. */
static inline uint32_t erofs_item_tail(const struct erofs_item *item)
{
        return item->layout == EROFS_FLAT_INLINE ? (uint32_t)(item->size % EROFS_BLOCK_SIZE) : 0;
}
/* Blocks that its size takes, plain and without what is inline. */
static inline uint64_t erofs_item_plain_blocks(const struct erofs_item *item)
{
        return item->layout == EROFS_FLAT_INLINE ? item->size / EROFS_BLOCK_SIZE
                                                 : DIV_ROUND_UP(item->size, EROFS_BLOCK_SIZE);
}

/* ---- contents ---- */

/* Compresses and writes the contents of all files: to their places, or, where the image is not
 * placed, one behind the other from block 1 on; then sets image->zone_block. */
int erofs_data_write(struct erofs_image *image, const struct content_store *store,
                     const struct erofs_target *target, unsigned threads,
                     struct error *err) _must_check_;
/* Finds out what the contents of all files take. */
int erofs_data_measure(struct erofs_image *image, const struct content_store *store,
                       unsigned threads, struct error *err) _must_check_;
/* Writes blocks, whose digests are given, at a position of the image, but for those that are zeros
 * and those that the target has no room for, and notes the digests. */
int erofs_blocks_write(const struct erofs_target *target, const uint8_t *data,
                       const struct sha256 *digests, uint64_t blocks, uint64_t block,
                       struct error *err) _must_check_;
/* Bytes of a piece, by its index. */
static inline size_t erofs_piece_size(const struct erofs_image *image,
                                      const struct erofs_item *file, uint32_t piece)
{
        uint64_t offset = (uint64_t)(piece - file->piece) * image->piece_size;

        return (size_t)MIN(file->size - offset, (uint64_t)image->piece_size);
}

/* ---- contents that are kept (erofs-kept.c) ---- */

/* Looks for the file in the cache. */
void erofs_kept_find(const struct erofs_image *image, struct erofs_item *file);
/* Takes the pieces [piece, end) of a file from the cache: their blocks, and the digests of these,
 * and image->piece_blocks. Returns the number of blocks; 0: there are none that are right. */
uint32_t erofs_kept_load(struct erofs_image *image, const struct erofs_item *file, uint32_t piece,
                         uint32_t end, uint8_t *out, struct sha256 *digests);
/* The same without the blocks: only their number, and image->piece_blocks. */
uint32_t erofs_kept_blocks(struct erofs_image *image, const struct erofs_item *file, uint32_t piece,
                           uint32_t end);
/* Names all files that are in the cache's new pack as a whole, once all have their place. */
int erofs_kept_add(const struct erofs_image *image, const struct block_digests *digests,
                   struct error *err) _must_check_;

/* ---- metadata ---- */

/* Bytes of the map of a compressed file, which follows its inode and xattrs, with what aligns it.
 */
uint64_t erofs_map_size(const struct erofs_item *item);
/* Writes the map of a compressed file, with what aligns it, to `map` (zeros), the address behind
 * inode and xattrs. */
void erofs_map_encode(const struct erofs_image *image, const struct erofs_item *item, uint8_t *map);

enum { EROFS_BLOCK_SLOTS = EROFS_BLOCK_SIZE / EROFS_SLOT_SIZE };

/* Bytes of an inode with what follows it, and slots of the zone that these take. */
uint64_t erofs_item_extent(const struct erofs_item *item);
static inline uint64_t erofs_item_slots(const struct erofs_item *item)
{
        return DIV_ROUND_UP(erofs_item_extent(item), EROFS_SLOT_SIZE);
}
/* Blocks of the zone that are the item's alone. */
static inline uint64_t erofs_item_zone_blocks(const struct erofs_item *item)
{
        return S_ISREG(item->inode->mode) ? 0 : erofs_item_plain_blocks(item);
}
/* Places the zone's inodes and blocks, one after the other; slot 0 is left free, as programs take
 * inode number 0 for none. Sets image->end_block. */
void erofs_place_zone(struct erofs_image *image);
/* Whether places that end there waste no more than may be, and the superblock can name the root. */
bool erofs_places_hold(const struct erofs_image *image, uint64_t end);
/* Encodes the zone, once all contents have their place; places it, too, where the image is not
 * placed. */
int erofs_zone_make(struct erofs_image *image, struct error *err) _must_check_;
/* Fills block 0 of the image. */
void erofs_superblock_encode(const struct erofs_image *image, uint8_t *block);

/* Bytes of the inode's xattr area; checks names and sizes. */
int erofs_xattr_size(const struct tree_inode *inode, uint32_t *ret, struct error *err) _must_check_;
/* Writes the area; what the size function refused must not come here. */
void erofs_xattr_encode(const struct tree_inode *inode, uint8_t *area);

/* i_size of a directory; checks names. */
int erofs_directory_size(const struct tree_node *directory, uint64_t *ret,
                         struct error *err) _must_check_;
/* The file type of dirents, 0 for a mode that is none. */
uint8_t erofs_file_type(mode_t mode);
/* Writes a directory's entries: whole blocks to `blocks`, the inline rest to `tail`. Both are
 * zeroed memory. */
void erofs_directory_encode(const struct erofs_image *image, const struct erofs_item *item,
                            uint8_t *blocks, uint8_t *tail);
