/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See image.h. What would be random in other images is derived from the root identity; there is no
 * time in it, because a tree has none. */

#include "image.h"

int image_plan(const struct tree *tree, const struct sha256 *root, struct erofs_plan **ret,
               struct error *err)
{
        struct tree_node *usr = tree_child(tree->root, "usr");
        struct uuid uuid;

        if (!usr)
                return error_set(err, -ENOENT, "the tree has no /usr");
        derive_uuid(root, "erofs", &uuid);
        return erofs_plan_new(usr, &(struct erofs_options){ .uuid = &uuid, .label = "usr" }, ret,
                              err);
}

void image_verity_uuid(const struct sha256 *root, struct uuid *ret)
{
        derive_uuid(root, "verity", ret);
}
