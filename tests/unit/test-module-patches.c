/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The set of modules, the file of patches for a pair of sets, and what both stand on: xz whose
 * bytes are those of the program, and patches that the program zstd applies. */

#include "test.h"

#include <sys/stat.h>

#include "delta.h"
#include "file-seal.h"
#include "module-patches.h"
#include "process.h"

static const struct sha256 digest_a = { { 1 } }, digest_b = { { 2 } };

/* ---- xz and zstd ---- */

/* Bytes that compress about as well as code does. */
static char *make_text(size_t size, unsigned seed)
{
        char *text = malloc(size);
        uint32_t state = seed * 2654435761U + 1;

        assert_non_null(text);
        for (size_t i = 0; i < size; i++) {
                state = state * 1664525 + 1013904223;
                text[i] = i % 64 < 56 ? "module code, "[i % 13] : (char)(state >> 24);
        }
        return text;
}

static char *run_xz(const char *directory, const char *threads, const char *settings, size_t *size)
{
        _cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char path[64], lzma[64];
        const char *const argv[] = { "xz", threads, "--check=crc32", lzma, "-kf", path, NULL };
        struct error err = {};
        char *packed = NULL;

        snprintf(path, sizeof(path), "%s/text", directory);
        snprintf(lzma, sizeof(lzma), "--lzma2=%s", settings);
        assert_ok(spawn(argv, NULL, NULL, &err), &err);
        assert_ok(file_read(dir, "text.xz", 64 * MIB, &packed, size, &err), &err);
        return packed;
}

static void check_xz(size_t text_size, const char *threads, const char *settings,
                     const struct xz_parameters *parameters)
{
        _cleanup_free_ char *text = make_text(text_size, 1), *packed = NULL, *again = NULL,
                            *ours = NULL;
        char *directory = test_mkdir();
        _cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};
        size_t size, n;

        assert_ok(file_write(dir, "text", text, text_size, 0644, &err), &err);
        packed = run_xz(directory, threads, settings, &size);
        ours = malloc(size);
        assert_ok(xz_pack(parameters, text, text_size, ours, size, &n, &err), &err);
        assert_int_equal(n, size);
        assert_memory_equal(ours, packed, size);
        assert_int_equal(xz_pack(parameters, text, text_size, ours, size - 1, &n, &err), -ENOBUFS);
        assert_ok(xz_unpack(packed, size, text_size, &again, &n, &err), &err);
        assert_int_equal(n, text_size);
        assert_memory_equal(again, text, n);
        free(TAKE_PTR(again));
        assert_int_equal(xz_unpack(packed, size, text_size - 1, &again, &n, &err), -EFBIG);
        assert_int_equal(xz_unpack(packed, size - 1, text_size + 1, &again, &n, &err), -EBADMSG);
        test_rmdir(directory);
}

static void packs_like_the_program(void **state _unused_)
{
        const struct xz_parameters other = { 1, 1, 64 * 1024, 0 };

        check_xz(100000, "-T2", "preset=6,dict=1MiB", &xz_kernel_threaded);
        check_xz(3 * MIB + 100000, "-T2", "preset=6,dict=1MiB",
                 &xz_kernel_threaded); /* two blocks */
        check_xz(100000, "-T1", "preset=6,dict=1MiB", &xz_kernel_single);
        check_xz(100000, "-T1", "preset=1,dict=64KiB", &other);
}

static void parameters_have_limits(void **state _unused_)
{
        const struct xz_parameters bad[] = {
                { 10, 1, 1 * MIB, 0 },        { 6, 2, 1 * MIB, 0 },
                { 6, 16, 1 * MIB, 0 },        { 6, 40, 1 * MIB, 0 },
                { 6, 1, XZ_DICT_MAX + 1, 0 }, { 6, 1, XZ_DICT_MIN - 1, 0 },
                { 6, 1, 1 * MIB, 1 },         { 6, 1, 1 * MIB, XZ_BLOCK_MAX + 1 },
        };

        assert_int_equal(xz_parameters_check(&xz_kernel_threaded), 0);
        assert_int_equal(xz_parameters_check(&xz_kernel_single), 0);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(xz_parameters_check(&bad[i]), -EINVAL);
}

