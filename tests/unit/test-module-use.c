/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* module-use.c, as far as no index of depmod's is needed: words that nobody knows, patterns, and
 * firmware. What depends on what is tested on made packages, tests/cli/test_kernel_modules.py. */

#include "fixup-test.h"
#include "module-use.h"

#define MODULES  "/usr/lib/modules/6.1-x"
#define FIRMWARE "/usr/lib/firmware"

struct place { /* a fixture with a cache */
        struct fixture f;
        char *cache;
};

static void place_init(struct place *p)
{
        struct error err = {};

        fixture_init(&p->f);
        p->cache = test_mkdir();
        p->f.w.cache_path = p->cache;
        p->f.w.threads = 2;
        assert_ok(path_mkdirs(AT_FDCWD, p->cache, 0700, &err), &err);
        put_dir(p->f.c.tree, MODULES "/kernel", 0755);
}

static void place_done(struct place *p)
{
        test_rmdir(p->cache);
        fixture_done(&p->f);
}

#define _cleanup_place_ _cleanup_(place_done)

/* depmod has found nothing: an empty index. */
static int find(struct place *p, struct module_use *ret, struct error *err)
{
        return module_use_find(&p->f.w, &p->f.m, p->f.c.tree, tree_lookup(p->f.c.tree, MODULES), "",
                               0, ret, err);
}

static bool is_needed(const struct module_use *u, const struct tree *tree, const char *path)
{
        const struct tree_node *node = tree_lookup(tree, path);

        for (size_t i = 0; i < u->count; i++)
                if (u->items[i].node == node)
                        return u->items[i].needed;
        fail_msg("%s is not among the files", path);
        return false;
}

static void test_nothing_is_asked_for(void **state)
{
        _cleanup_place_ struct place p;
        _cleanup_module_use_ struct module_use use = {};
        struct error err = {};

        (void)state;
        place_init(&p);
        put(p.f.c.tree, MODULES "/kernel/a/b.ko", "", 0644);
        put(p.f.c.tree, MODULES "/updates/c.ko.xz", "", 0644);
        put(p.f.c.tree, MODULES "/vmlinuz", "", 0644);
        assert_ok(find(&p, &use, &err), &err);
        assert_int_equal(use.count, 2);
        assert_false(is_needed(&use, p.f.c.tree, MODULES "/kernel/a/b.ko"));
        assert_false(is_needed(&use, p.f.c.tree, MODULES "/updates/c.ko.xz"));
}

static void test_no_modules_at_all(void **state)
{
        _cleanup_place_ struct place p;
        _cleanup_module_use_ struct module_use use = {};
        struct error err = {};

        (void)state;
        place_init(&p);
        assert_ok(find(&p, &use, &err), &err);
        assert_int_equal(use.count, 0);
        /* A pattern may match nothing; a name may not. */
        p.f.layers[1].kernel.modules = (char *[]){ (char *)"drivers/**", (char *)"x*", NULL };
        assert_ok(find(&p, &use, &err), &err);
        p.f.layers[1].kernel.modules = (char *[]){ (char *)"x", NULL };
        assert_int_equal(find(&p, &use, &err), -ENOENT);
        assert_string_equal(err.message, "layer 'two': kernel module 'x' is not in the image");
}

/* A module that a pattern finds and depmod has not: the image's index is not of its modules. */
static void test_stale_index(void **state)
{
        _cleanup_place_ struct place p;
        _cleanup_module_use_ struct module_use use = {};
        struct error err = {};

        (void)state;
        place_init(&p);
        put(p.f.c.tree, MODULES "/kernel/net/a-b.ko", "", 0644);
        p.f.layers[0].kernel.modules = (char *[]){ (char *)"net/a-*", NULL };
        assert_int_equal(find(&p, &use, &err), -ENOENT);
        assert_string_equal(err.message, "layer 'one': kernel module 'a_b' is not in the image");
        p.f.layers[0].kernel.modules = (char *[]){ (char *)"a-*", NULL };
        assert_ok(find(&p, &use, &err), &err); /* names have no '-' */
        module_use_done(&use);
        put(p.f.c.tree, MODULES "/top-level.ko", "", 0644);
        p.f.layers[0].kernel.modules = (char *[]){ (char *)"top_*", NULL };
        assert_int_equal(find(&p, &use, &err), -ENOENT);
        assert_string_equal(err.message,
                            "layer 'one': kernel module 'top_level' is not in the image");
}

static void test_firmware(void **state)
{
        static const struct {
                const char *path;
                bool needed;
        } files[] = {
                { FIRMWARE "/one.bin", true },           { FIRMWARE "/updates/one.bin.zst", true },
                { FIRMWARE "/6.1-x/one.bin", true },     { FIRMWARE "/6.1-y/one.bin", false },
                { FIRMWARE "/dir/any-7.bin.xz", true },  { FIRMWARE "/dir/none-7.bin", false },
                { FIRMWARE "/last.bin", true },          { FIRMWARE "/not-asked.bin", false },
                { FIRMWARE "/amd-ucode/x/y.bin", true }, { FIRMWARE "/amd-ucode.bin", false },
        };
        static const char info[] = "a.firmware=one.bin\0a.license=firmware=not-asked.bin\0"
                                   "a.firmware=dir/any-*.bin\0\0b.firmware=link.bin\0nothing\0"
                                   "b.firmware=dangling.bin\0b.firmware=last.bin";
        _cleanup_place_ struct place p;
        _cleanup_module_use_ struct module_use use = {};
        struct error err = {};

        (void)state;
        place_init(&p);
        assert_ok(tree_put_file(p.f.c.tree, MODULES "/modules.builtin.modinfo", info, sizeof(info),
                                0644, NULL, &err),
                  &err);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                put(p.f.c.tree, files[i].path, "x", 0644);
        put(p.f.c.tree, FIRMWARE "/store/behind-link", "x", 0644);
        put_link(p.f.c.tree, FIRMWARE "/link.bin", "store/behind-link");
        put_link(p.f.c.tree, FIRMWARE "/dangling.bin", "nowhere");
        assert_ok(find(&p, &use, &err), &err);
        assert_int_equal(use.count, ARRAY_SIZE(files) + 3);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (is_needed(&use, p.f.c.tree, files[i].path) != files[i].needed)
                        fail_msg("%s", files[i].path);
        assert_true(is_needed(&use, p.f.c.tree, FIRMWARE "/store/behind-link"));
        assert_true(is_needed(&use, p.f.c.tree, FIRMWARE "/link.bin"));
        assert_true(is_needed(&use, p.f.c.tree, FIRMWARE "/dangling.bin"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_asked_for),
                cmocka_unit_test(test_no_modules_at_all),
                cmocka_unit_test(test_stale_index),
                cmocka_unit_test(test_firmware),
        };

        return test_run(tests);
}
