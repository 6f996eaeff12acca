/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any record of an image's places: refused, or the image is written, or that fails. What is
 * accepted says the same when it is made again. */

#include "../unit/layout-tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try(const struct tree *tree, const uint8_t *data, size_t size)
{
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        struct erofs_target nowhere = { .fd = -1 };
        _cleanup_buffer_ struct buffer again = {};
        struct error err = {};
        int r = erofs_image_new(tree->root, &layout_options, &image, &err);

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
                tree = layout_tree();
        try(tree, data, size);
        return 0;
}
