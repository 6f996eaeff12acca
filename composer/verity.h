/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* dm-verity through libcryptsetup: sha256, 4096/4096, no salt, so that the leaf level is the plain
 * list of sha256 of each block. verity.c is the only file that includes <libcryptsetup.h>. */

#include "derive.h"

/* Bytes of superblock + tree for an image of that size (a multiple of 4096). */
uint64_t verity_tree_size(uint64_t data_size);

/* Formats the tree for the image in file data_path (data_size bytes) into the file tree_path, which
 * is made or emptied; the superblock carries uuid. */
int verity_format(const char *data_path, uint64_t data_size, const char *tree_path,
                  const struct uuid *uuid, struct sha256 *ret_root_hash,
                  struct error *err) _must_check_;
/* Checks every block of the data file against tree and root hash, without device-mapper. */
int verity_verify(const char *data_path, const char *tree_path, const struct sha256 *root_hash,
                  struct error *err) _must_check_;
