/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sha256 of every 4 KiB block of an image. Whoever writes the image has its blocks at hand and
 * notes their digests; dm-verity's tree, the disk's digest and the search for zeros are made from
 * these, and nobody reads the image again. */

#include "blocks.h"

/* A 128th of the image's size in memory. */
struct block_digests {
        struct sha256 *items;
        uint64_t count;
};

/* Of `count` blocks of zeros, which is what a hole reads as. */
int block_digests_init(struct block_digests *b, uint64_t count, struct error *err) _must_check_;
/* Sets those from `first` on to those of a range of a file, of which a last, partial block counts
 * as if zeros followed; -ENODATA when the file ends early. */
int block_digests_fill(struct block_digests *b, uint64_t first, int fd, uint64_t offset,
                       uint64_t size, struct error *err) _must_check_;
/* Those of a range of a file and no others. */
int block_digests_read(struct block_digests *b, int fd, uint64_t offset, uint64_t size,
                       struct error *err) _must_check_;
/* The same of what is in memory. */
int block_digests_of(struct block_digests *b, const void *data, uint64_t size,
                     struct error *err) _must_check_;
void block_digests_done(struct block_digests *b);
#define _cleanup_block_digests_ _cleanup_(block_digests_done)
/* Notes `count` blocks from block `first`. Several threads may, each for blocks of its own. */
void block_digests_set(struct block_digests *b, uint64_t first, const void *data, uint64_t count);
/* Whether those blocks are zeros. */
bool block_digests_zero(const struct block_digests *b, uint64_t first, uint64_t count);

/* Where in a file the image is whose digests are known. NULL where such a thing is asked for:
 * nowhere. */
struct known_blocks {
        uint64_t offset; /* a multiple of the block size */
        const struct block_digests *digests;
};

/* Whether the range (whole blocks) lies in the known part; *ret_first is its first block there. */
bool known_blocks_find(const struct known_blocks *known, uint64_t offset, uint64_t size,
                       uint64_t *ret_first);

/* Identity of a file that is mostly holes: the digest of the file's size and, for each 1 MiB chunk
 * that is not all zeros, its offset (both 64-bit little-endian) and the digests of its blocks.
 * Neither holes nor what is known is read; the rest by `threads` threads (0: all CPUs), each with
 * 1 MiB. */
int sparse_digest(int fd, uint64_t size, const struct known_blocks *known, unsigned threads,
                  struct sha256 *ret, struct error *err) _must_check_;
