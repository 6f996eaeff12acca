/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Paths below --root with hostile symlinks: they lead where they would lead inside, and what is
 * opened, made or removed is never outside; what is known of directories does not outlast them. */

#include <unistd.h>

#include "root-test.h"

struct fixture {
        char *top; /* "root" and "outside" are in it */
        struct root root;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        f->top = root_make("root", &f->root);
        assert_int_equal(mkdirat(f->root.fd, "../outside", 0755), 0);
        put(&f->root, "../outside/secret", "s");
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        root_drop(&f->root, f->top);
        free(f);
        return 0;
}

static void link_to(struct fixture *f, const char *target, const char *path)
{
        assert_int_equal(symlinkat(target, f->root.fd, path), 0);
}

static void assert_resolves(struct fixture *f, const char *path, bool all, const char *want)
{
        _cleanup_free_ char *resolved = NULL;
        struct error err = {};

        assert_ok(all ? root_resolve_all(&f->root, path, &resolved, &err)
                      : root_resolve(&f->root, path, &resolved, &err),
                  &err);
        assert_string_equal(resolved, want);
}

static void test_resolving(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        assert_ok(path_mkdirs(f->root.fd, "a/b", 0755, &err), &err);
        link_to(f, "/a/b", "absolute");
        link_to(f, "../../../../a", "a/b/up");
        link_to(f, "../outside", "escape");
        link_to(f, "/", "slash");
        link_to(f, "nowhere/yet", "dangling");
        assert_resolves(f, "/", false, ".");
        assert_resolves(f, "/a/b/c", false, "a/b/c");
        assert_resolves(f, "/absolute/x", false, "a/b/x");
        assert_resolves(f, "/a/b/up/x", false, "a/x");
        assert_resolves(f, "/escape/secret", false, "outside/secret");
        assert_resolves(f, "/slash/slash/slash/a", false, "a");
        assert_resolves(f, "/dangling/x", false, "nowhere/yet/x");
        assert_resolves(f, "/../../a/./b//c", false, "a/b/c");
        /* the last component is only followed when asked for */
        assert_resolves(f, "/absolute", false, "absolute");
        assert_resolves(f, "/absolute", true, "a/b");
        assert_resolves(f, "/slash", true, ".");
}

static void test_refused_paths(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *resolved = NULL;
        struct error err = {};
        char name[300], path[8192];

        link_to(f, "loop2/x", "loop1");
        link_to(f, "loop1/y", "loop2");
        assert_int_equal(root_resolve(&f->root, "/loop1/z", &resolved, &err), -ELOOP);
        memset(name, 'n', sizeof(name));
        name[0] = '/';
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(root_resolve(&f->root, name, &resolved, &err), -ENAMETOOLONG);
        memset(path, '/', sizeof(path));
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(root_resolve(&f->root, path, &resolved, &err), -ENAMETOOLONG);
        assert_null(resolved);
}