static void patches_apply(void **state _unused_)
{
        _cleanup_free_ char *old = make_text(300000, 1), *new = make_text(310000, 2), *patch = NULL,
                            *out = malloc(310001);
        struct error err = {};
        size_t size;

        memcpy(new, old, 200000);
        assert_ok(delta_make(old, 300000, new, 310000, DELTA_LEVEL_DEFAULT, &patch, &size, &err),
                  &err);
        assert_true(size < 40000);
        assert_ok(delta_apply(old, 300000, patch, size, out, 310000, &err), &err);
        assert_memory_equal(out, new, 310000);
        /* More, fewer, none, and of other bytes. */
        assert_int_equal(delta_apply(old, 300000, patch, size, out, 309999, &err), -EBADMSG);
        assert_int_equal(delta_apply(old, 300000, patch, size, out, 310001, &err), -EBADMSG);
        assert_int_equal(delta_apply(old, 300000, patch, size - 1, out, 310000, &err), -EBADMSG);
        assert_int_equal(delta_apply(old, 1000, patch, size, out, 310000, &err), -EBADMSG);
        assert_int_equal(delta_apply(old, 300000, "no frame", 8, out, 310000, &err), -EBADMSG);
}

/* ---- the set ---- */

static void put_file(const char *directory, const char *path, const char *text)
{
        _cleanup_free_ char *parent = strdup(path);
        _cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};

        *strrchr(parent, '/') = '\0';
        assert_ok(path_mkdirs(dir, parent, 0755, &err), &err);
        assert_ok(file_write(dir, path, text, strlen(text), 0644, &err), &err);
}

/* The digest is that of what sha256sum prints. */
static void set_is_a_list(void **state _unused_)
{
        static const char list[] =
                "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  "
                "6.1/kernel/a-b.ko.xz\n"
                "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  "
                "6.1/kernel/a/a.ko.xz\n";
        _cleanup_module_set_ struct module_set set = {}, none = {};
        char *directory = test_mkdir();
        struct error err = {};
        struct sha256 wanted;
        char link[64];

        put_file(directory, "6.1/kernel/a/a.ko.xz", "a");
        put_file(directory, "6.1/kernel/a-b.ko.xz", "b");
        put_file(directory, "6.1/kernel/c.ko", "c");
        put_file(directory, "6.1/modules.dep", "d");
        put_file(directory, "6.1/kernel/.ko.xz", "e");
        snprintf(link, sizeof(link), "%s/6.1/link.ko.xz", directory);
        assert_int_equal(symlink("modules.dep", link), 0);
        snprintf(link, sizeof(link), "%s/6.1/build", directory);
        assert_int_equal(symlink("/", link), 0);
        assert_ok(module_set_load(AT_FDCWD, directory, &set, &err), &err);
        assert_int_equal(set.count, 2);
        assert_string_equal(set.items[1].path, "6.1/kernel/a/a.ko.xz");
        sha256_of(list, strlen(list), &wanted);
        assert_memory_equal(&set.digest, &wanted, sizeof(wanted));
        test_rmdir(directory);
        assert_ok(module_set_load(AT_FDCWD, "/nonexistent", &none, &err), &err);
        assert_int_equal(none.count, 0);
}

static void set_has_limits(void **state _unused_)
{
        _cleanup_module_set_ struct module_set set = {};
        char path[MODULE_PATH_MAX + 2];
        struct error err = {};

        memset(path, 'x', sizeof(path));
        path[MODULE_PATH_MAX + 1] = '\0';
        assert_int_equal(module_set_add(&set, path, &digest_a, &err), -E2BIG);
        for (size_t i = 0; i < MODULES_MAX; i++)
                assert_ok(module_set_add(&set, "a", &digest_a, &err), &err);
        assert_int_equal(module_set_add(&set, "a", &digest_a, &err), -E2BIG);
}

/* ---- the file ---- */

