/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes a directory of a tree as an EROFS image: block size 4096, deterministic, laid out for
 * updates: file data from block 1 on, 4 KiB-aligned, without inline tails, fragments or sharing
 * between files; behind it all metadata in one zone, inodes in tree order. Plain images are
 * readable by Linux 5.4 and later, LZ4 ones by 5.13, zstd ones by 6.10. */

#include "block-digests.h"
#include "codec.h"
#include "derive.h"
#include "extent-cache.h"
#include "strv.h"
#include "tree.h"

enum {
        EROFS_BLOCK_SIZE = BLOCK_SIZE,
        EROFS_CLUSTER_MIN = 2 * EROFS_BLOCK_SIZE,
        EROFS_CLUSTER_MAX = 1024 * 1024, /* the kernel's limit */
};

struct erofs_options {
        struct uuid *uuid; /* volume UUID; NULL: zeros */
        uint64_t
                build_time; /* seconds since the epoch; compact inodes carry no time of their own */
        const char *label;  /* at most 15 bytes; NULL: none */
        struct codec_settings codec;
        /* Bytes of a file that are compressed as one: a power of two from EROFS_CLUSTER_MIN to
         * EROFS_CLUSTER_MAX. Ignored for CODEC_NONE. */
        uint32_t cluster_size;
        /* Whether the file stays plain, because compressing it gains nothing; NULL: none does. */
        bool (*keep_plain)(const struct tree_node *node, const void *userdata);
        const void *userdata;
        /* Compressed contents of earlier images, opened for this codec and cluster size; borrowed,
         * and the caller finishes it when the image is written. NULL: none. Then the target's
         * digests are needed. */
        struct extent_cache *cache;
        bool keep; /* contents that are not there are put there */
};

/* An image in the making. */
struct erofs_image;

/* Checks names, link counts and xattrs of what is below the directory `top`, which becomes the root
 * of the image. The tree must stay unchanged until the image is freed. */
int erofs_image_new(struct tree_node *top, const struct erofs_options *options,
                    struct erofs_image **ret, struct error *err) _must_check_;
void erofs_image_free(struct erofs_image *image);
DEFINE_CLEANUP(struct erofs_image, erofs_image_free)
/* What the image's size in bytes does not exceed, whatever compression gains. */
uint64_t erofs_image_bound(const struct erofs_image *image);

/* ---- like an earlier image ---- */

enum {
        EROFS_REBASE_GROWTH = 8,   /* an eighth of what is used may lie idle, */
        EROFS_REBASE_SLACK = 1024, /* and so many blocks */
};

/* Compresses everything and finds out what it takes; a cache makes writing the image afterwards as
 * quick as if that had not been. */
int erofs_image_measure(struct erofs_image *image, const struct content_store *store,
                        unsigned threads, struct error *err) _must_check_;
/* Gives everything its place, one after the other, as erofs_image_write() does: for a base. */
void erofs_image_place(struct erofs_image *image);
/* Gives everything the place that it has in the base, as far as it is there; new things go to what
 * others have left. Both are measured, the base is placed. 1: more would lie idle than the bounds
 * above say, and everything lies one after the other instead. */
int erofs_image_rebase(struct erofs_image *image, const struct erofs_image *base,
                       struct error *err) _must_check_;
bool erofs_image_is_placed(const struct erofs_image *image);
/* The places of a placed image as a record, and the same places for another image of an equal tree;
 * -EBADMSG when it cannot be a record of that. */
void erofs_image_layout(const struct erofs_image *image, struct buffer *ret);
int erofs_image_apply(struct erofs_image *image, const void *layout, size_t size,
                      struct error *err) _must_check_;

/* Where an image goes. */
struct erofs_target {
        int fd;          /* may do direct I/O; -1: nothing is written */
        uint64_t offset; /* in the file, block-aligned; from there on it must read as zeros (a hole)
                            before: zero blocks are skipped */
        uint64_t room;   /* bytes that may be written: nothing goes beyond, but the image's size is
                            found out all the same */
        struct block_digests *digests; /* of every block, made for the image's bound; gets the
                                          image's count. NULL: not wanted */
};

/* Writes the image, once: unless it is placed, places are given as contents are compressed, and the
 * metadata comes last.
 * Work is spread over `threads` (0: all CPUs), each with at most 4 MiB of memory and the codec's;
 * the bytes do not depend on their number. */
int erofs_image_write(struct erofs_image *image, const struct content_store *store,
                      const struct erofs_target *target, unsigned threads,
                      struct error *err) _must_check_;
/* Size of the image in bytes, a multiple of the block size, once it is written. */
uint64_t erofs_image_size(const struct erofs_image *image);
