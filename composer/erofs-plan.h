/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The layout as data, shared by the files of the EROFS writer and by nobody else: erofs.c makes it,
 * erofs-write.c turns it into bytes, erofs-xattr.c and erofs-directory.c know their own records. */

#include "erofs-format.h"
#include "erofs.h"

/* One inode of the image. */
struct erofs_item {
        const struct tree_inode *inode;
        const struct tree_node *node; /* its first name */
        uint64_t position;            /* of the on-disk inode, bytes from the image's start */
        uint64_t size;                /* i_size */
        uint32_t nlink, block;        /* first block of what is not inline */
        uint32_t xattr_size; /* bytes between inode and inline data, 0 or header + entries */
        uint8_t inode_size;  /* 32 or 64 */
        uint8_t layout;      /* enum erofs_data_layout */
};

/* Finds the item of a tree inode; sorted by address, which nothing but lookups depends on. */
struct erofs_index {
        const struct tree_inode *inode;
        size_t item;
};

struct erofs_plan {
        struct tree_node *top; /* the image's root */
        struct uuid uuid;
        char label[EROFS_LABEL_SIZE];
        uint64_t build_time;
        struct erofs_item *items; /* in tree order; i_ino is the position here, from 1 */
        struct erofs_index *index;
        size_t n_items;
        const struct erofs_item **files; /* with data blocks, in order of those */
        size_t n_files;
        uint64_t inodes_end;            /* bytes: inodes, their xattrs and inline data end here */
        uint64_t data_block, end_block; /* metadata zone ends, data zone ends */
        uint8_t *zone;                  /* the metadata zone's bytes */
};

/* Encodes the metadata zone, once everything has its place. */
int erofs_zone_encode(struct erofs_plan *plan, struct error *err) _must_check_;
/* The item of an inode that is in the tree. */
const struct erofs_item *erofs_plan_find(const struct erofs_plan *plan,
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
/* Blocks that are not inline. */
static inline uint64_t erofs_item_blocks(const struct erofs_item *item)
{
        bool partial = item->layout == EROFS_FLAT_PLAIN && item->size % EROFS_BLOCK_SIZE != 0;

        return item->size / EROFS_BLOCK_SIZE + partial;
}

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
void erofs_directory_encode(const struct erofs_plan *plan, const struct erofs_item *item,
                            uint8_t *blocks, uint8_t *tail);
