/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bytes compressed by any of the programs that a kernel's build calls: gzip, bzip2, lzma, xz, lz4,
 * zstd, told by their first bytes. (compress.c is for formats that are known by a file's name.) */

#include "error.h"

#define GZIP_MAGIC "\x1f\x8b"

/* The plain bytes, NUL behind them. -EBADMSG for what is not compressed, corrupt or truncated,
 * -EFBIG beyond limit. Caller frees. */
int unpack(const void *data, size_t size, size_t limit, char **ret, size_t *ret_size,
           struct error *err) _must_check_;
