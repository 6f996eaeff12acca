/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compressed contents of files, kept from one image to the next in the cache's derived/ directory:
 * a change of one file compresses one file. What is kept is packed blocks as they stand in an
 * image, by the file's object and by all that the bytes depend on.
 *
 * A build reads all packs there are and writes at most one. Packs appear whole, are never changed,
 * and may go at any time: a build that has one open goes on with it. Blocks have checksums, so that
 * an accident is noticed and the contents are compressed again; that their digests are known is
 * what saves hashing them again. */

#include "digest.h"

struct extent_cache;

/* Opens the packs of these parameters, text of any form: what the bytes depend on. Packs that are
 * damaged are removed. cache_fd is borrowed. */
int extent_cache_open(int cache_fd, const char *parameters, struct extent_cache **ret,
                      struct error *err) _must_check_;
void extent_cache_free(struct extent_cache *c);
DEFINE_CLEANUP(struct extent_cache, extent_cache_free)

/* The contents of one file: pieces, each compressed as one. */
struct extent {
        struct sha256 object;
        const uint16_t *piece_blocks; /* of each piece; 0: it stayed plain */
        uint32_t pieces;
        const struct sha256 *digests; /* of each block */
        const uint64_t *checksums;    /* of each block; the cache's own */
        uint32_t blocks;
        uint32_t block; /* the first, in its pack */
        uint32_t pack;
};

/* NULL: not there. Valid as long as the cache is open. */
const struct extent *extent_cache_find(const struct extent_cache *c, const struct sha256 *object);
/* Reads blocks of an extent, from the first-th on; false: they cannot be read, or are not what was
 * written, and the pack will be removed. Several threads may. */
bool extent_cache_read(struct extent_cache *c, const struct extent *e, uint32_t first,
                       uint32_t blocks, void *buffer);
/* Whether what was found shall be kept again, because there are too many packs: then the new one
 * takes the place of all others. */
bool extent_cache_gathers(const struct extent_cache *c);

/* Reserves blocks of the new pack, one behind the other; not for several threads at once. */
uint32_t extent_cache_reserve(struct extent_cache *c, uint32_t blocks);
/* Writes blocks that were reserved. Several threads may. */
int extent_cache_write(struct extent_cache *c, uint32_t block, const void *data, uint32_t blocks,
                       struct error *err) _must_check_;
/* Reads back what was written. Several threads may. */
bool extent_cache_read_new(const struct extent_cache *c, uint32_t block, uint32_t blocks,
                           void *buffer);
/* Names what was written: the extent's block is that of the new pack. What it points to is copied.
 */
int extent_cache_add(struct extent_cache *c, const struct extent *e,
                     struct error *err) _must_check_;
/* Makes the new pack appear, if there is anything in it. */
int extent_cache_finish(struct extent_cache *c, struct error *err) _must_check_;
