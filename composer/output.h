/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Output formats. A format is one file that ends with its struct output_ops, and one row in
 * output.c. */

#include "block-digests.h"

/* The raw disk that every other format is made from. */
struct output_disk {
        int fd;
        uint64_t size;                    /* bytes; with holes */
        const struct known_blocks *known; /* need not be read to be judged; NULL: nothing is */
        const struct sha256 *identity;    /* of the image: ids follow from it */
        uint64_t epoch;                   /* what time the format is to name */
        unsigned threads;                 /* 0: all CPUs */
};

struct output_ops {
        const char *name;   /* in the manifest: "raw" */
        const char *suffix; /* of the file: ".raw" */
        bool sparse;        /* mostly holes: its digest is that of sparse_digest() */
        /* Writes the disk to fd, an empty file; *ret_digest is the digest of what was written.
         * NULL: the raw disk is the output. */
        int (*write)(const struct output_disk *disk, int fd, struct sha256 *ret_digest,
                     struct error *err);
};

/* By name; NULL when unknown. */
const struct output_ops *output_find(const char *name);
/* Whether a file of that name is of a format that is sparse. */
bool output_sparse(const char *file);
extern const struct output_ops *const output_formats[]; /* ends with NULL */
