/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tree.c, inode.c and content.c. */

#include "test.h"
#include "tree.h"

static struct tree *new_tree(void)
{
        struct error err = {};
        struct tree *tree;

        assert_ok(tree_new(&tree, &err), &err);
        return tree;
}

static void put(struct tree *tree, const char *path, const char *text)
{
        struct error err = {};

        assert_ok(tree_put_file(tree, path, text, strlen(text), 0644, NULL, &err), &err);
}

static void put_link(struct tree *tree, const char *path, const char *target)
{
        struct error err = {};

        assert_ok(tree_put_symlink(tree, path, target, NULL, &err), &err);
}

/* Children are in byte order, and a walk visits parents first. */
static void test_order(void **state)
{
        static const char *const expected[] = { "/",    "/a",     "/a/b", "/a/b/z",
                                                "/a-c", "/a.txt", "/b",   "/\xc3\xa9" };
        _cleanup_tree_ struct tree *tree = new_tree();
        char path[TREE_PATH_MAX];
        size_t i = 0;

        (void)state;
        put(tree, "/\xc3\xa9", "");
        put(tree, "/b", "");
        put(tree, "/a/b/z", "");
        put(tree, "/a.txt", "");
        put(tree, "/a-c", "");
        TREE_FOREACH (node, tree->root) {
                assert_true(i < ARRAY_SIZE(expected));
                assert_string_equal(tree_path(node, path), expected[i++]);
        }
        assert_int_equal(i, ARRAY_SIZE(expected));
}

/* A walk of a subtree ends with it; one that skips does not descend. */
static void test_subtree(void **state)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        struct tree_node *a, *node;
        size_t n = 0;

        (void)state;
        put(tree, "/a/b/c", "");
        put(tree, "/a/d", "");
        put(tree, "/e", "");
        a = tree_lookup(tree, "/a");
        TREE_FOREACH (each, a)
                n++;
        assert_int_equal(n, 4);
        node = tree_next_skip(tree->root, tree_lookup(tree, "/a/b"));
        assert_string_equal(node->name, "d");
        assert_string_equal(tree_next_skip(tree->root, a)->name, "e");
        assert_null(tree_next_skip(a, a));
        assert_null(tree_next(a, tree_lookup(tree, "/a/d")));
}

static void test_lookup(void **state)
{
        _cleanup_tree_ struct tree *tree = new_tree();

        (void)state;
        put(tree, "/usr/lib/x", "");
        assert_ptr_equal(tree_lookup(tree, "/"), tree->root);
        assert_non_null(tree_lookup(tree, "/usr/lib/x"));
        assert_non_null(tree_lookup(tree, "//usr///lib/"));
        assert_null(tree_lookup(tree, "usr"));
        assert_null(tree_lookup(tree, "/usr/li"));
        assert_null(tree_lookup(tree, "/usr/libx"));
        assert_null(tree_lookup(tree, "/usr/lib/x/y"));
        assert_null(tree_lookup(tree, "/usr/../usr"));
}

static void test_resolve(void **state)
{
        static const struct {
                const char *path, *found;
        } cases[] = {
                { "/lib/x", "/usr/lib/x" },
                { "/usr/lib64/x", "/usr/lib/x" },
                { "/usr/abs", "/usr/lib/x" },
                { "/usr/lib/../lib/./x", "/usr/lib/x" },
                { "/../../usr/lib", "/usr/lib" },
                { "/up/lib/x", "/usr/lib/x" },
                { "/loop", NULL },
                { "/dangling", NULL },
                { "/usr/lib/x/.", NULL },
                { "usr", NULL },
        };
        _cleanup_tree_ struct tree *tree = new_tree();
        char path[TREE_PATH_MAX];

        (void)state;
        put(tree, "/usr/lib/x", "");
        put_link(tree, "/lib", "usr/lib");
        put_link(tree, "/usr/lib64", "lib");
        put_link(tree, "/usr/abs", "/lib/x");
        put_link(tree, "/up", "../usr/lib/..");
        put_link(tree, "/loop", "loop");
        put_link(tree, "/dangling", "/nowhere");
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct tree_node *node = tree_resolve(tree, cases[i].path);

                if (!cases[i].found)
                        assert_null(node);
                else
                        assert_string_equal(tree_path(node, path), cases[i].found);
        }
}

