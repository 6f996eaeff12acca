/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compressors for small independent pieces of data, as the kernel's EROFS decompresses them.
 * codec.c is the only file that includes <lz4.h>. */

#include "error.h"

/* The names are those of a manifest, codec_names[] below. */
enum codec_kind { CODEC_NONE, CODEC_LZ4, CODEC_LZ4HC, CODEC_ZSTD, _CODEC_MAX };

/* Everything the bytes depend on, but for the library's version. */
struct codec_settings {
        enum codec_kind kind;
        int level; /* within codec_level_range(); 0: the codec's own default */
};

extern const char *const codec_names[]; /* by kind, then NULL */

/* The levels that exist; both 0 where there is no choice. */
void codec_level_range(enum codec_kind kind, int *ret_min, int *ret_max);
/* The level that 0 stands for. */
int codec_default_level(enum codec_kind kind);
/* Name and version of the library and which parameters we give it, "zstd 1.5.6, parameters 2":
 * equal ones give equal bytes. "" for CODEC_NONE. */
enum { CODEC_LIBRARY_MAX = 32 };
void codec_library(enum codec_kind kind, char ret[CODEC_LIBRARY_MAX]);

/* Working memory of one thread. */
struct codec;
/* No piece is larger than piece_max bytes, a power of two. */
int codec_new(const struct codec_settings *settings, size_t piece_max, struct codec **ret,
              struct error *err) _must_check_;
/* Compresses one piece; *ret_size is 0 when the result has more than `capacity` bytes. */
int codec_compress(struct codec *c, const void *data, size_t size, void *out, size_t capacity,
                   size_t *ret_size, struct error *err) _must_check_;
void codec_free(struct codec *c);
DEFINE_CLEANUP(struct codec, codec_free)
