/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The raw disk as it is, a sparse file. */

#include "output-formats.h"

const struct output_ops output_raw = { .name = "raw", .suffix = ".raw", .sparse = true };
