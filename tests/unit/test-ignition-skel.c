/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What new homes begin with: files of any size, modes, links and directories, given to the user. */

#include <unistd.h>

#include "test.h"
#include "userdb.h"

enum { LARGE = 300 * 1024 };

struct fixture {
        char *top;
        struct root root;
        struct skel skel;
        int home;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        struct error err = {};

        f->top = test_mkdir();
        assert_ok(root_open(&f->root, f->top, &err), &err);
        f->home = path_open_dir(f->root.fd, "home/core", 0755, &err);
        assert_ok(f->home, &err);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        skel_done(&f->skel);
        close(f->home);
        root_done(&f->root);
        test_rmdir(f->top);
        free(f);
        return 0;
}

static void put(struct fixture *f, const char *path, const char *text, size_t size, mode_t mode)
{
        struct error err = {};

        assert_ok(file_write(f->root.fd, path, text, size, mode, &err), &err);
}

static int fill(struct fixture *f, struct error *err)
{
        const struct home home = { .what = HOME_CREATE,
                                   .path = (char *)"/home/core",
                                   .from = (char *)"/etc/skel",
                                   .uid = getuid(),
                                   .gid = getgid() };
        int r = skel_read(&f->root, "/etc/skel", &f->skel, err);

        return r < 0 ? r : skel_write(&f->skel, f->home, &home, err);
}

static void assert_file(struct fixture *f, const char *name, const char *text, size_t size,
                        mode_t mode)
{
        _cleanup_free_ char *content = NULL;
        struct error err = {};
        struct stat st;
        size_t got;

        assert_ok(file_read(f->home, name, LARGE, &content, &got, &err), &err);
        assert_int_equal(got, size);
        assert_memory_equal(content, text, size);
        assert_int_equal(fstatat(f->home, name, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode, S_IFREG | mode);
}

static void assert_link(struct fixture *f, const char *name, const char *want)
{
        _cleanup_free_ char *target = NULL;
        struct error err = {};

        assert_ok(path_readlink(f->home, name, &target, &err), &err);
        assert_string_equal(target, want);
}

static void test_everything(void **state)
{
        _cleanup_free_ char *large = malloc(LARGE);
        struct fixture *f = *state;
        struct error err = {};
        struct stat st;

        memset(large, 'x', LARGE);
        assert_ok(path_mkdirs(f->root.fd, "etc/skel/.config/deep", 0755, &err), &err);
        put(f, "etc/skel/empty", "", 0, 0644);
        put(f, "etc/skel/.config/deep/tool", "#!", 2, 04750);
        put(f, "etc/skel/large", large, LARGE, 0600);
        assert_int_equal(symlinkat("empty", f->root.fd, "etc/skel/relative"), 0);
        assert_int_equal(symlinkat("/etc/skel/large", f->root.fd, "etc/skel/absolute"), 0);
        assert_int_equal(symlinkat("/etc/skeleton", f->root.fd, "etc/skel/other"), 0);
        assert_int_equal(mkfifoat(f->root.fd, "etc/skel/fifo", 0600), 0);
        assert_ok(fill(f, &err), &err);
        assert_file(f, "empty", "", 0, 0644);
        assert_file(f, ".config/deep/tool", "#!", 2, 04750);
        assert_file(f, "large", large, LARGE, 0600);
        assert_link(f, "relative", "empty");
        assert_link(f, "absolute", "/home/core/large");
        assert_link(f, "other", "/etc/skeleton");
        assert_int_equal(fstatat(f->home, "fifo", &st, AT_SYMLINK_NOFOLLOW), -1);
}

static void test_none(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        assert_ok(fill(f, &err), &err);
        assert_non_null(f->skel.path);
        assert_int_equal(f->skel.top.count, 0);
}

static void test_too_deep(void **state)
{
        struct fixture *f = *state;
        struct error err = {};
        char path[1024] = "etc/skel";

        for (unsigned i = 0; i < 200; i++)
                strcat(path, "/d");
        assert_ok(path_mkdirs(f->root.fd, path, 0755, &err), &err);
        assert_int_equal(fill(f, &err), -ELOOP);
        assert_null(f->skel.path);
}

/* What is in the way is not written through. */
static void test_in_the_way(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        assert_int_equal(mkdirat(f->root.fd, "etc", 0755), 0);
        assert_int_equal(mkdirat(f->root.fd, "etc/skel", 0755), 0);
        put(f, "etc/skel/file", "new", 3, 0644);
        put(f, "home/there", "old", 3, 0644);
        assert_int_equal(symlinkat("../there", f->home, "file"), 0);
        assert_int_equal(fill(f, &err), -EEXIST);
        assert_file(f, "../there", "old", 3, 0644);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_everything),
                TEST(test_none),
                TEST(test_too_deep),
                TEST(test_in_the_way),
        };

        return test_run(tests);
}
