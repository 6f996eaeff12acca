/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel goes where OSTree and we look for it: /boot/vmlinuz-VERSION becomes
 * /usr/lib/modules/VERSION/vmlinuz, and the configuration goes beside it. What else is in /boot is
 * for debugging or for other boot loaders, and is dropped with it by the fix-up "state". */

#include "fixup.h"

static const struct {
        const char *prefix, *name;
} moves[] = {
        { "vmlinuz-", "vmlinuz" },
        { "config-", "config" },
};

static int move_file(struct fixup_context *c, struct tree_node *node, const char *version,
                     const char *name, struct error *err)
{
        char path[TREE_PATH_MAX];
        struct tree_node *directory;
        int r;

        snprintf(path, sizeof(path), "/usr/lib/modules/%s", version);
        r = tree_make_dirs(c->tree, path, &directory, err);
        return r < 0 ? r : tree_move(node, directory, name, err);
}

int fixup_kernel(struct fixup_context *c, struct error *err)
{
        struct tree_node *boot = tree_lookup(c->tree, "/boot");

        for (size_t i = boot ? boot->n_children : 0; i-- > 0;) {
                struct tree_node *node = boot->children[i];

                for (size_t k = 0; k < ARRAY_SIZE(moves); k++) {
                        const char *version = startswith(node->name, moves[k].prefix);
                        _cleanup_free_ char *copy = version ? strdup(version) : NULL;
                        int r;

                        if (!version)
                                continue;
                        if (!copy)
                                return error_oom(err);
                        r = move_file(c, node, copy, moves[k].name, err);
                        if (r < 0)
                                return error_prefix(err, r, "/boot/%s", copy);
                        break;
                }
        }
        return 0;
}
