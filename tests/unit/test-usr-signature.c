/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the initrd reads from the kernel command line about /usr. */

#include "test.h"
#include "usr-signature.h"

#define HASH  "73e28b626d1e074aaafedc04fd507e894196eb763988b7e685db632a9e5dec3a"
#define OTHER "00000000000000000000000000000000ffffffffffffffffffffffffffffffff"
#define BY    "/dev/disk/by-partuuid/"

static void test_words(void **state _unused_)
{
        static const struct {
                const char *line, *data, *tree, *options;
        } cases[] = {
                { "quiet usrhash=" HASH "\n", BY "73e28b62-6d1e-074a-aafe-dc04fd507e89",
                  BY "4196eb76-3988-b7e6-85db-632a9e5dec3a", "" },
                { "usrhash=" OTHER " usrhash=" HASH
                  " systemd.verity_usr_options=panic-on-corruption",
                  BY "73e28b62-6d1e-074a-aafe-dc04fd507e89",
                  BY "4196eb76-3988-b7e6-85db-632a9e5dec3a", "panic-on-corruption" },
                { "systemd.verity_usr_data=/dev/vdb systemd.verity_usr_hash=PARTUUID=ab usrhash=" HASH,
                  "/dev/vdb", BY "ab", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_usr_volume_ struct usr_volume v = {};
                struct error err = {};

                assert_ok(usr_volume_parse(cases[i].line, &v, &err), &err);
                assert_int_equal(v.root_hash.bytes[0], 0x73);
                assert_string_equal(v.data, cases[i].data);
                assert_string_equal(v.tree, cases[i].tree);
                assert_string_equal(v.options, cases[i].options);
        }
}

static void test_refused(void **state _unused_)
{
        static const char *const lines[] = { "",
                                             "quiet",
                                             "usrhash=",
                                             "usrhash=12",
                                             "usrhash=" HASH "0",
                                             "xusrhash=" HASH,
                                             "usrhash=" HASH " usrhash=none" };

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                struct usr_volume v = {};
                struct error err = {};

                assert_int_equal(usr_volume_parse(lines[i], &v, &err), -ENODATA);
                assert_null(v.data);
        }
}

static void test_verdicts(void **state _unused_)
{
        assert_true(usr_signature_unjudged(-ENOKEY) && usr_signature_unjudged(-EINVAL) &&
                    usr_signature_unjudged(-ENOPKG));
        assert_false(usr_signature_unjudged(0) || usr_signature_unjudged(-EKEYREJECTED) ||
                     usr_signature_unjudged(-EBADMSG) || usr_signature_unjudged(-ENOMEM));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_verdicts),
        };

        return test_run(tests);
}
