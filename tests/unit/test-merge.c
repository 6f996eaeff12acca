/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The union of packages (union.c, diversion.c, deb-version.c) and layer files (layer-files.c). */

#include <sys/stat.h>

#include "deb-version.h"
#include "fixup-test.h"

static int unite(struct fixture *f, struct error *err)
{
        _cleanup_diversions_ struct diversions diversions = {};
        int r = diversions_collect(f->trees, f->c.count, NULL, &diversions, err);

        return r < 0 ? r : tree_union(f->trees, f->c.count, &diversions, NULL, f->c.tree, err);
}

/* usr-merge and /usr/etc; equal things are shared, inodes keep their owners and hard links. */
static void test_paths(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct tree *a, *b;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        a = fixture_package(&f, "a", "1");
        put_link(a, "/data/bin", "usr/bin");
        put(a, "/data/lib/x", "lib", 0644)->inode->gid = 42;
        put(a, "/data/etc/a.conf", "conf", 0600);
        put(a, "/data/usr/share/same", "same", 0644);
        b = fixture_package(&f, "b", "1");
        put(b, "/data/bin/tool", "tool", 0755);
        put(b, "/data/usr/share/same", "same", 0644);
        put_link(b, "/data/sbin/t", "../bin/tool");
        assert_int_equal(tree_link(tree_lookup(b, "/data/bin"), "twin",
                                   tree_lookup(b, "/data/bin/tool")->inode, NULL, &err),
                         0);
        assert_ok(unite(&f, &err), &err);
        assert_text(f.c.tree, "/usr/bin/tool", "tool");
        assert_text(f.c.tree, "/usr/etc/a.conf", "conf");
        assert_link(f.c.tree, "/usr/sbin/t", "../bin/tool");
        assert_int_equal(tree_lookup(f.c.tree, "/usr/lib/x")->inode->gid, 42);
        assert_ptr_equal(tree_lookup(f.c.tree, "/usr/bin/tool")->inode,
                         tree_lookup(f.c.tree, "/usr/bin/twin")->inode);
        assert_string_equal(tree_lookup(f.c.tree, "/usr/share/same")->inode->origin, "package a");
        assert_int_equal(f.c.tree->root->n_children, 1);
}

/* /lib/x and /usr/lib/x meet after usr-merge. */
static void test_clash(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(fixture_package(&f, "a", "1"), "/data/lib/x", "one", 0644);
        put(fixture_package(&f, "b", "1"), "/data/usr/lib/x", "two", 0644);
        assert_int_equal(unite(&f, &err), -EEXIST);
        assert_string_equal(err.message,
                            "/usr/lib/x is in package 'a' and, different, in package 'b': neither "
                            "a diversion nor Replaces covers it");
}

static void test_clash_with_directory(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(fixture_package(&f, "a", "1"), "/data/usr/x", "one", 0644);
        put(fixture_package(&f, "b", "1"), "/data/usr/x/y", "two", 0644);
        put(f.trees[1].tree, "/control/control", "Replaces: a\n", 0644);
        assert_int_equal(unite(&f, &err), -EEXIST);
}

