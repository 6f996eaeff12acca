/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compressed streams of our own (zstd), and files that packages bring compressed (xz, zstd).
 * compress.c is the only file that includes <zstd.h> and <lzma.h>. */

#include "error.h"

struct compressor;

/* zstd, one frame with checksum, to fd. The bytes do not depend on the number of threads (0: one
 * per CPU). */
/* Library, version and settings as text: equal ones give equal bytes for equal input. */
enum { COMPRESSOR_PARAMETERS_MAX = 64 };
void compressor_parameters(char ret[COMPRESSOR_PARAMETERS_MAX]);
int compressor_new(int fd, unsigned threads, struct compressor **ret,
                   struct error *err) _must_check_;
int compressor_write(struct compressor *c, const void *data, size_t size,
                     struct error *err) _must_check_;
/* Ends the frame; without it the file is not complete. */
int compressor_finish(struct compressor *c, struct error *err) _must_check_;
void compressor_free(struct compressor *c);
DEFINE_CLEANUP(struct compressor, compressor_free)
#define _cleanup_compressor_ _cleanup_(compressor_free_p)

/* The suffix that says how a file is compressed (".xz", ".zst"), or NULL. */
const char *compressed_suffix(const char *name);
/* The plain bytes of a whole compressed file, by its name's suffix; -EFBIG beyond limit. Caller
 * frees. */
int decompress(const char *name, const void *data, size_t size, size_t limit, char **ret,
               size_t *ret_size, struct error *err) _must_check_;
