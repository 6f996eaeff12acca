/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes a directory of a tree as an EROFS image: plain (uncompressed), block size 4096,
 * deterministic, laid out for updates: all metadata in one zone at the front, file data 4
 * KiB-aligned behind it, no inline tails, inodes in tree order. Readable by Linux 5.4 and later
 * (chunk-based and compressed layouts are not used). */

#include "block-digests.h"
#include "derive.h"
#include "tree.h"

enum { EROFS_BLOCK_SIZE = BLOCK_SIZE };

struct erofs_options {
        struct uuid *uuid; /* volume UUID; NULL: zeros */
        uint64_t
                build_time; /* seconds since the epoch; compact inodes carry no time of their own */
        const char *label;  /* at most 15 bytes; NULL: none */
};

/* Where everything goes, before a byte is written. */
struct erofs_plan;

/* Lays out what is below the directory `top`, which becomes the root of the image: checks names,
 * link counts and xattrs, gives every inode its node id and every file its blocks. The tree must
 * stay unchanged until the plan is freed. */
int erofs_plan_new(struct tree_node *top, const struct erofs_options *options,
                   struct erofs_plan **ret, struct error *err) _must_check_;
void erofs_plan_free(struct erofs_plan *plan);
DEFINE_CLEANUP(struct erofs_plan, erofs_plan_free)
/* Size of the image in bytes, a multiple of the block size. */
uint64_t erofs_plan_size(const struct erofs_plan *plan);
/* Reads size bytes of the image at position into the buffer, from where its contents are. */
int erofs_plan_read(const struct erofs_plan *plan, const struct content_store *store, void *buffer,
                    uint64_t size, uint64_t position, struct error *err) _must_check_;
/* Writes the image at offset (block-aligned) of fd, which may do direct I/O; the range must read as
 * zeros (a hole) before: zero blocks are skipped. fd -1: nothing is written. The digest of every
 * block goes to `digests` (NULL: not wanted), made for the image's blocks. Work is spread over
 * `threads` (0: all CPUs), each with 1 MiB of memory; the bytes do not depend on their number. */
int erofs_plan_write(const struct erofs_plan *plan, const struct content_store *store, int fd,
                     uint64_t offset, struct block_digests *digests, unsigned threads,
                     struct error *err) _must_check_;
