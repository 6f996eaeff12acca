/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Output formats. A format is one file that ends with its struct output_ops, and one row in
 * output.c. */

#include "block-digests.h"

struct output_ops {
        const char *name;   /* in the manifest: "raw" */
        const char *suffix; /* of the file: ".raw" */
        /* Writes the raw disk in disk_fd (disk_size bytes, with holes; what is `known` of it need
         * not be read to be judged, may be NULL) to fd, an empty file; *ret_digest is the sha256
         * of what was written. NULL: the raw disk is the output. */
        int (*write)(int disk_fd, uint64_t disk_size, const struct known_blocks *known, int fd,
                     struct sha256 *ret_digest, struct error *err);
};

/* By name; NULL when unknown. */
const struct output_ops *output_find(const char *name);
extern const struct output_ops *const output_formats[]; /* ends with NULL */
