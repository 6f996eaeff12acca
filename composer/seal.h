/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The commit of a finished image: the tree's, and with it what an updater must know before it
 * fetches a byte, and what else the image follows from. */

#include "compose.h"
#include "image.h"

struct seal {
        const struct image_settings *settings;
        const struct sha256 *base;   /* the commit it lies like */
        const struct buffer *places; /* erofs_image_layout(); empty: they follow from the tree */
        const struct sha256 *uki_root_hash;
        const struct release_layout *minimum;
        const char *signature; /* of the root hash, as in its partition; NULL: none */
};

/* Replaces c->commit, a commit of the same tree, by the sealed one and points the image's ref at
 * it. */
int commit_seal(const struct workdir *w, const struct manifest *m, const struct seal *seal,
                struct composition *c, struct error *err) _must_check_;

/* The names in the health checks that a tree carries, in the order of their files; *ret may become
 * NULL. */
int health_names(const struct tree *tree, const struct content_store *store, char ***ret,
                 struct error *err) _must_check_;
