/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include "process.h"
#include "slot.h"
#include "strv.h"

#define ROOT_HASH "000102030405460788090a0b0c0d0e0f101112131415461798191a1b1c1d1e1f"

static void test_root_hash(void **state _unused_)
{
        static const struct {
                const char *line;
                bool found;
        } cases[] = {
                { "quiet usrhash=" ROOT_HASH " rw\n", true },
                { "usrhash=" ROOT_HASH, true },
                { "usrhash=00 usrhash=" ROOT_HASH, true },
                { "usrhash=" ROOT_HASH "0", false },
                { "xusrhash=" ROOT_HASH, false },
                { "usrhash=", false },
                { "", false },
        };
        char hex[SHA256_HEX_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct sha256 hash = {};

                assert_int_equal(slot_root_hash(cases[i].line, &hash), cases[i].found);
                if (cases[i].found)
                        assert_string_equal(sha256_hex(&hash, hex), ROOT_HASH);
        }
}

#define USR       "type=8484680c-9521-48c6-9c11-b0720656f69e"
#define TREE      "type=77ff5f63-e7b6-4633-acf4-1565b864c0e6"
#define SIGNATURE "type=e7bb33fb-06cf-4e81-8273-e543b413e2e2"
#define ESP       "type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b,size=1M\n"

/* A disk of 32 MiB that sfdisk partitions by the script. Removed by test_rmdir(). */
static char *make_disk(const char *directory, const char *script)
{
        _cleanup_free_ char *text = string_format("%s/script", directory);
        char *disk = string_format("%s/disk", directory);
        _cleanup_close_ int fd = -1, in = -1;
        struct error err = {};

        assert_ok(file_write(AT_FDCWD, text, script, strlen(script), 0600, &err), &err);
        fd = open(disk, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, 32 << 20), 0);
        in = open(text, O_RDONLY | O_CLOEXEC);
        assert_ok(spawn((const char *const[]){ "sfdisk", "-q", disk, NULL },
                        &(struct spawn_options){ .stdin_fd = in }, NULL, &err),
                  &err);
        return disk;
}

static void test_slots(void **state _unused_)
{
        static const char script[] =
                "label: gpt\n" ESP "size=4M," USR ",name=usr_1.2.0,"
                "uuid=00010203-0405-4607-8809-0a0b0c0d0e0f\n"
                "size=1M," TREE ",name=usr-verity_1.2.0,uuid=10111213-1415-4617-9819-1a1b1c1d1e1f\n"
                "size=1M," SIGNATURE "\nsize=4M," USR ",name=_empty\nsize=1M," TREE "\n";
        char *directory = test_mkdir();
        _cleanup_free_ char *disk = make_disk(directory, script);
        const struct slot *found;
        struct error err = {};
        struct slots slots;
        struct sha256 hash;

        assert_ok(slots_load(disk, &slots, &err), &err);
        assert_int_equal(slots.count, 2);
        assert_int_equal(slots.items[1].name, 'B');
        assert_int_equal(slots.items[1].signature.number, 0);
        assert_string_equal(slot_version(&slots.items[1]), "");
        assert_true(slot_root_hash("usrhash=" ROOT_HASH, &hash));
        found = slots_find(&slots, &hash);
        assert_ptr_equal(found, &slots.items[0]);
        assert_string_equal(slot_version(found), "1.2.0");
        assert_int_equal(found->usr.number, 2);
        assert_int_equal(found->usr.size, 4 << 20);
        assert_int_equal(found->usr.start, 2 << 20);
        assert_int_equal(found->signature.number, 4);
        hash.bytes[31] ^= 1;
        assert_null(slots_find(&slots, &hash));
        test_rmdir(directory);
}

static void test_refused(void **state _unused_)
{
        static const struct {
                const char *script, *message;
                int code;
        } cases[] = {
                { "label: dos\nsize=1M\n", "no GPT", -ENODATA },
                { "label: gpt\n" ESP, "no slots", -ENODATA },
                { "label: gpt\nsize=1M," USR "\n", "slot A has no partition for its hash tree",
                  -EBADMSG },
                { "label: gpt\nsize=1M," TREE "\n", "partition 1: belongs to no slot", -EBADMSG },
                { "label: gpt\nsize=1M," USR "\nsize=1M," TREE "\nsize=1M," TREE "\n",
                  "partition 3: slot A has such a one", -EBADMSG },
                { "label: gpt\nsize=1M," USR "\nsize=1M," USR "\nsize=1M," USR "\n",
                  "partition 3: more than 2 slots", -EBADMSG },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char *directory = test_mkdir();
                _cleanup_free_ char *disk = make_disk(directory, cases[i].script);
                struct error err = {};
                struct slots slots;

                assert_int_equal(slots_load(disk, &slots, &err), cases[i].code);
                assert_non_null(strstr(err.message, cases[i].message));
                test_rmdir(directory);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_root_hash),
                cmocka_unit_test(test_slots),
                cmocka_unit_test(test_refused),
        };

        return test_run(tests);
}
