/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A block device as the kernel sees it: by its number, through sysfs. */

#include <sys/types.h>

#include "error.h"

enum { BLOCK_NODE_MAX = 256, BLOCK_USER_MAX = 256 };

struct block {
        int fd;
        dev_t number;
        char node[BLOCK_NODE_MAX]; /* what the path led to, e.g. /dev/vda */
        uint64_t sector_size;      /* logical */
};
#define BLOCK_NULL                                                                                 \
        {                                                                                          \
                .fd = -1                                                                           \
        }

/* Follows symlinks to the node and opens it. */
int block_open(const char *path, int flags, struct block *ret, struct error *err) _must_check_;
/* For reading; a regular file, an image, counts as a disk with sectors of 512 bytes that the kernel
 * does not know: number 0. */
int block_open_image(const char *path, struct block *ret, struct error *err) _must_check_;
void block_done(struct block *b);
#define _cleanup_block_ _cleanup_(block_done)
/* Keeps udev from looking at a whole disk (and re-reading its table) until it is closed. */
int block_lock(const struct block *b, struct error *err) _must_check_;
/* As long as it is closed and open: all that was written is on the disk. */
int block_sync(const char *node, struct error *err) _must_check_;

/* Who uses the device itself (not its partitions), for messages: "mounted at /x", "active swap",
 * "held by md127, held by dm-0, mounted at /x". False: nobody. */
bool block_user(dev_t number, char ret[BLOCK_USER_MAX]);
/* Whether the path is there and is an open LUKS volume, or another one of dm-crypt. */
bool block_is_crypt(const char *path);
/* Name of what the sysfs directory `holders` has that begins with `prefix`: "md127". */
bool block_holder(dev_t number, const char *prefix, char ret[BLOCK_NODE_MAX]);

/* A partition that the kernel knows; places are in bytes. */
struct block_partition {
        unsigned number;
        uint64_t start, size;
        dev_t device;
};
enum { BLOCK_PARTITIONS_MAX = 256 };

int block_partitions(const struct block *b, struct block_partition *ret, size_t *ret_count,
                     struct error *err) _must_check_;

enum block_change { BLOCK_ADD, BLOCK_DELETE, BLOCK_RESIZE };
/* Tells the kernel about one partition (BLKPG). */
int block_partition_change(const struct block *b, enum block_change change,
                           const struct block_partition *p, struct error *err) _must_check_;
