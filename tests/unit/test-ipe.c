/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include "ipe-load.h"
#include "ipe-policy.h"
#include "strv.h"

/* What the kernel's parser (security/ipe/policy_parser.c) knows. */
static bool is_known_word(const char *word, size_t n)
{
        static const char *const known[] = {
                "op=EXECUTE",         "op=KMODULE",  "op=FIRMWARE",
                "boot_verified=TRUE", "action=DENY", "dmverity_signature=TRUE",
                "action=ALLOW",
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (strlen(known[i]) == n && memcmp(known[i], word, n) == 0)
                        return true;
        return false;
}

static void assert_rule(const char *line)
{
        bool is_default = startswith(line, "DEFAULT ");
        const char *action = strstr(line, "action=");

        assert_non_null(action);
        /* Only what has a property is allowed. */
        if (strcmp(action, "action=ALLOW") == 0)
                assert_true(!is_default && strstr(line, "=TRUE "));
        for (const char *word = is_default ? line + strlen("DEFAULT ") : line; *word;) {
                size_t n = strcspn(word, " ");

                assert_true(is_known_word(word, n));
                word += n + (word[n] == ' ');
        }
}

static void test_policy(void **state _unused_)
{
        struct trust_config trust = { .root_hash = ROOT_HASH_SIGNED };
        _cleanup_free_ char *text = NULL;
        const char *audit;
        bool header = true;

        assert_null(ipe_policy_text(&trust));
        trust.ipe = IPE_AUDIT;
        audit = ipe_policy_text(&trust);
        assert_non_null(audit);
        trust.ipe = IPE_ENFORCE;
        /* Reporting shows what enforcing would do. */
        assert_string_equal(ipe_policy_text(&trust), audit);
        assert_int_equal(audit[strlen(audit) - 1], '\n');
        assert_non_null(strstr(audit, "\nDEFAULT action=DENY\n"));

        text = strdup(audit);
        assert_non_null(text);
        for (char *rest = text, *line = strsep(&rest, "\n"); line && *line;
             line = strsep(&rest, "\n")) {
                if (header)
                        assert_string_equal(line,
                                            "policy_name=" IPE_POLICY_NAME " policy_version=1.0.0");
                else
                        assert_rule(line);
                header = false;
        }
}

/* A directory like the kernel's: files to write to. */
static char *make_securityfs(int *ret_fd, const char *enforce)
{
        char *top = test_mkdir();
        struct error err = {};

        *ret_fd = path_open_dir(AT_FDCWD, top, 0755, &err);
        assert_ok(*ret_fd, &err);
        assert_ok(path_mkdirs(*ret_fd, "policies/slipway", 0755, &err), &err);
        assert_ok(file_write(*ret_fd, "enforce", enforce, strlen(enforce), 0644, &err), &err);
        assert_ok(file_write(*ret_fd, "new_policy", "", 0, 0644, &err), &err);
        assert_ok(file_write(*ret_fd, "policies/slipway/active", "0", 1, 0644, &err), &err);
        assert_ok(file_write(*ret_fd, "p7b",
                             "0\x82"
                             "bytes",
                             7, 0644, &err),
                  &err);
        return top;
}

static void assert_content(int fd, const char *name, const char *want, size_t want_size)
{
        _cleanup_free_ char *text = NULL;
        struct error err = {};
        size_t size;

        assert_ok(file_read(fd, name, 1000, &text, &size, &err), &err);
        assert_int_equal(size, want_size);
        assert_memory_equal(text, want, size);
}

static void test_load(void **state _unused_)
{
        _cleanup_close_ int fd = -1;
        char *top = make_securityfs(&fd, "1");
        _cleanup_free_ char *policy = string_format("%s/p7b", top);
        struct error err = {};

        assert_int_equal(ipe_enforces(fd, &err), 1);
        assert_ok(ipe_load(fd, policy, &err), &err);
        assert_content(fd, "new_policy",
                       "0\x82"
                       "bytes",
                       7);
        assert_content(fd, "policies/slipway/active", "1", 1);

        /* The kernel took it under another name. */
        assert_int_equal(unlinkat(fd, "policies/slipway/active", 0), 0);
        assert_int_equal(ipe_load(fd, policy, &err), -ENOENT);
        assert_non_null(strstr(err.message, "policies/slipway/active"));
        test_rmdir(top);
}

static void test_no_policy(void **state _unused_)
{
        _cleanup_close_ int fd = -1;
        char *top = make_securityfs(&fd, "0");
        _cleanup_free_ char *policy = string_format("%s/none", top);
        _cleanup_free_ char *large = calloc(1, 65537);
        struct error err = {};

        assert_int_equal(ipe_enforces(fd, &err), 0);
        assert_int_equal(ipe_load(fd, policy, &err), -ENOENT);
        assert_non_null(large);
        assert_ok(file_write(fd, "none", large, 65537, 0644, &err), &err);
        assert_int_equal(ipe_load(fd, policy, &err), -EFBIG);
        assert_content(fd, "new_policy", "", 0);
        assert_int_equal(unlinkat(fd, "enforce", 0), 0);
        assert_int_equal(ipe_enforces(fd, &err), -ENOENT);
        test_rmdir(top);
}

static void test_seal(void **state _unused_)
{
        static const char want[] = "[Manager]\nCapabilityBoundingSet=~CAP_MAC_ADMIN\n";
        _cleanup_close_ int fd = -1;
        char *top = make_securityfs(&fd, "1");
        struct error err = {};

        assert_ok(ipe_seal(fd, &err), &err);
        assert_content(fd, "systemd/system.conf.d/50-slipway-ipe.conf", want, strlen(want));
        test_rmdir(top);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_policy),
                cmocka_unit_test(test_load),
                cmocka_unit_test(test_no_policy),
                cmocka_unit_test(test_seal),
        };

        return test_run(tests);
}
