/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A finished image of /usr, wherever it lies: a file of its own, or slot A of a disk. */

#include "block-digests.h"

struct image_file {
        int fd;
        uint64_t offset, size; /* of the image in the file; the size is a multiple of BLOCK_SIZE */
};
#define IMAGE_FILE_NULL                                                                            \
        {                                                                                          \
                .fd = -1                                                                           \
        }

/* Opens an EROFS image (or a SquashFS one, to compare with), or a raw disk with a GPT whose first
 * USR partition holds one. -EINVAL: neither, or not whole blocks; -ENODATA: the image goes on
 * behind the end of the file or partition. */
int image_file_open(const char *path, struct image_file *ret, struct error *err) _must_check_;
void image_file_done(struct image_file *f);
#define _cleanup_image_file_ _cleanup_(image_file_done)

/* Reads everything but holes and notes the digest of every block, on `threads` threads (0: all
 * CPUs). */
int image_file_digests(const struct image_file *f, unsigned threads, struct block_digests *ret,
                       struct error *err) _must_check_;
