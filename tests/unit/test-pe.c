/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* PE reader against tests/data/pe/, where each rejected file is named after its defect; the UKI
 * writer against a golden dump of its headers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "golden.h"
#include "io.h"
#include "pe.h"

#define DATA TEST_DATA_DIR "/pe/"

static char *load(const char *name, size_t *ret_size)
{
        _cleanup_free_ char *path = NULL;
        char *data = NULL;

        assert_true(asprintf(&path, DATA "%s", name) > 0);
        assert_int_equal(file_read(AT_FDCWD, path, MIB, &data, ret_size, NULL), 0);
        return data;
}

static void check_file(const char *name)
{
        size_t size;
        _cleanup_free_ char *data = load(name, &size);
        struct error err = {};
        struct pe pe;
        int r = pe_read(data, size, &pe, &err);

        if (r != (startswith(name, "should-fail-") ? -EINVAL : 0))
                fail_msg("%s: %d %s", name, r, err.message);
        if (r < 0)
                assert_non_null(startswith(err.message, "Not a sound PE32+ image: "));
}

static void test_files(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(DATA);
        size_t n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d)); n++)
                if (endswith(e->d_name, ".efi"))
                        check_file(e->d_name);
        assert_true(n > 25);
}

static const struct uki_input input = {
        .linux_image = "LINUX KERNEL",
        .linux_size = 12,
        .initrd = "070701",
        .initrd_size = 6,
        .cmdline = "quiet usrhash=00",
        .os_release = "ID=slipway\n",
        .uname = "6.12.0",
};

static void dump(const char *image, const struct pe *pe, struct buffer *out)
{
        buffer_printf(out, "headers %#x  initialized %#x  image %#x\n", pe->headers_size,
                      pe->initialized_data_size, pe->image_size);
        for (size_t i = 0; i < pe->n_sections; i++) {
                const struct pe_section *s = &pe->sections[i];

                buffer_printf(out, "%-8s  address %#x + %#x  file %#x + %#x  \"%.6s\"\n", s->name,
                              s->address, s->memory_size, s->offset, s->file_size,
                              image + s->offset);
        }
}

static void test_golden(void **state _unused_)
{
        _cleanup_free_ char *stub = NULL, *image = NULL;
        _cleanup_buffer_ struct buffer text = {};
        struct uki_input in = input;
        struct error err = {};
        size_t size;
        struct pe pe;

        in.stub = stub = load("stub-minimal.efi", &in.stub_size);
        assert_int_equal(uki_build(&in, &image, &size, &err), 0);
        assert_int_equal(pe_read(image, size, &pe, &err), 0);
        dump(image, &pe, &text);
        assert_golden("uki-sections.txt", text.data);
}

/* What is large begins at a block of the file, what is small where it comes. */
static void test_blocks(void **state _unused_)
{
        static const char large[9000] = "large";
        const struct uki_section sections[] = {
                { ".a", "a", 1 },
                { ".b", large, sizeof(large) },
                { ".c", "c", 1 },
                { ".d", large, 4096 },
        };
        _cleanup_free_ char *stub = NULL, *image = NULL;
        size_t size, stub_size;
        struct error err = {};
        struct pe pe;

        stub = load("stub-minimal.efi", &stub_size);
        assert_int_equal(pe_append(stub, stub_size, sections, 4, &image, &size, &err), 0);
        assert_int_equal(pe_read(image, size, &pe, &err), 0);
        assert_int_equal(pe_find(&pe, ".b")->offset % 4096, 0);
        assert_int_equal(pe_find(&pe, ".d")->offset % 4096, 0);
        assert_int_equal(pe_find(&pe, ".c")->offset,
                         pe_find(&pe, ".b")->offset + pe_find(&pe, ".b")->file_size);
        assert_memory_equal(image + pe_find(&pe, ".b")->offset, large, sizeof(large));
}

static void test_refused(void **state _unused_)
{
        const struct uki_section twice[] = { { ".x", "1", 1 }, { ".x", "2", 1 } };
        const struct uki_section taken[] = { { ".text", "1", 1 } };
        const struct uki_section huge[] = { { ".x", "1", 0x7fffffff } };
        struct uki_section many[20];
        char names[20][PE_NAME_SIZE];
        size_t size, stub_size;
        _cleanup_free_ char *stub = load("stub-minimal.efi", &stub_size);
        _cleanup_free_ char *is_signed = load("append-should-fail-signed.efi", &size);
        char *image;

        for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
                snprintf(names[i], sizeof(names[i]), ".s%zu", i);
                many[i] = (struct uki_section){ names[i], "x", 1 };
        }
        assert_int_equal(pe_append(stub, stub_size, twice, 2, &image, &size, NULL), -EINVAL);
        assert_int_equal(pe_append(stub, stub_size, taken, 1, &image, &size, NULL), -EINVAL);
        assert_int_equal(pe_append(stub, stub_size, huge, 1, &image, &size, NULL), -EFBIG);
        assert_int_equal(pe_append(stub, stub_size, many, 20, &image, &size, NULL), -EINVAL);
        assert_int_equal(pe_append(is_signed, stub_size, twice, 1, &image, &size, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_blocks),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
