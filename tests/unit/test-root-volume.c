/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether ROOT is encrypted: on each kind of machine, for each thing that an image may want; the
 * command that follows; what counts as an encrypted ROOT. */

#include <sys/mman.h>

#include "root-volume.h"
#include "strv.h"
#include "test.h"

#define EFIVARS "sys/firmware/efi/efivars/"

static const struct {
        const char *argument;
        bool measured;
        int result;
        bool encrypted;
} wishes[] = {
        { NULL, false, 0, false },
        { NULL, true, 0, false },
        { "plain", true, 0, false },
        { "tpm2", true, 0, true },
        { "tpm2", false, -ENODEV, false },
        { "tpm2-if-present", true, 0, true },
        { "tpm2-if-present", false, 0, false },
        { "tpm", true, -EINVAL, false },
        { "", true, -EINVAL, false },
};

static void wanted(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
                struct root_machine machine = { .measured = wishes[i].measured };
                struct error err = {};
                bool encrypted = false;

                assert_int_equal(root_volume_wanted(wishes[i].argument, &machine, &encrypted, &err),
                                 wishes[i].result);
                assert_int_equal(encrypted, wishes[i].encrypted);
                assert_int_equal(!!err.message[0], wishes[i].result < 0);
        }
}

static void plain_where_none_may_be(void **state _unused_)
{
        struct error err = {};

        assert_int_equal(root_volume_check_plain("tpm2", &err), -EKEYREJECTED);
        assert_int_equal(root_volume_check_plain("tpm2-if-present", &err), 0);
        assert_int_equal(root_volume_check_plain(NULL, &err), 0);
}

static void put(const char *directory, const char *path, const char *data, size_t size)
{
        _cleanup_free_ char *whole = string_format("%s/%s", directory, path);
        struct error err = {};
        char *slash;

        assert_non_null(whole);
        slash = strrchr(whole, '/');
        *slash = '\0';
        assert_ok(path_mkdirs(AT_FDCWD, whole, 0755, &err), &err);
        *slash = '/';
        assert_ok(file_write(AT_FDCWD, whole, data, size, 0644, &err), &err);
}

/* A TPM that measured nothing (BIOS, or another boot loader) cannot hold anybody to anything. */
static void machines(void **state _unused_)
{
        static const char secure_boot[] = EFIVARS "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        char *directory = test_mkdir();
        struct root_machine m;

        root_machine_probe(directory, &m);
        assert_false(m.measured || m.secure_boot);
        put(directory, "dev/tpmrm0", "", 0);
        root_machine_probe(directory, &m);
        assert_false(m.measured);
        put(directory, EFIVARS "StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
            "\6\0\0\0001\0001\0\0\0", 10);
        root_machine_probe(directory, &m);
        assert_true(m.measured);
        put(directory, secure_boot, "\6\0\0\0\0", 5);
        root_machine_probe(directory, &m);
        assert_false(m.secure_boot);
        put(directory, secure_boot, "\6\0\0\0\1", 5);
        root_machine_probe(directory, &m);
        assert_true(m.secure_boot);
        test_rmdir(directory);
}

static bool contains(const char *const argv[], const char *word)
{
        for (size_t i = 0; argv[i]; i++)
                if (streq(argv[i], word))
                        return true;
        return false;
}

static void commands(void **state _unused_)
{
        const struct root_machine open = { true, false }, closed = { true, true };
        const char *argv[ROOT_COMMAND_MAX];

        root_volume_command(false, &closed, argv);
        assert_string_equal(argv[0], "systemd-repart");
        assert_string_equal(argv[1], "--dry-run=no");
        assert_null(argv[2]);
        root_volume_command(true, &open, argv);
        assert_true(contains(argv, "--tpm2-public-key-pcrs=11"));
        assert_true(contains(argv, "--tpm2-pcrs="));
        root_volume_command(true, &closed, argv);
        assert_true(contains(argv, "--tpm2-pcrs=7"));
        assert_false(contains(argv, "--tpm2-pcrs="));
}

static const struct {
        const char *bytes;
        size_t size;
        bool encrypted;
} headers[] = {
        { "LUKS\xba\xbe\0\2", 8, true }, { "LUKS\xba\xbe\0\1", 8, false }, /* nobody made that here
                                                                            */
        { "LUKS\xba\xbe", 6, false },    { "\0\0\0\0\0\0\0\0", 8, false }, { "", 0, false },
};

static void encrypted(void **state _unused_)
{
        struct error err = {};

        for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
                _cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);

                assert_ok(io_pwrite(fd, headers[i].bytes, headers[i].size, 0, &err), &err);
                assert_int_equal(root_volume_is(fd), headers[i].encrypted);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(wanted),    cmocka_unit_test(plain_where_none_may_be),
                cmocka_unit_test(machines),  cmocka_unit_test(commands),
                cmocka_unit_test(encrypted),
        };

        return test_run(tests);
}
