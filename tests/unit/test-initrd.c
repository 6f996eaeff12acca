/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initrd's closure on small trees: what an included path brings along, and what is missing.
 * This very program serves as the ELF file with real needs; the libraries are empty files. */

#include "test.h"

#include "block-digests.h"
#include "compress.h"
#include "elf-file.h"
#include "initrd-tree.h"
#include "initrd.h"
#include "kmodules.h"
#include "strv.h"

#define LIBRARIES  "/usr/lib/x86_64-linux-gnu"
#define ZSTD_MAGIC "\x28\xb5\x2f\xfd"

static const char *const library_dirs[] = { LIBRARIES, "/usr/lib64", NULL };

struct fixture {
        struct tree *image;
        struct initrd initrd;
        char *program; /* bytes of this test */
        size_t program_size;
        struct elf_info info;
};

static void put(struct fixture *f, const char *path, const char *text, mode_t mode)
{
        struct error err = {};

        assert_ok(tree_put_file(f->image, path, text, strlen(text), mode, NULL, &err), &err);
}

static void put_link(struct fixture *f, const char *path, const char *target)
{
        struct error err = {};

        assert_ok(tree_put_symlink(f->image, path, target, NULL, &err), &err);
}

static void put_program(struct fixture *f, const char *path)
{
        struct error err = {};

        assert_ok(tree_put_file(f->image, path, f->program, f->program_size, 0755, NULL, &err),
                  &err);
}

/* Its libraries, those too that it would open itself, and its interpreter, whose path begins with
 * /lib64 or /lib. */
static void put_libraries(struct fixture *f)
{
        char path[TREE_PATH_MAX];

        for (size_t i = 0; i < f->info.n_dlopens; i++) {
                snprintf(path, sizeof(path), LIBRARIES "/%s", f->info.dlopens[i].sonames[0]);
                put(f, path, "library", 0644);
        }

        STRV_FOREACH (name, f->info.needed) {
                snprintf(path, sizeof(path), LIBRARIES "/%s", *name);
                put(f, path, "library", 0644);
        }
        snprintf(path, sizeof(path), "/usr%s", f->info.interpreter);
        put(f, path, "interpreter", 0755);
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        struct error err = {};

        assert_non_null(f);
        assert_ok(tree_new(&f->image, &err), &err);
        assert_ok(tree_new(&f->initrd.tree, &err), &err);
        f->initrd.image = f->image;
        f->initrd.library_dirs = library_dirs;
        assert_ok(file_read(AT_FDCWD, "/proc/self/exe", 256 * MIB, &f->program, &f->program_size,
                            &err),
                  &err);
        assert_int_equal(elf_read(f->program, f->program_size, &f->info, &err), 1);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        tree_free(f->image);
        tree_free(f->initrd.tree);
        elf_info_done(&f->info);
        free(f->program);
        free(f);
        return 0;
}

static void include(struct fixture *f, const char *pattern)
{
        struct error err = {};

        assert_ok(initrd_include(&f->initrd, pattern, &err), &err);
}

/* Everything but directories in the initrd, one path a line. */
static void assert_holds(const struct fixture *f, const char *expected)
{
        _cleanup_buffer_ struct buffer list = {};
        char path[TREE_PATH_MAX];

        buffer_puts(&list, "");
        TREE_FOREACH (node, f->initrd.tree->root)
                if (!S_ISDIR(node->inode->mode))
                        buffer_printf(&list, "%s\n", tree_path(node, path));
        assert_string_equal(list.data, expected);
}

static void assert_has(const struct fixture *f, const char *path)
{
        if (!tree_lookup(f->initrd.tree, path))
                fail_msg("%s is not in the initrd", path);
}

