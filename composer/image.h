/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image of a committed tree's /usr, as a pure function of the tree and of settings that the
 * commit carries: `slipway build` writes it, `slipway verify` derives it again. */

#include "erofs.h"
#include "record.h"

/* How contents are packed. In a manifest everything may be left out; what the commit carries is
 * complete. */
struct image_settings {
        int compression;       /* index of image_compressions[] */
        uint64_t level;        /* 0: the codec's default */
        uint64_t cluster_size; /* bytes that are compressed as one; 0: the default */
        char **plain;          /* patterns of paths that stay plain, see glob_match() in merge.h;
                                  NULL: what is compressed already, by its suffix */
};

/* "auto", then codec_names[]. */
extern const char *const image_compressions[];
extern const struct record image_settings_record;
void image_settings_done(struct image_settings *s);
#define _cleanup_image_settings_ _cleanup_(image_settings_done)

/* Fills in what a manifest leaves out. "auto" is the best that the tree's kernel reads, by its
 * config: zstd, else lz4hc, else none, as for a tree without a kernel. -EOPNOTSUPP when the
 * manifest wants what that kernel cannot read. */
int image_settings_complete(const struct image_settings *wanted, const struct tree *tree,
                            const struct content_store *store, struct image_settings *ret,
                            struct error *err) _must_check_;
/* Complete settings as one line of JSON, and back. Caller frees. */
int image_settings_text(const struct image_settings *s, char **ret, struct error *err) _must_check_;
int image_settings_parse(const char *text, struct image_settings *ret,
                         struct error *err) _must_check_;
/* What else the bytes depend on: name and version of the compressing library, or "". */
void image_library(const struct image_settings *s, char ret[CODEC_LIBRARY_MAX]);

/* The cache of contents that were compressed with these settings; *ret is NULL when nothing is. */
int image_cache_open(int cache_fd, const struct image_settings *settings, struct extent_cache **ret,
                     struct error *err) _must_check_;

/* The image of /usr of the tree whose root identity (see repo_commit_tree()) is `root`. The
 * settings are complete and outlive it, as do the tree and the cache, which may be NULL; `keep`:
 * what is not there is put there. */
int image_new(const struct tree *tree, const struct sha256 *root,
              const struct image_settings *settings, struct extent_cache *cache, bool keep,
              struct erofs_image **ret, struct error *err) _must_check_;
/* The image of a whole tree that is in no repository. */
int image_new_whole(const struct tree *tree, const struct sha256 *seed, const char *label,
                    const struct image_settings *settings, struct erofs_image **ret,
                    struct error *err) _must_check_;
/* The UUID of the superblock of the image's hash tree. */
void image_verity_uuid(const struct sha256 *root, struct uuid *ret);
