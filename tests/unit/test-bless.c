/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <fcntl.h>

#include "bless.h"
#include "io.h"
#include "loader-variable.h"

static void test_variables(void **state _unused_)
{
        static const struct {
                const char *data;
                size_t size;
                const char *text; /* NULL: refused */
        } cases[] = {
                { "\6\0\0\0a\0b\0\0\0", 10, "ab" },
                { "\6\0\0\0a\0b\0", 8, "ab" },
                { "\6\0\0\0\\\0E\0", 8, "\\E" },
                { "\6\0\0\0a\0b", 7, NULL },
                { "\6\0\0\0\0\0", 6, NULL },
                { "\6\0\0\0", 4, NULL },
                { "\6\0\0", 3, NULL },
                { "", 0, NULL },
                { "\6\0\0\0a\1b\0", 8, NULL },
                { "\6\0\0\0a\0\0\0b\0", 10, NULL },
                { "\6\0\0\0\n\0", 6, NULL },
        };
        uint8_t large[4 + 2 * (LOADER_TEXT_MAX + 1)] = {};
        char text[LOADER_TEXT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int r = loader_variable_decode(cases[i].data, cases[i].size, text);

                assert_int_equal(r, cases[i].text ? 0 : -EINVAL);
                if (cases[i].text)
                        assert_string_equal(text, cases[i].text);
        }
        for (size_t i = 4; i < sizeof(large); i += 2)
                large[i] = 'x';
        assert_int_equal(loader_variable_decode(large, 4 + 2 * LOADER_TEXT_MAX, text), -EINVAL);
        assert_int_equal(loader_variable_decode(large, 2 + 2 * LOADER_TEXT_MAX, text), 0);
        assert_int_equal(strlen(text), LOADER_TEXT_MAX - 1);
}

static bool there(int esp, const char *name)
{
        return faccessat(esp, name, F_OK, 0) == 0;
}

static void test_bless(void **state _unused_)
{
        static const char *const others[] = {
                "\\EFI\\Linux\\other_1.0+3.efi",
                "\\EFI\\Linux\\slipway_1.0+03.efi",
                "\\EFI\\Linux",
                "\\EFI\\Linuxslipway_1.0+3.efi",
                "EFI\\Linux\\slipway_1.0.efi",
                "\\EFI\\Linux\\sub\\slipway_1.0+3.efi",
                "",
                "\\EFI\\BOOT\\slipway_1.0+3.efi",
        };
        char *directory = test_mkdir(), version[BOOT_VERSION_MAX + 1] = "";
        _cleanup_close_ int esp = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};

        assert_ok(path_mkdirs(esp, "EFI/Linux", 0755, &err), &err);
        assert_ok(file_write(esp, "EFI/Linux/slipway_1.0+2-1.efi", "x", 1, 0644, &err), &err);
        assert_ok(file_write(esp, "EFI/Linux/slipway_2.0+3.efi", "x", 1, 0644, &err), &err);
        for (int again = 0; again < 2; again++) {
                assert_ok(bless_entry(esp, "\\EFI\\Linux\\slipway_1.0+2-1.efi", version, &err),
                          &err);
                assert_string_equal(version, "1.0");
                assert_true(there(esp, "EFI/Linux/slipway_1.0.efi"));
                assert_false(there(esp, "EFI/Linux/slipway_1.0+2-1.efi"));
        }
        assert_ok(bless_entry(esp, "/efi/LINUX\\slipway_2.0+3.efi", version, &err), &err);
        assert_true(there(esp, "EFI/Linux/slipway_2.0.efi"));
        assert_int_equal(bless_entry(esp, "\\EFI\\Linux\\slipway_3.0+3.efi", version, &err),
                         -ENOENT);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                assert_int_equal(bless_entry(esp, others[i], version, &err), -EINVAL);
        test_rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_variables),
                cmocka_unit_test(test_bless),
        };

        return test_run(tests);
}