static void test_program(void **state)
{
        struct fixture *f = *state;
        char path[TREE_PATH_MAX];

        put_program(f, "/usr/bin/program");
        put_libraries(f);
        put(f, LIBRARIES "/libother.so.1", "x", 0644);
        include(f, "/bin/program");
        assert_has(f, "/usr/bin/program");
        STRV_FOREACH (name, f->info.needed) {
                snprintf(path, sizeof(path), LIBRARIES "/%s", *name);
                assert_has(f, path);
        }
        snprintf(path, sizeof(path), "/usr%s", f->info.interpreter);
        assert_has(f, path);
        assert_null(tree_lookup(f->initrd.tree, LIBRARIES "/libother.so.1"));
        include(f, "/usr/bin/program"); /* again: nothing new, no error */
}

static void test_missing_library(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        put_program(f, "/usr/bin/program");
        put_libraries(f);
        tree_remove(tree_lookup(f->image, LIBRARIES "/libc.so.6"));
        assert_int_equal(initrd_include(&f->initrd, "/usr/bin/program", &err), -ENOENT);
        assert_string_equal(err.message,
                            "/usr/bin/program needs libc.so.6, which is not in the image");
}

static void test_library_links(void **state)
{
        struct fixture *f = *state;

        put_program(f, "/usr/bin/program");
        put_libraries(f);
        tree_remove(tree_lookup(f->image, LIBRARIES "/libc.so.6"));
        put_link(f, "/usr/lib64/libc.so.6", "../lib/libc-2.99.so");
        put(f, "/usr/lib/libc-2.99.so", "x", 0755);
        include(f, "/usr/bin/program");
        assert_has(f, "/usr/lib64/libc.so.6");
        assert_has(f, "/usr/lib/libc-2.99.so");
}

static void test_links(void **state)
{
        struct fixture *f = *state;

        put(f, "/usr/lib/a/file", "x", 0644);
        put_link(f, "/usr/lib/b", "a");
        put_link(f, "/usr/lib/c", "/lib/b");
        put_link(f, "/usr/lib/units/dead", "/dev/null");
        put_link(f, "/usr/etc/alias", "../lib/a/../c/file");
        include(f, "/etc/alias");
        include(f, "/usr/lib/units/*");
        assert_holds(f, "/usr/etc/alias\n/usr/lib/a/file\n/usr/lib/b\n/usr/lib/c\n"
                        "/usr/lib/units/dead\n");
}

static void test_loop(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        put_link(f, "/usr/lib/a", "b");
        put_link(f, "/usr/lib/b", "a");
        assert_int_equal(initrd_include(&f->initrd, "/usr/lib/a", &err), -ELOOP);
}

static void test_patterns(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        put(f, "/usr/lib/rules.d/10-a.rules", "a", 0644);
        put(f, "/usr/lib/rules.d/20-b.rules", "b", 0644);
        put(f, "/usr/lib/rules.d/readme", "c", 0644);
        put(f, "/usr/lib/x/system-a\\x2db.slice", "d", 0644);
        include(f, "/usr/lib/rules.d/*.rules");
        include(f, "/usr/lib/x/system-a\\x2db.slice");
        assert_holds(f, "/usr/lib/rules.d/10-a.rules\n/usr/lib/rules.d/20-b.rules\n"
                        "/usr/lib/x/system-a\\x2db.slice\n");
        include(f, "/usr/lib/rules.d");
        assert_has(f, "/usr/lib/rules.d/readme");
        assert_int_equal(initrd_include(&f->initrd, "/usr/lib/none*", &err), -ENOENT);
        assert_string_equal(err.message, "'/usr/lib/none*' matches nothing in the image");
}

static void test_script(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        put(f, "/usr/bin/script", "#! /bin/sh -e\ntrue\n", 0755);
        put(f, "/usr/share/example", "#!/bin/none\n", 0644);
        assert_int_equal(initrd_include(&f->initrd, "/usr/bin/script", &err), -ENOENT);
        assert_string_equal(
                err.message,
                "/usr/bin/script: /usr/bin/script needs /bin/sh, which is not in the image");
        tree_remove(tree_lookup(f->initrd.tree, "/usr/bin/script"));
        put_link(f, "/usr/bin/sh", "dash");
        put(f, "/usr/bin/dash", "x", 0755);
        include(f, "/usr/bin/script");
        include(f, "/usr/share/example");
        assert_holds(f, "/usr/bin/dash\n/usr/bin/script\n/usr/bin/sh\n/usr/share/example\n");
}

