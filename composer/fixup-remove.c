/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The layers' "remove" patterns. A directory goes with all that is in it. A pattern that matches
 * nothing is reported: packages change, and a pattern that no longer works grows the image
 * silently.
 */

#include "fixup.h"
#include "strv.h"

/* Removes what matches; returns how many. */
static size_t remove_matches(struct tree *tree, const char *pattern)
{
        struct tree_node *node = tree_next(tree->root, tree->root);
        size_t count = 0;

        while (node) {
                char path[TREE_PATH_MAX];

                if (!glob_match(pattern, tree_path(node, path))) {
                        node = tree_next(tree->root, node);
                        continue;
                }
                struct tree_node *next = tree_next_skip(tree->root, node);

                tree_remove(node);
                node = next;
                count++;
        }
        return count;
}

static size_t remove_pattern(struct tree *tree, const char *pattern)
{
        struct tree_node *node;

        if (strpbrk(pattern, "*?[\\"))
                return remove_matches(tree, pattern);
        node = tree_lookup(tree, pattern);
        if (!node || !node->parent)
                return 0;
        tree_remove(node);
        return 1;
}

int fixup_remove(struct fixup_context *c, struct error *err)
{
        for (size_t i = 0; i < c->m->n_layers; i++)
                STRV_FOREACH (pattern, c->m->layers[i].remove) {
                        char path[TREE_PATH_MAX], subject[256];
                        int r;

                        if (remove_pattern(c->tree, image_path(*pattern, path)) > 0)
                                continue;
                        snprintf(subject, sizeof(subject), "layer %s", c->m->layers[i].name);
                        r = fixup_finding(c->result, subject, err,
                                          "remove pattern '%s' matches nothing", *pattern);
                        if (r < 0)
                                return r;
                }
        return 0;
}
