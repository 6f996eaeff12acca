/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tree of the corpus tests/data/layout: records of the places of its image, packed by LZ4 in
 * clusters of 16 KiB. */

#include <assert.h>

#include "erofs.h"

enum { LAYOUT_FILES = 30, LAYOUT_NAMES = 400, LAYOUT_FILE_SIZE = 60000 };

static const struct erofs_options layout_options = { .codec = { CODEC_LZ4, 0 },
                                                     .cluster_size = 16384 };

static inline void layout_add_file(struct tree *tree, unsigned number, size_t size)
{
        static char content[LAYOUT_FILE_SIZE];
        char path[32];
        int r _unused_;

        for (size_t i = 0; i < size; i++)
                content[i] = (char)(i % 7 == 0 ? i * number : i / 900);
        snprintf(path, sizeof(path), "/d%u/file-%u", number % 3, number);
        r = tree_put_file(tree, path, content, size, 0644, NULL, NULL);
        assert(r == 0);
}

/* Directories with blocks of their own, files that shrink and files that do not. */
static inline struct tree *layout_tree(void)
{
        struct tree *tree;
        int r _unused_ = tree_new(&tree, NULL);

        assert(r == 0);
        for (unsigned i = 0; i < LAYOUT_NAMES; i++) {
                char path[64];
                struct tree_node *parent;

                r = tree_make_dirs(tree, "/large", &parent, NULL);
                assert(r == 0);
                snprintf(path, sizeof(path), "/large/a-long-name-for-a-link-%u", i);
                r = tree_put_symlink(tree, path, "target", NULL, NULL);
                assert(r == 0);
        }
        for (unsigned i = 0; i < 3; i++) {
                char path[32];
                struct tree_node *node;

                snprintf(path, sizeof(path), "/d%u", i);
                r = tree_make_dirs(tree, path, &node, NULL);
                assert(r == 0);
        }
        for (unsigned i = 0; i < LAYOUT_FILES; i++)
                layout_add_file(tree, i, i * 2000);
        return tree;
}
