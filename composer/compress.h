/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What we compress as a whole (zstd), and files that packages bring compressed (xz, zstd).
 * compress.c and codec.c, for pieces of an image, are the only files that include <zstd.h>. */

#include "error.h"

enum { COMPRESS_LEVEL_DEFAULT = 6, COMPRESS_LEVEL_MAX = 19, COMPRESSOR_PARAMETERS_MAX = 64 };

/* Library, version and settings as text: equal ones give equal bytes for equal input. */
void compressor_parameters(int level, char ret[COMPRESSOR_PARAMETERS_MAX]);
/* One zstd frame with checksum. Caller frees. */
int compress(const void *data, size_t size, int level, char **ret, size_t *ret_size,
             struct error *err) _must_check_;

/* The suffix that says how a file is compressed (".xz", ".zst"), or NULL. */
const char *compressed_suffix(const char *name);
/* The plain bytes of a whole compressed file, by its name's suffix; -EFBIG beyond limit. Caller
 * frees. */
int decompress(const char *name, const void *data, size_t size, size_t limit, char **ret,
               size_t *ret_size, struct error *err) _must_check_;
