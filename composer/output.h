/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Output formats. A format is one file that ends with its struct output_ops, and one row in
 * output.c. */

#include "error.h"

struct output_ops {
        const char *name;   /* in the manifest: "raw" */
        const char *suffix; /* of the file: ".raw" */
        /* Writes the raw disk in disk_fd (disk_size bytes, with holes) to fd, an empty file. NULL:
         * the raw disk is the output. */
        int (*write)(int disk_fd, uint64_t disk_size, int fd, struct error *err);
};

/* By name; NULL when unknown. */
const struct output_ops *output_find(const char *name);
extern const struct output_ops *const output_formats[]; /* ends with NULL */
