/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* import.c: the sample packages of tests/data/deb, put into a cache under their sha256 and imported
 * into a real repository. */

#include <signal.h>
#include <sys/wait.h>

#include "package.h"
#include "process.h"
#include "test.h"

struct fixture {
        char *directory;
        struct workdir w;
        struct package_set set;
        uint64_t progress_done, progress_total;
        struct error err;
};

#define OK(expression) assert_ok(expression, &f->err)

static void note_progress(void *userdata, enum step step, uint64_t done, uint64_t total)
{
        struct fixture *f = userdata;

        assert_int_equal(step, STEP_IMPORT);
        f->progress_done = MAX(f->progress_done, done);
        f->progress_total = total;
}

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        _cleanup_free_ char *repo = NULL;

        f->directory = test_mkdir();
        assert_true(asprintf(&repo, "%s/repo", f->directory) > 0);
        f->w.threads = 1; /* progress is not locked */
        f->w.progress = note_progress;
        f->w.progress_userdata = f;
        f->w.cache_fd = path_open_dir(AT_FDCWD, f->directory, 0755, &f->err);
        OK(f->w.cache_fd);
        OK(path_mkdirs(f->w.cache_fd, "packages", 0755, &f->err));
        OK(repo_open(repo, true, &f->w.repo, &f->err));
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        package_set_done(&f->set);
        repo_free(f->w.repo);
        close(f->w.cache_fd);
        test_rmdir(f->directory);
        free(f);
        return 0;
}

static void cache_path(const struct sha256 *digest, char *ret, size_t size)
{
        char hex[SHA256_HEX_SIZE];

        snprintf(ret, size, "packages/%s.deb", sha256_hex(digest, hex));
}

/* Copies a sample into the cache and appends it to the set. */
static void add_package(struct fixture *f, const char *sample, const char *name,
                        const char *version)
{
        _cleanup_free_ char *source = NULL, *data = NULL;
        struct package *p;
        char path[128];
        size_t size;

        assert_true(asprintf(&source, TEST_DATA_DIR "/deb/%s.deb", sample) > 0);
        OK(file_read(AT_FDCWD, source, MIB, &data, &size, &f->err));
        f->set.items = realloc(f->set.items, (f->set.count + 1) * sizeof(*p));
        p = &f->set.items[f->set.count++];
        *p = (struct package){ .name = strdup(name), .version = strdup(version), .size = size };
        p->architecture = strdup("all");
        sha256_of(data, size, &p->sha256);
        cache_path(&p->sha256, path, sizeof(path));
        OK(file_write(f->w.cache_fd, path, data, size, 0644, &f->err));
}

static char *ostree(struct fixture *f, const char *verb, const char *a, const char *b)
{
        _cleanup_free_ char *repo = NULL;
        const char *argv[] = { "ostree", NULL, verb, a, b, NULL };
        char *output = NULL;

        assert_true(asprintf(&repo, "--repo=%s/repo", f->directory) > 0);
        argv[1] = repo;
        OK(spawn(argv, NULL, &output, &f->err));
        return output;
}

/* The whole import, to its end. */
static int import(const struct workdir *w, const struct package_set *set, struct error *err)
{
        _cleanup_package_trees_ struct package_trees trees = {};
        int r = repo_begin(w->repo, err);

        if (r == 0)
                r = packages_import(w, set, &trees, err);
        if (r == 0)
                return repo_end(w->repo, err);
        repo_abort(w->repo);
        return r;
}

static void test_import(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *fsck = NULL, *list = NULL, *ref = NULL;
        _cleanup_tree_ struct tree *tree = NULL;
        struct tree_node *su;

        add_package(f, "good-xz", "alpha", "1:1.0+b1~rc_2");
        add_package(f, "good-zst", "beta", "2");
        add_package(f, "good-xattr", "gamma", "3");
        OK(import(&f->w, &f->set, &f->err));
        assert_int_equal(f->progress_done, f->progress_total);
        fsck = ostree(f, "fsck", NULL, NULL);
        ref = package_ref(&f->set.items[0]);
        assert_string_equal(ref, "pkg/deb/alpha/1_3a1.0_2bb1_7erc_5f2/all");
        list = ostree(f, "ls", "-R", ref);
        assert_non_null(strstr(list, "-04755 0 42      5 /data/usr/bin/su\n"));
        assert_non_null(strstr(list, "l00777 0 0      0 /data/usr/bin/sh -> /bin/dash\n"));
        assert_non_null(strstr(list, "d02775 7 8      0 /data/usr/share/sample\n"));
        OK(repo_load_tree(f->w.repo, ref, &tree, &f->err));
        su = tree_lookup(tree, "/data/usr/bin/su");
        assert_int_equal(su->inode->references, 2);
        assert_non_null(tree_lookup(tree, "/control/control"));
}