static void test_kernel_version(void **state)
{
        struct fixture *f = *state;
        struct error err = {};
        char *version;

        assert_int_equal(kernel_version(f->image, &version, &err), -ENOENT);
        put(f, "/usr/lib/modules/6.1/modules.dep", "", 0644);
        assert_int_equal(kernel_version(f->image, &version, &err), -ENOENT);
        put(f, "/usr/lib/modules/6.12/vmlinuz", "", 0644);
        assert_ok(kernel_version(f->image, &version, &err), &err);
        assert_string_equal(version, "6.12");
        free(version);
        put(f, "/usr/lib/modules/6.1/vmlinuz", "", 0644);
        assert_int_equal(kernel_version(f->image, &version, &err), -EEXIST);
}

static void test_unknown_module(void **state _unused_)
{
        char *directory = test_mkdir(), name[] = "nonesuch";
        struct error err = {};
        char **paths;

        assert_int_equal(kmodules_closure(directory, (char *[]){ name, NULL }, &paths, &err),
                         -ENOENT);
        assert_string_equal(err.message, "kernel module 'nonesuch' is not in the image");
        test_rmdir(directory);
}

/* A whole build: one include, a layer's initrd/ directory, the fixed parts. */
static void test_build(void **state)
{
        struct fixture *f = *state;
        char *directory = test_mkdir(), include_path[] = "/usr/lib/os-release", name[] = "base";
        char architecture[] = "amd64", path[256];
        struct layer layer = { .name = name, .path = directory };
        const struct manifest m = { .architecture = architecture, .layers = &layer, .n_layers = 1 };
        _cleanup_free_ char *compressed = NULL, *archive = NULL;
        struct workdir w = { .threads = 1 };
        _cleanup_close_ int fd = -1, cache = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};
        size_t size, plain_size;

        layer.initrd.include = (char *[]){ include_path, NULL };
        put(f, "/usr/lib/os-release", "ID=slipway\n", 0644);
        snprintf(path, sizeof(path), "%s/initrd/etc", directory);
        assert_ok(path_mkdirs(AT_FDCWD, path, 0755, &err), &err);
        snprintf(path, sizeof(path), "%s/initrd/etc/hello", directory);
        assert_ok(file_write(AT_FDCWD, path, "hi", 2, 0600, &err), &err);
        snprintf(path, sizeof(path), "%s/initrd.zst", directory);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        w.cache_fd = cache;
        assert_ok(initrd_build(&w, &m, f->image, fd, &err), &err);
        assert_ok(file_read(AT_FDCWD, path, MIB, &compressed, &size, &err), &err);
        assert_ok(decompress(path, compressed, size, MIB, &archive, &plain_size, &err), &err);
        assert_non_null(memmem(archive, plain_size, "etc/hello", sizeof("etc/hello")));
        assert_non_null(memmem(archive, plain_size, "etc/initrd-release\0\0\0\0ID=slipway\n", 33));
        assert_non_null(memmem(archive, plain_size, "usr/lib/os-release", 19));
        assert_non_null(memmem(archive, plain_size, "usr/lib/systemd/systemd", 23));
        assert_null(memmem(archive, plain_size, "usr/etc", 7));
        test_rmdir(directory);
}

/* Where frames of zstd begin at blocks, and a digest of each up to the next. */
static size_t frames(const char *data, size_t size, struct sha256 *ret, size_t max)
{
        size_t n = 0, start = 0;

        assert_true(size > BLOCK_SIZE && memcmp(data, ZSTD_MAGIC, 4) == 0);
        for (size_t at = BLOCK_SIZE; at < size; at += BLOCK_SIZE) {
                if (memcmp(data + at, ZSTD_MAGIC, 4) != 0)
                        continue;
                assert_true(n + 1 < max);
                sha256_of(data + start, at - start, &ret[n++]);
                start = at;
        }
        sha256_of(data + start, size - start, &ret[n++]);
        return n;
}