/* The replacing package wins, whichever name comes first, and only in the stated versions. */
static void test_replaces(void **state)
{
        static const struct {
                const char *a, *b, *version_a, *winner;
        } cases[] = {
                { "Replaces: b\n", "", "1", "A" },
                { "", "Package: b\nReplaces: x,\n a (<< 2)\n", "1", "B" },
                { "", "Replaces: a (<< 2)\n", "2", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_fixture_ struct fixture f;
                struct error err = {};

                fixture_init(&f);
                put(fixture_package(&f, "a", cases[i].version_a), "/data/usr/x", "A", 0644);
                put(fixture_package(&f, "b", "1"), "/data/usr/x", "B", 0644);
                put(f.trees[0].tree, "/control/control", cases[i].a, 0644);
                put(f.trees[1].tree, "/control/control", cases[i].b, 0644);
                if (cases[i].winner) {
                        assert_ok(unite(&f, &err), &err);
                        assert_text(f.c.tree, "/usr/x", cases[i].winner);
                } else {
                        assert_int_equal(unite(&f, &err), -EEXIST);
                }
        }
}

/* Other packages' files go to the target; the diverting package's stays. */
static void test_diversion(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(fixture_package(&f, "a", "1"), "/data/bin/sh", "theirs", 0755);
        put(fixture_package(&f, "b", "1"), "/data/usr/bin/sh", "ours", 0755);
        put(f.trees[1].tree, "/control/preinst",
            "#!/bin/sh\nif [ \"$1\" = install ]; then\n"
            "\tdpkg-divert --package b --add --rename \\\n"
            "\t\t--divert /bin/sh.distrib /bin/sh || true\nfi\n",
            0755);
        assert_ok(unite(&f, &err), &err);
        assert_text(f.c.tree, "/usr/bin/sh", "ours");
        assert_text(f.c.tree, "/usr/bin/sh.distrib", "theirs");
}

/* What openssh-server and libc6 do in upgrades is no diversion of the image. */
static void test_diversions_of_upgrades(void **state)
{
        static const char *const scripts[] = {
                "dpkg-divert --package other --add --divert /bin/x.y /bin/x\n",
                "dpkg-divert --package b --add --divert /bin/x.usr-is-merged /bin/x\n",
                ("dpkg-divert --package b --add --divert /bin/x.y /bin/x\n"
                 "dpkg-divert --package b --remove --divert /bin/x.y /bin/x\n"),
                "dpkg-divert --package b --add --divert /bin/$x.y /bin/$x\n",
                "fn=$(dpkg-divert --truename /bin/x)\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
                _cleanup_fixture_ struct fixture f;
                struct error err = {};

                fixture_init(&f);
                put(fixture_package(&f, "a", "1"), "/data/bin/x", "x", 0755);
                put(fixture_package(&f, "b", "1"), "/control/preinst", scripts[i], 0755);
                assert_ok(unite(&f, &err), &err);
                assert_text(f.c.tree, "/usr/bin/x", "x");
        }
}

/* A directory is what the package with an opinion wants; two opinions clash. */
static void test_directories(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct tree *c;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put_dir(fixture_package(&f, "a", "1"), "/data/var/x", 0755);
        put_dir(fixture_package(&f, "b", "1"), "/data/var/x", 01777);
        assert_ok(unite(&f, &err), &err);
        assert_int_equal(tree_lookup(f.c.tree, "/var/x")->inode->mode & 07777, 01777);
        c = fixture_package(&f, "c", "1");
        put_dir(c, "/data/var/x", 0700);
        assert_int_equal(unite(&f, &err), -EEXIST);
}

static void write_text(const char *directory, const char *name, const char *text, mode_t mode)
{
        char path[4096];
        struct error err = {};

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        assert_ok(file_write(AT_FDCWD, path, text, strlen(text), mode, &err), &err);
}

/* A layer replaces files, its modes do not depend on a umask, later layers win. */
static void test_layer_files(void **state)
{
        _cleanup_fixture_ struct fixture f;
        char *directory = test_mkdir(), path[4096];
        struct error err = {};

        (void)state;
        fixture_init(&f);
        snprintf(path, sizeof(path), "%s/files/etc", directory);
        assert_ok(path_mkdirs(AT_FDCWD, path, 0700, &err), &err);
        write_text(path, "x", "layer", 0600);
        write_text(path, "run", "program", 0700);
        snprintf(path, sizeof(path), "%s/files/etc/link", directory);
        assert_int_equal(symlink("x", path), 0);
        f.layers[0].path = directory;
        put(f.c.tree, "/usr/etc/x", "package", 0644);
        assert_ok(layer_files(&f.layers[0], false, f.c.tree, &err), &err);
        assert_text(f.c.tree, "/usr/etc/x", "layer");
        assert_link(f.c.tree, "/usr/etc/link", "x");
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/x")->inode->mode, S_IFREG | 0644);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/run")->inode->mode, S_IFREG | 0755);
        assert_string_equal(tree_lookup(f.c.tree, "/usr/etc/x")->inode->origin, "layer one");
        test_rmdir(directory);
}

