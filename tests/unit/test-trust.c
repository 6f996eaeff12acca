/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A manifest's "trust": what follows from it for the kernel's command line and configuration, and
 * what it may not say. */

#include "strv.h"
#include "test.h"
#include "trust.h"

static int decode(const char *text, struct trust_config *ret, struct error *err)
{
        _cleanup_json_ struct json_document d = {};
        int r = json_load("trust", text, strlen(text), false, &d, err);

        *ret = (struct trust_config){};
        return r < 0 ? r : record_decode(&d, d.root, &trust_record, ret, err);
}

static void assert_words(int (*words_of)(const struct trust_config *, char ***, struct error *),
                         const struct trust_config *t, const char *expected)
{
        _cleanup_strv_ char **found = NULL, **wanted = NULL;
        struct error err = {};

        assert_ok(words_of(t, &found, &err), &err);
        assert_int_equal(strv_split(expected, " ", &wanted), 0);
        assert_int_equal(strv_length(found), strv_length(wanted));
        for (size_t i = 0; i < strv_length(wanted); i++)
                assert_string_equal(found[i], wanted[i]);
}

static void test_words(void **state _unused_)
{
        static const struct {
                const char *trust, *options, *fragments;
        } rows[] = {
                { "{}", "", "" },
                { "{\"secureBoot\":true,\"shim\":true}", "", "trust" },
                { "{\"onCorruption\":\"error\"}", "", "" },
                { "{\"onCorruption\":\"restart\"}",
                  "systemd.verity_usr_options=restart-on-corruption", "" },
                { "{\"onCorruption\":\"panic\"}", "systemd.verity_usr_options=panic-on-corruption",
                  "" },
                { "{\"lockdown\":true}", "lockdown=integrity module.sig_enforce=1", "trust" },
                { "{\"measuredBoot\":true}", "", "trust tpm" },
                { "{\"measuredBoot\":true,\"root\":\"tpm2\"}", "slipway.root=tpm2", "trust tpm" },
                { "{\"measuredBoot\":true,\"root\":\"tpm2-if-present\"}",
                  "slipway.root=tpm2-if-present", "trust tpm" },
                { "{\"rootHash\":\"unsigned\"}", "", "" },
                { "{\"rootHash\":\"signed\"}", "ipe.enforce=0", "trust ipe" },
                { "{\"rootHash\":\"required\"}", "dm_verity.require_signatures=1 ipe.enforce=0",
                  "trust ipe" },
                { "{\"rootHash\":\"signed\",\"ipe\":\"off\"}", "", "trust" },
                { "{\"rootHash\":\"signed\",\"ipe\":\"audit\"}", "ipe.enforce=0", "trust ipe" },
                { "{\"rootHash\":\"signed\",\"ipe\":\"enforce\"}", "ipe.enforce=1", "trust ipe" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct trust_config t;
                struct error err = {};

                assert_ok(decode(rows[i].trust, &t, &err), &err);
                assert_words(trust_kernel_options, &t, rows[i].options);
                assert_words(trust_kernel_fragments, &t, rows[i].fragments);
        }
}

static void test_refused(void **state _unused_)
{
        static const struct {
                const char *trust, *message;
        } rows[] = {
                { "{\"shim\":true}", "\"shim\" needs \"secureBoot\"" },
                { "{\"ipe\":\"audit\"}", "\"ipe\" needs a signed \"rootHash\"" },
                { "{\"ipe\":\"enforce\",\"rootHash\":\"unsigned\"}",
                  "\"ipe\" needs a signed \"rootHash\"" },
                { "{\"root\":\"tpm2-if-present\"}",
                  "an encrypted \"root\" needs \"measuredBoot\"" },
                { "{\"onCorruption\":\"ignore\"}", "\"error\", \"restart\", \"panic\"" },
                { "{\"secureboot\":true}", "secureboot" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct trust_config t;
                struct error err = {};

                assert_true(decode(rows[i].trust, &t, &err) < 0);
                if (!strstr(err.message, rows[i].message))
                        fail_msg("%s", err.message);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_refused),
        };

        return test_run(tests);
}