static void test_names(void **state)
{
        static const char *const bad[] = { "", ".", "..", "a/b" };
        _cleanup_tree_ struct tree *tree = new_tree();
        struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 0, 0);
        char longest[TREE_NAME_MAX + 2];
        struct error err = {};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(tree_link(tree->root, bad[i], inode, NULL, &err), -EINVAL);
        memset(longest, 'n', sizeof(longest));
        longest[TREE_NAME_MAX + 1] = '\0';
        assert_int_equal(tree_link(tree->root, longest, inode, NULL, &err), -EINVAL);
        longest[TREE_NAME_MAX] = '\0';
        assert_ok(tree_link(tree->root, longest, inode, NULL, &err), &err);
        assert_int_equal(tree_link(tree->root, longest, inode, NULL, &err), -EEXIST);
        assert_int_equal(tree_link(tree_child(tree->root, longest), "x", inode, NULL, &err),
                         -ENOTDIR);
        assert_int_equal(tree_link(tree->root, "root", tree->root->inode, NULL, &err), -EINVAL);
        assert_int_equal(inode->references, 1);
}

static void test_put(void **state)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        struct error err = {};
        struct tree_node *node;

        (void)state;
        put(tree, "/etc/a", "one");
        assert_ok(tree_link(tree_lookup(tree, "/etc"), "b", tree_lookup(tree, "/etc/a")->inode,
                            NULL, &err),
                  &err);
        put(tree, "/etc/a", "two"); /* replaces the name, not the other link's content */
        assert_memory_equal(tree_lookup(tree, "/etc/a")->inode->data, "two", 3);
        assert_memory_equal(tree_lookup(tree, "/etc/b")->inode->data, "one", 3);
        assert_int_equal(tree_lookup(tree, "/etc/b")->inode->references, 1);
        assert_int_equal(tree_put_file(tree, "/etc", "", 0, 0644, NULL, &err), -EISDIR);
        assert_int_equal(tree_put_file(tree, "/etc/a/x", "", 0, 0644, NULL, &err), -ENOTDIR);
        assert_int_equal(tree_put_file(tree, "x", "", 0, 0644, NULL, &err), -EINVAL);
        assert_int_equal(tree_put_symlink(tree, "/l", "", NULL, &err), -EINVAL);
        assert_int_equal(tree_make_dirs(tree, "/etc/a", &node, &err), -ENOTDIR);
        put_link(tree, "/etc/a", "b");
        assert_string_equal(tree_lookup(tree, "/etc/a")->inode->target, "b");
}

static void test_move_and_remove(void **state)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        struct tree_node *usr, *lib;
        struct error err = {};

        (void)state;
        put(tree, "/lib/x/y", "");
        put(tree, "/usr/lib/z", "");
        lib = tree_lookup(tree, "/lib");
        usr = tree_lookup(tree, "/usr");
        assert_int_equal(tree_move(lib, usr, "lib", &err), -EEXIST);
        assert_int_equal(tree_move(lib, tree_lookup(tree, "/lib/x"), "lib", &err), -EINVAL);
        assert_int_equal(tree_move(lib, lib, "lib", &err), -EINVAL);
        assert_ok(tree_move(lib, usr, "old", &err), &err);
        assert_null(tree_lookup(tree, "/lib"));
        assert_non_null(tree_lookup(tree, "/usr/old/x/y"));
        assert_ok(tree_move(lib, usr, "a", &err), &err); /* within its directory */
        assert_string_equal(usr->children[0]->name, "a");
        tree_remove(tree_lookup(tree, "/usr/a"));
        assert_int_equal(usr->n_children, 1);
}

/* Deep enough to exhaust the stack, if anything recursed. */
static void test_deep(void **state)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        struct tree_node *node = tree->root;
        char path[TREE_PATH_MAX];
        struct error err = {};
        size_t n = 0;

        (void)state;
        for (size_t i = 0; i < 200000; i++)
                assert_ok(tree_link(node, "d", tree_inode_new(S_IFDIR | 0755, 0, 0), &node, &err),
                          &err);
        TREE_FOREACH (each, tree->root)
                n++;
        assert_int_equal(n, 200001);
        assert_string_equal(tree_path(node, path), "?");
        tree_remove(tree_child(tree->root, "d"));
}