static size_t archive_frames(struct fixture *f, int cache, unsigned threads, struct sha256 *ret,
                             size_t max)
{
        _cleanup_close_ int fd =
                openat(cache, "initrd", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _cleanup_free_ char *data = NULL;
        struct error err = {};
        size_t size;

        assert_ok(initrd_archive(&f->initrd, cache, threads, fd, &err), &err);
        assert_ok(file_read(cache, "initrd", 64 * MIB, &data, &size, &err), &err);
        return frames(data, size, ret, max);
}

/* A change of one program changes one archive, whatever its size becomes; from the cache or not,
 * and by any number of threads, the bytes are the same. */
static void test_archives(void **state)
{
        enum { PROGRAMS = 24, FRAMES_MAX = 16, LARGE = 3 * 1024 * 1024 };
        char *directory = test_mkdir(), *other = test_mkdir(), path[64], *large = malloc(LARGE + 1);
        int cache = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
            fresh = open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct sha256 before[FRAMES_MAX], again[FRAMES_MAX], after[FRAMES_MAX];
        struct fixture *f = *state;
        struct error err = {};
        size_t n, changed = 0;

        for (size_t i = 0; i < LARGE; i++)
                large[i] = (char)((i * 2654435761U) >> 24);
        large[LARGE] = '\0';
        for (unsigned i = 0; i < PROGRAMS; i++) {
                snprintf(path, sizeof(path), "/usr/bin/program-%u", i);
                assert_ok(
                        tree_put_file(f->initrd.tree, path, large + i, 20000 + i, 0755, NULL, &err),
                        &err);
        }
        assert_ok(
                tree_put_file(f->initrd.tree, "/usr/lib/large.so", large, LARGE, 0644, NULL, &err),
                &err);
        assert_ok(tree_put_file(f->initrd.tree, "/usr/lib/modules/6/a.ko", large, 9, 0644, NULL,
                                &err),
                  &err);
        n = archive_frames(f, cache, 1, before, FRAMES_MAX);
        assert_int_equal(n, 1 + 1 + 4 + 1); /* skeleton, modules, buckets, large */
        assert_int_equal(archive_frames(f, cache, 3, again, FRAMES_MAX), n);
        assert_memory_equal(before, again, n * sizeof(*before));
        assert_int_equal(archive_frames(f, fresh, 2, again, FRAMES_MAX), n);
        assert_memory_equal(before, again, n * sizeof(*before));
        assert_ok(
                tree_put_file(f->initrd.tree, "/usr/bin/program-3", large, 90000, 0755, NULL, &err),
                &err);
        assert_int_equal(archive_frames(f, cache, 2, after, FRAMES_MAX), n);
        for (size_t i = 0; i < n; i++)
                changed += memcmp(&before[i], &after[i], sizeof(*before)) != 0;
        assert_int_equal(changed, 1);
        f->initrd.level = COMPRESS_LEVEL_MAX; /* not the cache's, which has another level's */
        assert_int_equal(archive_frames(f, cache, 2, again, FRAMES_MAX), n);
        assert_memory_not_equal(after, again, n * sizeof(*after));
        free(large);
        close(cache);
        close(fresh);
        test_rmdir(directory);
        test_rmdir(other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_program),
                TEST(test_missing_library),
                TEST(test_library_links),
                TEST(test_links),
                TEST(test_loop),
                TEST(test_patterns),
                TEST(test_script),
                TEST(test_kernel_version),
                TEST(test_build),
                TEST(test_archives),
                cmocka_unit_test(test_unknown_module),
        };

        return test_run(tests);
}
