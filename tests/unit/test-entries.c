/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What systemd-boot starts next, from names alone. */

#include "test.h"

#include "entries.h"
#include "strv.h"

/* The first is started, and were it not there, the second, and so on. */
static const char *const orders[][6] = {
        { "slipway_2.efi", "slipway_1.efi" },
        { "slipway_1.10.efi", "slipway_1.9.efi", "slipway_1.9~rc1.efi", "slipway_1.9~beta.efi" },
        { "slipway_1.efi", "slipway_2+0-3.efi" },
        { "slipway_1.efi", "slipway_2+0.efi" },
        { "slipway_2+3.efi", "slipway_1.efi" },
        { "slipway_2+1-2.efi", "slipway_1.efi" },
        { "slipway_1+3.efi", "slipway_2+0.efi" },
        /* Of bad ones the newest, of one release that with more tries left, then with fewer spent.
         */
        { "slipway_2+0-9.efi", "slipway_1+0.efi" },
        { "slipway_2+3.efi", "slipway_2+2-1.efi", "slipway_2+2-4.efi", "slipway_2+0.efi" },
        { "slipway_1.0.1.efi", "slipway_1.0-1.efi", "slipway_1.0.efi" },
};

static void make(const char *directory, const char *name)
{
        struct error err = {};
        _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_ok(file_write(fd, name, "MZ", 2, 0600, &err), &err);
}

/* What a rename leaves that was cut in the middle. */
static void make_empty(const char *directory, const char *name)
{
        _cleanup_free_ char *path = string_format("%s/%s", directory, name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
}

static void load(const char *directory, struct entries *ret)
{
        _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct error err = {};

        assert_ok(entries_load(fd, ret, &err), &err);
}

/* From position `from` of an order to its end, in some order of making. */
static void assert_next(const char *const *order, size_t count, size_t from, bool backwards)
{
        char *directory = test_mkdir(), name[BOOT_ENTRY_NAME_MAX];
        struct entries entries;

        for (size_t i = from; i < count; i++)
                make(directory, order[backwards ? count - 1 - (i - from) : i]);
        make(directory, "SLIPWA~1.EFI");
        make(directory, "other.efi");
        make(directory, "slipway_9.efi.new");
        load(directory, &entries);
        assert_int_equal(entries.count, count - from);
        assert_string_equal(boot_entry_format(entries_next(&entries), name), order[from]);
        test_rmdir(directory);
}

static void test_next(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
                size_t count = 0;

                while (count < ARRAY_SIZE(orders[i]) && orders[i][count])
                        count++;
                for (size_t from = 0; from < count; from++) {
                        assert_next(orders[i], count, from, false);
                        assert_next(orders[i], count, from, true);
                }
        }
}

static void test_find(void **state _unused_)
{
        char *directory = test_mkdir(), name[BOOT_ENTRY_NAME_MAX];
        struct entries entries;

        load(directory, &entries);
        assert_null(entries_next(&entries));
        make(directory, "slipway_1+0.efi");
        make(directory, "slipway_1.efi");
        make(directory, "slipway_2.efi");
        make_empty(directory, "slipway_1+9.efi");
        make_empty(directory, "slipway_4.efi");
        load(directory, &entries);
        assert_int_equal(entries.count, 3);
        assert_null(entries_find(&entries, "3"));
        assert_string_equal(boot_entry_format(entries_find(&entries, "1"), name), "slipway_1.efi");
        assert_string_equal(boot_entry_format(entries_find(&entries, "2"), name), "slipway_2.efi");
        test_rmdir(directory);
}

static void test_too_many(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct entries entries;
        struct error err = {};
        char name[64];

        for (int i = 0; i <= ENTRIES_MAX; i++) {
                snprintf(name, sizeof(name), "slipway_%d.efi", i);
                make(directory, name);
        }
        assert_int_equal(entries_load(fd, &entries, &err), -E2BIG);
        test_rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_next),
                cmocka_unit_test(test_find),
                cmocka_unit_test(test_too_many),
        };

        return test_run(tests);
}
