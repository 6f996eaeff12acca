/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A small image in memory for the tests of merging and of the fix-ups: packages, one layer, a tree.
 */

#include "fixup.h"
#include "strv.h"
#include "test.h"

enum { FIXTURE_PACKAGES = 8 };

struct fixture {
        struct workdir w;
        struct manifest m;
        struct layer layers[2];
        struct package packages[FIXTURE_PACKAGES];
        struct package_tree trees[FIXTURE_PACKAGES];
        struct merge_result result;
        struct fixup_context c;
};

static inline void fixture_init(struct fixture *f)
{
        struct error err = {};

        memset(f, 0, sizeof(*f));
        f->m.name = (char *)"test";
        f->m.version = (char *)"1.0";
        f->m.architecture = (char *)"amd64";
        f->m.layers = f->layers;
        f->m.n_layers = 2;
        f->layers[0].name = (char *)"one";
        f->layers[1].name = (char *)"two";
        assert_ok(tree_new(&f->result.tree, &err), &err);
        f->c = (struct fixup_context){ .w = &f->w,
                                       .m = &f->m,
                                       .packages = f->trees,
                                       .tree = f->result.tree,
                                       .result = &f->result };
}

static inline void fixture_done(struct fixture *f)
{
        for (size_t i = 0; i < f->c.count; i++)
                tree_free(f->trees[i].tree);
        accounts_done(&f->c.accounts);
        merge_result_done(&f->result);
}

/* A new package; packages must be added in the order of their names. */
static inline _unused_ struct tree *fixture_package(struct fixture *f, const char *name,
                                                    const char *version)
{
        struct error err = {};
        size_t i = f->c.count++;

        f->packages[i].name = (char *)name;
        f->packages[i].version = (char *)version;
        f->packages[i].architecture = (char *)"amd64";
        f->trees[i].package = &f->packages[i];
        assert_ok(tree_new(&f->trees[i].tree, &err), &err);
        return f->trees[i].tree;
}

static inline struct tree_node *put(struct tree *tree, const char *path, const char *text,
                                    mode_t mode)
{
        struct error err = {};

        assert_ok(tree_put_file(tree, path, text, strlen(text), mode, NULL, &err), &err);
        return tree_lookup(tree, path);
}

static inline _unused_ void put_link(struct tree *tree, const char *path, const char *target)
{
        struct error err = {};

        assert_ok(tree_put_symlink(tree, path, target, NULL, &err), &err);
}

static inline _unused_ struct tree_node *put_dir(struct tree *tree, const char *path, mode_t mode)
{
        struct error err = {};
        struct tree_node *node;

        assert_ok(tree_make_dirs(tree, path, &node, &err), &err);
        tree_inode_set_mode(node->inode, mode);
        return node;
}

/* The file must be there with exactly this text. */
static inline _unused_ void assert_text(const struct tree *tree, const char *path, const char *text)
{
        const struct tree_node *node = tree_lookup(tree, path);
        _cleanup_free_ char *data = NULL;
        struct error err = {};

        if (!node)
                fail_msg("%s is missing", path);
        assert_ok(content_load(node->inode, NULL, 1 << 20, &data, NULL, &err), &err);
        assert_string_equal(data, text);
}

static inline _unused_ void assert_link(const struct tree *tree, const char *path,
                                        const char *target)
{
        const struct tree_node *node = tree_lookup(tree, path);

        if (!node || !S_ISLNK(node->inode->mode))
                fail_msg("%s is no symlink", path);
        assert_string_equal(node->inode->target, target);
}

static inline _unused_ void assert_absent(const struct tree *tree, const char *path)
{
        if (tree_lookup(tree, path))
                fail_msg("%s is there", path);
}

static inline _unused_ void assert_finding(const struct merge_result *result, const char *subject,
                                           const char *reason)
{
        for (size_t i = 0; i < result->findings.count; i++)
                if (streq(result->findings.items[i].subject, subject) &&
                    streq(result->findings.items[i].reason, reason))
                        return;
        fail_msg("no finding '%s: %s'", subject, reason);
}

#define _cleanup_fixture_ _cleanup_(fixture_done)