/* A resolved path that a link was put into afterwards leads nowhere at all. */
static void test_links_put_in_later(void **state)
{
        static const char *const targets[] = { "../outside", "/tmp", "." };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                struct place place = PLACE_NULL;
                struct error err = {};
                struct stat st;

                link_to(f, targets[i], "d");
                assert_true(place_open(&f->root, "d/secret", &place, &err) < 0);
                assert_true(place_make(&f->root, "d/x/secret", &place, &err) < 0);
                assert_int_equal(place.dir, -1);
                assert_false(root_stat(&f->root, "d/secret", &st));
                assert_true(root_open_path(&f->root, "d/secret", O_RDONLY, &err) < 0);
                assert_true(root_open_path(&f->root, "d", O_RDONLY | O_DIRECTORY, &err) < 0);
                assert_ok(root_remove(&f->root, "d/secret", &err), &err);
                /* the link itself goes, not what it names */
                assert_ok(root_remove(&f->root, "d", &err), &err);
                assert_int_equal(faccessat(f->root.fd, "d", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        }
        assert_int_equal(faccessat(f->root.fd, "../outside/secret", F_OK, 0), 0);
}

static void test_parents_are_made(void **state)
{
        struct fixture *f = *state;
        struct place place = PLACE_NULL;
        struct error err = {};
        mode_t old = umask(022);
        struct stat st;

        assert_ok(place_make(&f->root, "x/y/z", &place, &err), &err);
        umask(old);
        assert_string_equal(place.name, "z");
        place_done(&place);
        assert_true(root_stat(&f->root, "x/y", &st));
        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_false(root_stat(&f->root, "x/y/z", &st));
        assert_int_equal(f->root.device_count, 1);
        assert_ok(root_sync(&f->root, &err), &err);
}

static void test_reading(void **state)
{
        struct fixture *f = *state;
        char *text = (char *)"";
        struct error err = {};

        assert_ok(root_read(&f->root, "/absent", &text, &err), &err);
        assert_null(text);
        put_bytes(&f->root, "file", "text", 4);
        link_to(f, "/file", "link");
        link_to(f, "../outside/secret", "out");
        assert_ok(root_read(&f->root, "/link", &text, &err), &err);
        assert_string_equal(text, "text");
        free(text);
        assert_ok(root_read(&f->root, "/out", &text, &err), &err);
        assert_null(text);
        put_bytes(&f->root, "nul", "a\0b", 3);
        assert_int_equal(root_read(&f->root, "/nul", &text, &err), -EINVAL);
        assert_int_equal(mkdirat(f->root.fd, "dir", 0755), 0);
        assert_int_equal(root_read(&f->root, "/dir", &text, &err), -EINVAL);
        assert_int_equal(mkfifoat(f->root.fd, "fifo", 0600), 0);
        assert_int_equal(root_read(&f->root, "/fifo", &text, &err), -EINVAL);
}

static void test_sweeping(void **state)
{
        static const char *const gone[] = { ".f.00000000", ".f.1234abcd" };
        static const char *const kept[] = {
                "f", ".f", ".f.", ".f.xyz", ".ff.00000000", "f.00000000"
        };
        struct fixture *f = *state;
        struct error err = {};
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
                put_bytes(&f->root, gone[i], "", 0);
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                put_bytes(&f->root, kept[i], "", 0);
        assert_ok(root_sweep(&f->root, "f", &err), &err);
        assert_ok(root_sweep(&f->root, "no/such/dir", &err), &err);
        for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
                assert_false(root_stat(&f->root, gone[i], &st));
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                assert_true(root_stat(&f->root, kept[i], &st));
}

/* The names that root_sweep() looks for are those that drafts have. */
static void test_sweeps_drafts(void **state)
{
        struct fixture *f = *state;
        struct draft draft = DRAFT_NULL;
        struct error err = {};
        struct stat st;

        assert_ok(draft_open(&draft, f->root.fd, "file.conf", 0600, &err), &err);
        assert_true(root_stat(&f->root, draft.temp, &st));
        assert_ok(root_sweep(&f->root, "file.conf", &err), &err);
        assert_false(root_stat(&f->root, draft.temp, &st));
        draft_done(&draft);
}

/* An open directory stays the one it was, also when its path leads outside by now. */
static void test_link_in_the_place_of_an_open_directory(void **state)
{
        struct fixture *f = *state;
        struct place place = PLACE_NULL;
        struct error err = {};
        struct stat st;

        assert_ok(path_mkdirs(f->root.fd, "a/d", 0755, &err), &err);
        assert_false(root_stat(&f->root, "a/d/secret", &st));
        assert_true(root_knows(&f->root, "a/d"));
        assert_true(root_knows(&f->root, "a"));
        assert_false(root_knows(&f->root, "a/d/secret"));
        assert_int_equal(renameat(f->root.fd, "a/d", f->root.fd, "moved"), 0);
        link_to(f, "../../outside", "a/d");
        assert_false(root_stat(&f->root, "a/d/secret", &st));
        assert_ok(place_make(&f->root, "a/d/new", &place, &err), &err);
        assert_int_equal(mkdirat(place.dir, place.name, 0755), 0);
        place_done(&place);
        assert_int_equal(faccessat(f->root.fd, "moved/new", F_OK, 0), 0);
        assert_int_equal(faccessat(f->root.fd, "../outside/new", F_OK, 0), -1);
        /* and who has not seen it open is stopped by the link */
        root_forget(&f->root, "a");
        assert_false(root_knows(&f->root, "a/d"));
        assert_true(place_open(&f->root, "a/d/secret", &place, &err) < 0);
        assert_resolves(f, "/a/d/secret", false, "outside/secret");
}

static void test_removed_directories_are_forgotten(void **state)
{
        struct fixture *f = *state;
        struct place place = PLACE_NULL;
        struct error err = {};
        struct stat st;

        assert_ok(place_make(&f->root, "x/y/z", &place, &err), &err);
        assert_int_equal(mkdirat(place.dir, place.name, 0755), 0);
        /* in use meanwhile: gone, but still open */
        assert_ok(root_remove(&f->root, "x/y", &err), &err);
        assert_int_equal(fstat(place.dir, &st), 0);
        place_done(&place);
        assert_false(root_knows(&f->root, "x/y"));
        assert_ok(place_make(&f->root, "x/y/z", &place, &err), &err);
        assert_int_equal(mkdirat(place.dir, place.name, 0755), 0);
        place_done(&place);
        assert_true(root_stat(&f->root, "x/y/z", &st));
}

/* What was absent is there once it is made, whoever looks when. */
static void test_absence_ends(void **state)
{
        struct fixture *f = *state;
        struct place place = PLACE_NULL;
        struct error err = {};
        struct stat st;

        assert_int_equal(root_find(&f->root, "n/a", &st, &err), 0);
        assert_int_equal(root_find(&f->root, "n/a/below", &st, &err), 0);
        assert_ok(place_make(&f->root, "n/a", &place, &err), &err);
        assert_int_equal(root_find(&f->root, "n/a", &st, &err), 0);
        assert_int_equal(symlinkat("/n", place.dir, place.name), 0);
        assert_int_equal(root_find(&f->root, "n/a", &st, &err), 1);
        place_done(&place);
        assert_resolves(f, "/n/a/x", false, "n/x");
        /* a name that is absent is no absent directory */
        assert_int_equal(root_find(&f->root, "n/b", &st, &err), 0);
        assert_ok(place_open(&f->root, "n/b", &place, &err), &err);
        place_done(&place);
}

static void test_more_directories_than_are_kept(void **state)
{
        struct fixture *f = *state;
        struct place held = PLACE_NULL;
        struct error err = {};
        struct stat st;
        char path[32];

        assert_ok(place_make(&f->root, "held/x", &held, &err), &err);
        for (unsigned i = 0; i < 3 * ROOT_DIRS_MAX; i++) {
                struct place place = PLACE_NULL;

                snprintf(path, sizeof(path), "many/%u/x", i);
                assert_ok(place_make(&f->root, path, &place, &err), &err);
                assert_int_equal(mkdirat(place.dir, place.name, 0755), 0);
                place_done(&place);
        }
        assert_int_equal(mkdirat(held.dir, held.name, 0755), 0);
        place_done(&held);
        assert_true(root_stat(&f->root, "held/x", &st));
        assert_true(root_stat(&f->root, "many/0/x", &st));
        assert_true(root_stat(&f->root, path, &st));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_resolving),
                TEST(test_refused_paths),
                TEST(test_links_put_in_later),
                TEST(test_parents_are_made),
                TEST(test_reading),
                TEST(test_sweeping),
                TEST(test_sweeps_drafts),
                TEST(test_link_in_the_place_of_an_open_directory),
                TEST(test_removed_directories_are_forgotten),
                TEST(test_absence_ends),
                TEST(test_more_directories_than_are_kept),
        };

        return test_run(tests);
}
