/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image of a committed tree's /usr, as a pure function of it: `slipway build` writes it,
 * `slipway verify` derives it again. */

#include "erofs.h"

/* Lays out /usr of the tree whose root identity (see repo_commit_tree()) is `root`. */
int image_plan(const struct tree *tree, const struct sha256 *root, struct erofs_plan **ret,
               struct error *err) _must_check_;
/* The UUID of the superblock of the image's hash tree. */
void image_verity_uuid(const struct sha256 *root, struct uuid *ret);
