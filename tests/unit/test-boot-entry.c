/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of boot entries, there and back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot-entry.h"

static const struct {
        const char *name, *version;
        bool counted;
        unsigned left, done;
} good[] = {
        { "slipway_1.2.0.efi", "1.2.0", false, 0, 0 },
        { "slipway_1.2.0+3.efi", "1.2.0", true, 3, 0 },
        { "slipway_1.2.0+2-1.efi", "1.2.0", true, 2, 1 },
        { "slipway_1.2.0+0-3.efi", "1.2.0", true, 0, 3 },
        { "slipway_1~rc1-4+3.efi", "1~rc1-4", true, 3, 0 },
        { "slipway_1.efi.efi", "1.efi", false, 0, 0 },
        { "slipway_9+9999-9999.efi", "9", true, 9999, 9999 },
};

static const char *const bad[] = {
        "",
        "slipway_",
        "slipway_.efi",
        "slipway_+3.efi",
        "slipway_1",
        "slipway_1.EFI",
        "slipway_1+.efi",
        "slipway_1+3",
        "slipway_1+3-.efi",
        "slipway_1+03.efi",
        "slipway_1+3-0.efi",
        "slipway_1+3-1-1.efi",
        "slipway_1+3+3.efi",
        "slipway_1+10000.efi",
        "slipway_1+99999999999.efi",
        "slipway_1/2.efi",
        "slipway_1 2.efi",
        "Slipway_1.efi",
        "slipway-1.efi",
        "slipway_11111111111111111111111111111111111111111111111111111111111111111.efi",
};

static void test_good(void **state _unused_)
{
        char name[BOOT_ENTRY_NAME_MAX];
        struct boot_entry e;

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                assert_int_equal(boot_entry_parse(good[i].name, &e), 0);
                assert_string_equal(e.version, good[i].version);
                assert_int_equal(e.counted, good[i].counted);
                assert_int_equal(e.tries_left, good[i].left);
                assert_int_equal(e.tries_done, good[i].done);
                assert_int_equal(boot_entry_bootable(&e), !good[i].counted || good[i].left > 0);
                assert_string_equal(boot_entry_format(&e, name), good[i].name);
        }
}

static void test_bad(void **state _unused_)
{
        struct boot_entry e;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (boot_entry_parse(bad[i], &e) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