static void test_layer_errors(void **state)
{
        _cleanup_fixture_ struct fixture f;
        char *directory = test_mkdir(), path[4096];
        struct error err = {};

        (void)state;
        fixture_init(&f);
        f.layers[0].path = directory;
        assert_ok(layer_files(&f.layers[0], false, f.c.tree, &err), &err); /* no files/ at all */
        snprintf(path, sizeof(path), "%s/files/usr/x", directory);
        assert_ok(path_mkdirs(AT_FDCWD, path, 0700, &err), &err);
        strcat(path, "/pipe");
        assert_int_equal(mkfifo(path, 0600), 0);
        assert_int_equal(layer_files(&f.layers[0], false, f.c.tree, &err), -EINVAL);
        assert_string_equal(err.message, "layer 'one': files/usr/x/pipe: neither a file nor a "
                                         "directory nor a symlink");
        unlink(path);
        put_dir(f.c.tree, "/usr/x/y", 0755);
        snprintf(path, sizeof(path), "%s/files/usr/x", directory);
        write_text(path, "y", "", 0600);
        assert_int_equal(layer_files(&f.layers[0], false, f.c.tree, &err), -EISDIR);
        test_rmdir(directory);
}

static void test_programs(void **state)
{
        _cleanup_fixture_ struct fixture f;
        char *directory = test_mkdir();
        struct program program = { (char *)"agent", (char *)"/bin/agent" };
        struct error err = {};

        (void)state;
        fixture_init(&f);
        f.layers[0].programs.items = &program;
        f.layers[0].programs.count = 1;
        assert_int_equal(layer_programs(&f.layers[0], directory, f.c.tree, &err), -ENOENT);
        write_text(directory, "agent", "code", 0600);
        assert_ok(layer_programs(&f.layers[0], directory, f.c.tree, &err), &err);
        assert_text(f.c.tree, "/usr/bin/agent", "code");
        assert_int_equal(tree_lookup(f.c.tree, "/usr/bin/agent")->inode->mode & 07777, 0755);
        test_rmdir(directory);
}

/* Debian Policy's order, and its examples. */
static void test_versions(void **state)
{
        static const char *const rising[] = { "1.0~~", "1.0~~a",  "1.0~",  "1.0~rc1", "1.0",
                                              "1.0-1", "1.0-1.1", "1.0a",  "1.0+b",   "1.0.1",
                                              "1.2",   "1.10",    "1:0.1", "2:0" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rising); i++)
                for (size_t k = 0; k < ARRAY_SIZE(rising); k++) {
                        int order = deb_version_compare(rising[i], rising[k]);

                        if ((order > 0) - (order < 0) != (i > k) - (i < k))
                                fail_msg("%s against %s: %d", rising[i], rising[k], order);
                }
        assert_int_equal(deb_version_compare("1.01", "1.1"), 0);
        assert_int_equal(deb_version_compare("0:1.1-0", "1.1"), 0);
}

static void test_relations(void **state)
{
        (void)state;
        assert_true(deb_relation_matches("a", "a", "1"));
        assert_true(deb_relation_matches("b, a:any (>= 1)", "a", "1"));
        assert_true(deb_relation_matches("a(<<2)", "a", "1.9"));
        assert_true(deb_relation_matches("a (<= 2)", "a", "2"));
        assert_false(deb_relation_matches("a (>> 2)", "a", "2"));
        assert_false(deb_relation_matches("a (= 1-1)", "a", "1"));
        assert_false(deb_relation_matches("ab", "a", "1"));
        assert_false(deb_relation_matches("a (", "a", "1"));
        assert_false(deb_relation_matches("", "a", "1"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_clash),
                cmocka_unit_test(test_clash_with_directory),
                cmocka_unit_test(test_replaces),
                cmocka_unit_test(test_diversion),
                cmocka_unit_test(test_diversions_of_upgrades),
                cmocka_unit_test(test_directories),
                cmocka_unit_test(test_layer_files),
                cmocka_unit_test(test_layer_errors),
                cmocka_unit_test(test_programs),
                cmocka_unit_test(test_versions),
                cmocka_unit_test(test_relations),
        };

        return test_run(tests);
}
