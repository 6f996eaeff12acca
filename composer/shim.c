/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See shim.h. Both files go onto the ESP as they are: their signatures are what they are for. */

#include "shim.h"

enum { SHIM_SIZE_MAX = 8 * 1024 * 1024 };

static const struct {
        const char *architecture, *loader, *manager;
} files[] = {
        { "amd64", "/usr/lib/shim/shimx64.efi.signed", "/usr/lib/shim/mmx64.efi.signed" },
        { "arm64", "/usr/lib/shim/shimaa64.efi.signed", "/usr/lib/shim/mmaa64.efi.signed" },
};

static int load(const struct tree *tree, const struct content_store *store, const char *path,
                char **ret, size_t *ret_size, struct error *err)
{
        const struct tree_node *node = tree_resolve(tree, path);

        if (!node)
                return error_set(err, -ENOENT, "%s is not in the image: layer 'shim' brings it",
                                 path);
        return error_prefix(err,
                            content_load(node->inode, store, SHIM_SIZE_MAX, ret, ret_size, err),
                            "%s", path);
}

int shim_load(const char *architecture, const struct tree *tree, const struct content_store *store,
              struct shim *ret, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                struct shim s = {};
                int r;

                if (!streq(files[i].architecture, architecture))
                        continue;
                r = load(tree, store, files[i].loader, &s.loader, &s.loader_size, err);
                if (r >= 0)
                        r = load(tree, store, files[i].manager, &s.manager, &s.manager_size, err);
                if (r < 0)
                        shim_done(&s);
                else
                        *ret = s;
                return r;
        }
        return error_set(err, -EINVAL, "No shim for architecture \"%s\"", architecture);
}

void shim_done(struct shim *s)
{
        free(s->loader);
        free(s->manager);
        *s = (struct shim){};
}
