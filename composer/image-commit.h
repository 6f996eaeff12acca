/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image of a sealed commit, from what the commit carries: to derive it again, and as the base
 * of another image. */

#include "commit.h"
#include "image.h"
#include "workdir.h"

/* Metadata of a sealed commit. */
#define COMMIT_ROOT_HASH     "slipway.root-hash"
#define COMMIT_EROFS         "slipway.erofs"         /* image_settings_text() */
#define COMMIT_EROFS_LIBRARY "slipway.erofs-library" /* image_library() */
#define COMMIT_EROFS_BASE    "slipway.erofs-base" /* the commit it lies like, where there is one */
#define COMMIT_EROFS_LAYOUT  "slipway.erofs-layout" /* erofs_image_layout(), bytes; with a base */

struct commit_image {
        struct tree *tree;
        struct image_settings settings;
        struct erofs_image *image;
};

/* Not yet written; placed if the commit lies like another one. The cache (may be NULL) is only
 * read. */
int commit_image_load(const struct workdir *w, const struct sha256 *commit,
                      struct extent_cache *cache, struct commit_image *ret,
                      struct error *err) _must_check_;
void commit_image_done(struct commit_image *c);
#define _cleanup_commit_image_ _cleanup_(commit_image_done)

/* The digests of the blocks of the image: its hash tree's leaves. Nothing is written; once. */
int commit_image_leaves(const struct workdir *w, const struct commit_image *c,
                        struct block_digests *ret, struct error *err) _must_check_;

/* Finds a base by a name from the command line: a ref or checksum of the repository, or the output
 * directory of a build or a file in it, whose report names the commit. */
int base_commit_find(const struct workdir *w, const char *name, struct sha256 *ret,
                     struct error *err) _must_check_;
/* Lays an image out like that of the base commit, which must have the same settings. 1: that would
 * leave too much idle, and it lies as without a base. */
int image_rebase(const struct workdir *w, struct erofs_image *image,
                 const struct image_settings *settings, const struct sha256 *base,
                 struct extent_cache *cache, struct error *err) _must_check_;