static void test_xattrs(void **state)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = tree_inode_new(S_IFREG, 0, 0);
        _cleanup_free_ char *large = calloc(1, TREE_XATTR_VALUE_MAX + 1);
        struct error err = {};

        (void)state;
        assert_ok(tree_inode_set_xattr(inode, "user.b", "1", 1, &err), &err);
        assert_ok(tree_inode_set_xattr(inode, "user.a", "", 0, &err), &err);
        assert_ok(tree_inode_set_xattr(inode, "user.b", "22", 2, &err), &err);
        assert_int_equal(inode->n_xattrs, 2);
        assert_string_equal(inode->xattrs[0].name, "user.a");
        assert_int_equal(inode->xattrs[1].size, 2);
        assert_ok(tree_inode_set_xattr(inode, "user.a", NULL, 0, &err), &err);
        assert_ok(tree_inode_set_xattr(inode, "user.none", NULL, 0, &err), &err);
        assert_int_equal(inode->n_xattrs, 1);
        assert_int_equal(tree_inode_set_xattr(inode, "", "", 0, &err), -EINVAL);
        assert_int_equal(
                tree_inode_set_xattr(inode, "user.l", large, TREE_XATTR_VALUE_MAX + 1, &err),
                -E2BIG);
        assert_true(inode->changed);
}

static void test_changed(void **state)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFREG | 0644, 1, 2);

        (void)state;
        tree_inode_set_owner(inode, 1, 2);
        tree_inode_set_mode(inode, S_IFDIR | 0644); /* type bits do not count */
        assert_false(inode->changed);
        tree_inode_set_mode(inode, 04644);
        assert_int_equal(inode->mode, S_IFREG | 04644);
        assert_true(inode->changed);
}

static void test_intern(void **state)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        const char *a = tree_intern(tree, "package a"), *b = tree_intern(tree, "package b");

        (void)state;
        assert_string_equal(b, "package b");
        assert_ptr_equal(tree_intern(tree, "package a"), a);
        assert_string_equal(a, "package a");
}

/* A file on the builder must keep the size it was planned with. */
static void test_content_path(void **state)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = tree_inode_new(S_IFREG, 0, 0);
        _cleanup_free_ char *text = NULL;
        char *directory = test_mkdir();
        struct error err = {};
        size_t size;

        (void)state;
        assert_true(asprintf(&inode->path, "%s/file", directory) > 0);
        assert_ok(file_write(AT_FDCWD, inode->path, "hello", 5, 0644, &err), &err);
        inode->kind = CONTENT_PATH;
        inode->size = 5;
        assert_ok(content_load(inode, NULL, 5, &text, &size, &err), &err);
        assert_string_equal(text, "hello");
        assert_int_equal(size, 5);
        assert_int_equal(content_load(inode, NULL, 4, &text, NULL, &err), -EFBIG);
        inode->size = 6;
        assert_int_equal(content_load(inode, NULL, 10, &text, NULL, &err), -ESTALE);
        test_rmdir(directory);
}

static void test_content_memory(void **state)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = tree_inode_new(S_IFREG, 0, 0);
        struct content content = CONTENT_NULL;
        struct error err = {};
        char data[8];

        (void)state;
        assert_ok(content_open(inode, NULL, &content, &err), &err); /* empty */
        assert_ok(content_read(&content, data, 0, 0, &err), &err);
        assert_int_equal(content_read(&content, data, 1, 0, &err), -ENODATA);
        assert_ok(tree_inode_set_data(inode, "abcdef", 6, &err), &err);
        assert_ok(content_open(inode, NULL, &content, &err), &err);
        assert_ok(content_read(&content, data, 2, 4, &err), &err);
        assert_memory_equal(data, "ef", 2);
        assert_int_equal(content_read(&content, data, 3, 4, &err), -ENODATA);
        assert_int_equal(content_read(&content, data, 1, UINT64_MAX, &err), -ENODATA);
        content_close(&content);
        inode->kind = CONTENT_OBJECT;
        assert_int_equal(content_open(inode, NULL, &content, &err), -EINVAL);
        inode->kind = CONTENT_MEMORY;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),           cmocka_unit_test(test_subtree),
                cmocka_unit_test(test_lookup),          cmocka_unit_test(test_resolve),
                cmocka_unit_test(test_names),           cmocka_unit_test(test_put),
                cmocka_unit_test(test_move_and_remove), cmocka_unit_test(test_deep),
                cmocka_unit_test(test_xattrs),          cmocka_unit_test(test_changed),
                cmocka_unit_test(test_intern),          cmocka_unit_test(test_content_path),
                cmocka_unit_test(test_content_memory),
        };

        return test_run(tests);
}
