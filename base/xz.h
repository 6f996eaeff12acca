/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* .xz files (liblzma, opened when it is needed): the plain bytes, and the way back to the very
 * bytes of somebody else's xz. xz.c is the only file that includes <lzma.h>. */

#include "error.h"

#define XZ_MEMORY_MAX (128 * MIB) /* for unpacking: xz -9 wants 65 MiB */

/* What xz was told. The bytes depend on nothing else but the encoder, which has been the same in
 * all of liblzma 5. */
struct xz_parameters {
        uint32_t preset;     /* 0 to 9 */
        uint32_t check;      /* lzma_check: 0 none, 1 CRC32, 4 CRC64, 10 SHA-256 */
        uint32_t dict_size;  /* bytes */
        uint32_t block_size; /* bytes of input, as `xz -T` makes blocks; 0: all of it is one block,
                                whose size does not stand before it, as `xz -T1` does it */
};

/* CRC-64 of one block of bytes after the other, as .xz files have it (ECMA-182), into ret[]:
 * against accidents, and several times quicker than a digest. */
int xz_checksums(const void *data, size_t block_size, size_t blocks, uint64_t *ret,
                 struct error *err) _must_check_;

/* The limits keep an encoder within XZ_PACK_MEMORY_MAX. */
enum {
        XZ_PRESET_MAX = 9,
        XZ_DICT_MIN = 4096,
        XZ_DICT_MAX = 1024 * 1024,
        XZ_BLOCK_MIN = 4096,
        XZ_BLOCK_MAX = 3 * XZ_DICT_MAX,
};
#define XZ_PACK_MEMORY_MAX (24 * MIB)

/* `xz -T0 --check=crc32 --lzma2=preset=6,dict=1MiB`, and the same with -T1: what the kernel's build
 * calls (scripts/Makefile.modinst), with a new xz and with one before 5.6. */
extern const struct xz_parameters xz_kernel_threaded, xz_kernel_single;

/* -EINVAL: beyond the limits, or no such check. */
int xz_parameters_check(const struct xz_parameters *p) _must_check_;

/* The plain bytes, NUL behind them; -EFBIG beyond limit. Caller frees. */
int xz_unpack(const void *data, size_t size, size_t limit, char **ret, size_t *ret_size,
              struct error *err) _must_check_;
/* Packs into `out`; -ENOBUFS when that has no room for all of it. */
int xz_pack(const struct xz_parameters *p, const void *data, size_t size, void *out,
            size_t capacity, size_t *ret_size, struct error *err) _must_check_;
/* Memory that packing so many bytes takes, without input and output; never too little by much. */
uint64_t xz_pack_memory(const struct xz_parameters *p, uint64_t size);
