/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any record of an image's places: refused, or the image is written, or that fails. What is
 * accepted says the same when it is made again. */

#include <assert.h>

#include "erofs.h"

enum { FILES = 30, NAMES = 400, FILE_SIZE = 60000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_file(struct tree *tree, unsigned number, size_t size)
{
        static char content[FILE_SIZE];
        char path[32];
        int r;

        for (size_t i = 0; i < size; i++)
                content[i] = (char)(i % 7 == 0 ? i * number : i / 900);
        snprintf(path, sizeof(path), "/d%u/file-%u", number % 3, number);
        r = tree_put_file(tree, path, content, size, 0644, NULL, NULL);
        assert(r == 0);
}

/* Directories with blocks of their own, files that shrink and files that do not. */
static struct tree *make_tree(void)
{
        struct tree *tree;
        int r = tree_new(&tree, NULL);

        assert(r == 0);
        for (unsigned i = 0; i < NAMES; i++) {
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
        for (unsigned i = 0; i < FILES; i++)
                add_file(tree, i, i * 2000);
        return tree;
}

static void try(const struct tree *tree, const uint8_t *data, size_t size)
{
        struct erofs_options options = { .codec = { CODEC_LZ4, 0 }, .cluster_size = 16384 };
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        struct erofs_target nowhere = { .fd = -1 };
        _cleanup_buffer_ struct buffer again = {};
        struct error err = {};
        int r = erofs_image_new(tree->root, &options, &image, &err);

        assert(r == 0);
        if (erofs_image_apply(image, data, size, &err) < 0)
                return;
        erofs_image_layout(image, &again);
        assert(again.size <= size); /* numbers may have been written longer than they need */
        (void)!erofs_image_write(image, NULL, &nowhere, 1, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct tree *tree;

        if (!tree)
                tree = make_tree();
        try(tree, data, size);
        return 0;
}
