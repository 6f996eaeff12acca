/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A patch from old bytes to new ones: a zstd frame with the old ones as its prefix, which is what
 * `zstd --patch-from` makes (libzstd, opened when it is needed). */

#include "error.h"

enum { DELTA_LEVEL_DEFAULT = 19, DELTA_LEVEL_MAX = 22 };

/* Caller frees *ret. */
int delta_make(const void *old, size_t old_size, const void *data, size_t size, int level,
               char **ret, size_t *ret_size, struct error *err) _must_check_;
/* Fills all `size` bytes of `out`; -EBADMSG when the patch gives more, fewer or none. */
int delta_apply(const void *old, size_t old_size, const void *patch, size_t patch_size, void *out,
                size_t size, struct error *err) _must_check_;