/* The same package is imported once; another .deb under the same name again. */
static void test_again(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *ref = NULL, *value = NULL;
        char hex[SHA256_HEX_SIZE];
        struct sha256 commit;

        add_package(f, "good-xz", "alpha", "1");
        OK(import(&f->w, &f->set, &f->err));
        f->progress_total = 0;
        OK(import(&f->w, &f->set, &f->err));
        assert_int_equal(f->progress_total, 0);
        package_set_done(&f->set);
        add_package(f, "good-gz", "alpha", "1");
        OK(import(&f->w, &f->set, &f->err));
        assert_int_not_equal(f->progress_total, 0);
        ref = package_ref(&f->set.items[0]);
        OK(repo_resolve(f->w.repo, ref, &commit, &f->err));
        OK(repo_metadata(f->w.repo, &commit, "slipway.sha256", &value, &f->err));
        assert_string_equal(value, sha256_hex(&f->set.items[0].sha256, hex));
}

/* One bad package: the message names it, and no package has a ref. */
static void test_bad_package(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *refs = NULL;

        add_package(f, "good-xz", "alpha", "1");
        add_package(f, "should-fail-dotdot", "evil", "2");
        assert_int_equal(import(&f->w, &f->set, &f->err), -EINVAL);
        assert_string_equal(f->err.message,
                            "package 'evil' 2: data.tar.gz: ./usr/../../etc/passwd: "
                            "the path has a component '..'");
        refs = ostree(f, "refs", NULL, NULL);
        assert_string_equal(refs, "");
        f->set.count--; /* the next build, without it, works */
        OK(import(&f->w, &f->set, &f->err));
        f->set.count++;
}

/* The cache is not trusted: a file that is gone, or is no longer what its name says, is refused. */
static void test_bad_cache(void **state)
{
        struct fixture *f = *state;
        char path[128];

        add_package(f, "good-none", "alpha", "1");
        cache_path(&f->set.items[0].sha256, path, sizeof(path));
        OK(file_write(f->w.cache_fd, path, "changed", 7, 0644, &f->err));
        assert_int_equal(import(&f->w, &f->set, &f->err), -EBADMSG);
        assert_non_null(strstr(f->err.message, "package 'alpha' 1: cache: packages/"));
        assert_non_null(strstr(f->err.message, "its sha256 is "));
        OK(path_remove_tree(f->w.cache_fd, path, &f->err));
        assert_int_equal(import(&f->w, &f->set, &f->err), -ENOENT);
}

/* What a power cut can leave: a ref without content. */
static void test_empty_ref(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *ref = NULL, *path = NULL, *fsck = NULL;
        struct sha256 commit;

        add_package(f, "good-xz", "alpha", "1");
        OK(import(&f->w, &f->set, &f->err));
        ref = package_ref(&f->set.items[0]);
        assert_true(asprintf(&path, "repo/refs/heads/%s", ref) > 0);
        OK(file_write(f->w.cache_fd, path, "", 0, 0644, &f->err));
        OK(import(&f->w, &f->set, &f->err));
        OK(repo_resolve(f->w.repo, ref, &commit, &f->err));
        fsck = ostree(f, "fsck", NULL, NULL);
}

/* Killed at some moment of an import; the next one succeeds. */
static void kill_import(struct fixture *f, useconds_t after)
{
        struct workdir w = f->w;
        _cleanup_free_ char *path = NULL;
        pid_t child;
        int status;

        assert_true(asprintf(&path, "%s/repo", f->directory) > 0);
        child = fork();
        if (child == 0) {
                struct error err = {};

                w.progress = NULL;
                if (repo_open(path, false, &w.repo, &err) < 0)
                        _exit(1);
                _exit(import(&w, &f->set, &err) < 0);
        }
        usleep(after);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_killed(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *fsck = NULL;

        add_package(f, "good-none", "alpha", "1");
        add_package(f, "good-xz", "beta", "1");
        add_package(f, "good-zst", "gamma", "1");
        for (useconds_t after = 0; after < 20000; after += 2000)
                kill_import(f, after);
        OK(import(&f->w, &f->set, &f->err));
        fsck = ostree(f, "fsck", NULL, NULL);
}

/* Refs stay apart, and no string leaves its place in the path. */
static void test_refs(void **state)
{
        static const struct {
                const char *name, *version, *ref;
        } cases[] = {
                { "libstdc++6", "14.2.0-19", "pkg/deb/libstdc_2b_2b6/14.2.0-19/amd64" },
                { "a", "..", "pkg/deb/a/_2e./amd64" },
                { "a", "../../x", "pkg/deb/a/_2e._2f.._2fx/amd64" },
                { "a", "-1", "pkg/deb/a/_2d1/amd64" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct package p = { .name = (char *)cases[i].name,
                                     .version = (char *)cases[i].version,
                                     .architecture = (char *)"amd64" };
                _cleanup_free_ char *ref = package_ref(&p);

                assert_string_equal(ref, cases[i].ref);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_import, setup, teardown),
                cmocka_unit_test_setup_teardown(test_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_package, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_cache, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty_ref, setup, teardown),
                cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
                cmocka_unit_test(test_refs),
        };

        return test_run(tests);
}