static void written_and_read(void **state _unused_)
{
        struct module_patch items[] = {
                { .old = 3,
                  .old_size = 10,
                  .new_size = 11,
                  .packed_size = 7,
                  .size = 3,
                  .data = "abc",
                  .first_block = "12345678" },
                { .old = 9,
                  .old_size = 20,
                  .new_size = 21,
                  .packed_size = 8,
                  .size = 8,
                  .data = "ABCDEFGH" },
        };
        struct module_patches p = { digest_a, digest_b, xz_kernel_threaded, items, 2 };
        _cleanup_module_patches_ struct module_patches again = {};
        _cleanup_free_ char *data = NULL, *none = NULL;
        struct error err = {};
        size_t size;

        assert_ok(module_patches_write(&p, &data, &size, &err), &err);
        assert_int_equal(size, 96 + 2 * 28 + 3 + 8);
        assert_ok(module_patches_parse(data, size, &again, &err), &err);
        assert_int_equal(again.count, 2);
        assert_memory_equal(&again.new_set, &digest_b, sizeof(digest_b));
        assert_memory_equal(&again.xz, &xz_kernel_threaded, sizeof(again.xz));
        assert_memory_equal(again.items[0].first_block, "12345678", 8);
        assert_memory_equal(again.items[1].data, "ABCDEFGH", 8);
        assert_int_equal(again.items[1].packed_size, 8);
        /* What would not be taken is not written. */
        items[1].old = 3;
        assert_int_equal(module_patches_write(&p, &none, &size, &err), -EBADMSG);
}

static void wrong_files_are_refused(void **state _unused_)
{
        DIR *dir = opendir(TEST_DATA_DIR "/module-patches");
        const struct dirent *entry;
        size_t count = 0;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                _cleanup_module_patches_ struct module_patches p = {};
                _cleanup_free_ char *data = NULL;
                struct error err = {};
                size_t size;
                int r;

                if (*entry->d_name == '.')
                        continue;
                assert_ok(file_read(dirfd(dir), entry->d_name, MIB, &data, &size, &err), &err);
                r = module_patches_parse(data, size, &p, &err);
                if (startswith(entry->d_name, "should-fail-"))
                        assert_int_equal(r, -EBADMSG);
                else
                        assert_ok(r, &err);
                count++;
        }
        closedir(dir);
        assert_true(count > 15);
}

static void seals(void **state _unused_)
{
        struct file_seal s = { .size = 1000, .count = 2 }, again;
        uint8_t bytes[FILE_SEAL_MAX + 64] = {};
        struct error err = {};

        s.signatures[1].bytes[63] = 7;
        assert_int_equal(file_seal_write(&s, bytes), 8 + 128);
        assert_ok(file_seal_parse(bytes, 136, MODULE_PATCHES_SIZE_MAX, &again, &err), &err);
        assert_true(again.size == 1000 && again.count == 2);
        assert_int_equal(again.signatures[1].bytes[63], 7);
        for (size_t size = 0; size < 136; size++)
                if (size != 72)
                        assert_int_equal(
                                file_seal_parse(bytes, size, MODULE_PATCHES_SIZE_MAX, &again, &err),
                                -EBADMSG);
        assert_int_equal(file_seal_parse(bytes, 8 + 9 * 64, MODULE_PATCHES_SIZE_MAX, &again, &err),
                         -EBADMSG);
        bytes[7] = 1; /* very long */
        assert_int_equal(file_seal_parse(bytes, 136, MODULE_PATCHES_SIZE_MAX, &again, &err),
                         -EBADMSG);
        memset(bytes, 0, 8);
        assert_int_equal(file_seal_parse(bytes, 136, MODULE_PATCHES_SIZE_MAX, &again, &err),
                         -EBADMSG);
}

static void names(void **state _unused_)
{
        char name[MODULE_PATCHES_NAME_SIZE];

        module_patches_name(&digest_a, &digest_b, name);
        assert_int_equal(strlen(name), MODULE_PATCHES_NAME_SIZE - 1);
        assert_true(startswith(name, "0100") && endswith(name, "00.patches"));
        assert_memory_equal(name + 64, "-0200", 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(packs_like_the_program),
                cmocka_unit_test(parameters_have_limits),
                cmocka_unit_test(patches_apply),
                cmocka_unit_test(set_is_a_list),
                cmocka_unit_test(set_has_limits),
                cmocka_unit_test(written_and_read),
                cmocka_unit_test(wrong_files_are_refused),
                cmocka_unit_test(seals),
                cmocka_unit_test(names),
        };

        return test_run(tests);
}
