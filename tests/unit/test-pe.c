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
#include "pe-certificate.h"

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
        assert_true(n > 50);
}

/* How many signatures are in the table; or -EINVAL. */
static int count_certificates(const void *data, size_t size)
{
        size_t position = 0, n;
        const void *certificate;
        struct pe pe;
        int r, count = 0;

        assert_int_equal(pe_read(data, size, &pe, NULL), 0);
        while ((r = pe_certificate_next(data, &pe, &position, &certificate, &n, NULL)) > 0)
                count++;
        return r < 0 ? r : count;
}

static void test_certificate_files(void **state _unused_)
{
        static const struct {
                const char *name;
                int table, digest;
        } rows[] = {
                { "stub-minimal.efi", 0, 0 },
                { "behind-sections.efi", 0, 0 },
                { "append-should-fail-signed.efi", 1, 0 },
                { "certificates-several.efi", 2, 0 },
                { "table-should-fail-length-zero.efi", -EINVAL, 0 },
                { "table-should-fail-length-header-only.efi", -EINVAL, 0 },
                { "table-should-fail-length-behind-table.efi", -EINVAL, 0 },
                { "table-should-fail-length-wraps.efi", -EINVAL, 0 },
                { "table-should-fail-second-cut.efi", -EINVAL, 0 },
                { "table-should-fail-header-cut.efi", -EINVAL, 0 },
                { "digest-should-fail-gap.efi", 0, -EINVAL },
                { "digest-should-fail-same-bytes.efi", 0, -EINVAL },
                { "digest-should-fail-overlap.efi", 0, -EINVAL },
                { "digest-should-fail-no-directory.efi", 0, -EINVAL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                size_t size;
                _cleanup_free_ char *data = load(rows[i].name, &size);
                struct sha256 digest;

                if (count_certificates(data, size) != rows[i].table)
                        fail_msg("%s: table", rows[i].name);
                if (pe_digest(data, size, &digest, NULL) != rows[i].digest)
                        fail_msg("%s: digest", rows[i].name);
        }
}

static void assert_digest(const char *data, size_t size, const struct sha256 *want, bool equal)
{
        struct sha256 digest;

        assert_int_equal(pe_digest(data, size, &digest, NULL), 0);
        assert_int_equal(sha256_equal(&digest, want), equal);
}

/* Signatures and the checksum are not part of what is signed; every other byte is. */
static void test_digest(void **state _unused_)
{
        static const size_t signed_bytes[] = { 0x20, 0x200, 0x3ff, 0x400, 0x7ff };
        size_t size, once_size, twice_size;
        _cleanup_free_ char *stub = load("stub-minimal.efi", &size), *once = NULL, *twice = NULL;
        struct sha256 digest;
        struct pe pe;

        assert_int_equal(pe_digest(stub, size, &digest, NULL), 0);
        assert_int_equal(pe_attach(stub, size, "\x30\x01A", 3, &once, &once_size, NULL), 0);
        assert_int_equal(pe_attach(once, once_size, "\x30\x01B", 3, &twice, &twice_size, NULL), 0);
        assert_digest(once, once_size, &digest, true);
        assert_digest(twice, twice_size, &digest, true);
        assert_int_equal(once_size, size + 16);
        assert_int_equal(twice_size, size + 32);
        assert_int_equal(count_certificates(once, once_size), 1);
        assert_int_equal(count_certificates(twice, twice_size), 2);
        assert_int_equal(pe_read(twice, twice_size, &pe, NULL), 0);
        assert_int_equal(pe.certificates_offset, size);
        twice[pe.checksum_offset]++;
        assert_digest(twice, twice_size, &digest, true);
        for (size_t i = 0; i < ARRAY_SIZE(signed_bytes); i++) {
                twice[signed_bytes[i]] ^= 1;
                assert_digest(twice, twice_size, &digest, false);
                twice[signed_bytes[i]] ^= 1;
        }
}

/* The file is filled up to a multiple of 8 before it is signed. */
static void test_filled_up(void **state _unused_)
{
        size_t size, n;
        _cleanup_free_ char *odd = load("behind-sections.efi", &size), *image = NULL;
        struct sha256 digest;

        assert_int_equal(size % 8, 7);
        assert_int_equal(pe_digest(odd, size, &digest, NULL), 0);
        assert_int_equal(pe_attach(odd, size, "\x30\x01A", 3, &image, &n, NULL), 0);
        assert_int_equal(n, size + 1 + 16);
        assert_digest(image, n, &digest, true);
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

/* As if it had been there from the start. */
static void test_command_line(void **state _unused_)
{
        _cleanup_free_ char *stub = NULL, *image = NULL, *expected = NULL;
        struct uki_input in = input;
        size_t size, expected_size, offset;
        struct error err = {};

        in.stub = stub = load("stub-minimal.efi", &in.stub_size);
        assert_int_equal(uki_build(&in, &image, &size, &err), 0);
        assert_int_equal(uki_set_cmdline(image, size, "quiet usrhash=f7", &offset, &err), 0);
        assert_memory_equal(image + offset, "quiet usrhash=f7", 16);
        in.cmdline = "quiet usrhash=f7";
        assert_int_equal(uki_build(&in, &expected, &expected_size, &err), 0);
        assert_int_equal(size, expected_size);
        assert_memory_equal(image, expected, size);
        assert_int_equal(uki_set_cmdline(image, size, "quiet usrhash=f", &offset, &err), -EINVAL);
        assert_int_equal(uki_set_cmdline(image, size, "quiet usrhash=f70", &offset, &err), -EINVAL);
        assert_int_equal(uki_set_cmdline(stub, in.stub_size, "", &offset, &err), -EINVAL);
        assert_memory_equal(image, expected, size);
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
        assert_int_equal(pe_digest(image, size, &(struct sha256){}, &err), 0); /* no gap */
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
        assert_int_equal(pe_append(is_signed, size, twice, 1, &image, &size, NULL), -EINVAL);
        assert_int_equal(pe_append(stub, stub_size, twice, 2, &image, &size, NULL), -EINVAL);
        assert_int_equal(pe_append(stub, stub_size, taken, 1, &image, &size, NULL), -EINVAL);
        assert_int_equal(pe_append(stub, stub_size, huge, 1, &image, &size, NULL), -EFBIG);
        assert_int_equal(pe_append(stub, stub_size, many, 20, &image, &size, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files),  cmocka_unit_test(test_certificate_files),
                cmocka_unit_test(test_digest), cmocka_unit_test(test_filled_up),
                cmocka_unit_test(test_golden), cmocka_unit_test(test_command_line),
                cmocka_unit_test(test_blocks), cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
