/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configurations: which versions, what is read, how it is translated, where findings point, what
 * stands twice. The verdicts on whole files are tests/cli/test_ignition_validate.py's. */

#include "config.h"
#include "test.h"

static int load(const char *text, struct config *config, struct findings *findings,
                struct error *err)
{
        return config_load("test", text, strlen(text), config, findings, err);
}

static void test_versions(void **state _unused_)
{
        static const struct {
                const char *version;
                int minor; /* -1: refused */
        } cases[] = {
                { "3.0.0", 0 },        { "3.1.0", 1 },  { "3.5.0", 5 },
                { "3.6.0", 6 },        { "3.7.0", -1 }, { "3.7.0-experimental", 7 },
                { "3.6.0+build", -1 }, { "3.0.1", -1 }, { "2.3.0", -1 },
                { "3.0", -1 },         { "three", -1 }, { "", -1 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_findings_ struct findings findings = {};
                _cleanup_config_ struct config config = {};
                _cleanup_free_ char *text = NULL;
                struct error err = {};
                int r;

                text = string_format("{\"ignition\":{\"version\":\"%s\"}}", cases[i].version);
                r = load(text, &config, &findings, &err);
                assert_int_equal(r, cases[i].minor < 0 ? -EINVAL : 0);
                if (r == 0)
                        assert_int_equal(config.minor, cases[i].minor);
        }
}

static void test_reads_every_kind(void **state _unused_)
{
        static const char text[] =
                "{\"ignition\":{\"version\":\"3.2.0\"},"
                "\"passwd\":{\"users\":[{\"name\":\"core\",\"uid\":1001,\"system\":false,"
                "\"groups\":[\"a\",\"b\"]},{\"name\":\"x\",\"uid\":null}]},"
                "\"storage\":{\"files\":[{\"path\":\"/a\",\"mode\":420,"
                "\"contents\":{\"source\":\"data:,x\"},\"user\":{\"id\":7}}]}}";
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        struct error err = {};
        const struct user *users;
        const struct file *file;

        assert_ok(load(text, &config, &findings, &err), &err);
        assert_int_equal(findings.errors + findings.warnings, 0);
        assert_int_equal(config.root.passwd.users.count, 2);
        users = config.root.passwd.users.items;
        assert_string_equal(users[0].name, "core");
        assert_true(users[0].uid.set);
        assert_int_equal(users[0].uid.value, 1001);
        assert_true(config_is_false(&users[0].system));
        assert_int_equal(users[0].groups.count, 2);
        assert_string_equal(users[0].groups.items[1], "b");
        assert_null(users[0].shell);
        assert_false(users[1].uid.set);
        file = config.root.storage.files.items;
        assert_int_equal(file->mode.value, 0644);
        assert_int_equal(file->node.user.id.value, 7);
        assert_string_equal(file->contents.source, "data:,x");
}

static void test_translation(void **state _unused_)
{
        static const struct {
                const char *text, *want;
        } cases[] = {
                /* canonical keys, no nulls, no unknown keys, the newest version */
                { "{\"IGNITION\":{\"Version\":\"3.0.0\",\"config\":null},\"what\":1}",
                  "{\"ignition\":{\"version\":\"3.7.0-experimental\"}}" },
                /* a key of a later version is unknown */
                { "{\"ignition\":{\"version\":\"3.1.0\"},\"passwd\":{\"users\":[{\"name\":\"a\","
                  "\"shouldExist\":false}]}}",
                  "{\"ignition\":{\"version\":\"3.7.0-experimental\"},\"passwd\":{\"users\":[{\"name\":\"a\"}]}"
                  "}" },
                /* of duplicate keys the last wins, and a null takes it back */
                { "{\"ignition\":{\"version\":\"3.6.0\"},\"passwd\":{\"users\":[{\"name\":\"a\","
                  "\"uid\":1,\"uid\":2,\"gecos\":\"x\",\"gecos\":null}]}}",
                  "{\"ignition\":{\"version\":\"3.7.0-experimental\"},\"passwd\":{\"users\":[{\"name\":\"a\","
                  "\"uid\":2}]}}" },
                /* special bits of modes count since 3.6 */
                { "{\"ignition\":{\"version\":\"3.5.0\"},\"storage\":{\"directories\":[{\"path\":"
                  "\"/t\",\"mode\":1023}]}}",
                  "{\"ignition\":{\"version\":\"3.7.0-experimental\"},\"storage\":{\"directories\":[{\"path\":"
                  "\"/t\",\"mode\":511}]}}" },
                { "{\"ignition\":{\"version\":\"3.6.0\"},\"storage\":{\"directories\":[{\"path\":"
                  "\"/t\",\"mode\":1023}]}}",
                  "{\"ignition\":{\"version\":\"3.7.0-experimental\"},\"storage\":{\"directories\":[{\"path\":"
                  "\"/t\",\"mode\":1023}]}}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_findings_ struct findings findings = {};
                _cleanup_config_ struct config config = {};
                _cleanup_free_ char *translated = NULL;
                struct error err = {};

                assert_ok(load(cases[i].text, &config, &findings, &err), &err);
                assert_ok(config_translate(&config, &translated, &err), &err);
                assert_string_equal(translated, cases[i].want);
        }
}

#define V "{\"ignition\":{\"version\":\"3.6.0\"},\n"

/* What the whole report says. */
static const struct {
        const char *text, *report;
        bool fails;
} reports[] = {
        { V "\"storage\":{\"files\":[{\"path\":\"/a\"},\n  {\"path\":\"b\"}]}}",
          "error at $.storage.files.1.path, line 3 col 11: path not absolute\n", true },
        { V "\"passwd\":{\"users\":[{\"name\":\"a\",\"uid\":\"1\"}]}}",
          "error at $.passwd.users.0.uid, line 2 col 38: must be a whole number, not a string\n",
          true },
        { V "\"passwd\":{\"users\":[{\"name\":\"a\",\"uid\":1.5}]}}",
          "error at $.passwd.users.0.uid, line 2 col 38: must be a whole number, not a fraction or "
          "exponent\n",
          true },
        { V "\"passwd\":{\"users\":[{\"name\":\"a\\u0000b\"}]}}",
          "warning at $.passwd.users.0.name, line 2 col 28: contains a NUL character\n", false },
        { V "\"passwd\":{\"users\":[{\"name\":\"a\"},{\"name\":\"a\"}]}}",
          "error at $.passwd.users.1, line 2 col 34: duplicate entry defined\n", true },
        { V "\"storage\":{\"files\":[{\"path\":\"/a\"}],\"links\":[{\"path\":\"/a\",\"target\":"
            "\"/b\"}]}}",
          "error at $.storage.links.0, line 2 col 46: duplicate entry defined\n", true },
        { V "\"kernelArguments\":{\"shouldExist\":[\"q\"],\"shouldNotExist\":[\"q\"]}}",
          "error at $.kernelArguments.shouldNotExist.0, line 2 col 58: duplicate entry defined\n",
          true },
        /* appended pieces may repeat */
        { V "\"storage\":{\"files\":[{\"path\":\"/a\",\"append\":[{\"source\":\"data:,x\"},"
            "{\"source\":\"data:,x\"}]}]}}",
          NULL, false },
        { V "\"Passwd\":{},\"x\":1}",
          "warning at $.Passwd, line 2 col 1: unused key Passwd\n"
          "warning at $.x, line 2 col 13: unused key x\n",
          false },
        { V "\"a\":1,}", "error at line 3 col 7: ", true },
};

static void test_findings(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
                _cleanup_findings_ struct findings findings = {};
                _cleanup_config_ struct config config = {};
                struct error err = {};
                int r = load(reports[i].text, &config, &findings, &err);

                assert_int_equal(r < 0, reports[i].fails);
                if (!reports[i].report)
                        assert_null(findings.text.data);
                else if (endswith(reports[i].report, "\n"))
                        assert_string_equal(findings.text.data, reports[i].report);
                else
                        assert_true(strncmp(findings.text.data, "error at line 2 col ", 20) == 0);
        }
}

static void test_bounded(void **state _unused_)
{
        _cleanup_buffer_ struct buffer text = {};
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        struct error err = {};
        size_t lines = 0;

        buffer_puts(&text, V "\"storage\":{\"files\":[");
        for (int i = 0; i < 3 * FINDINGS_MAX; i++)
                buffer_printf(&text, "%s{\"path\":\"r%d\"}", i ? "," : "", i);
        buffer_puts(&text, "]}}");
        assert_int_equal(load(text.data, &config, &findings, &err), -EINVAL);
        assert_int_equal(findings.errors, 3 * FINDINGS_MAX);
        for (const char *s = findings.text.data; *s; s++)
                lines += *s == '\n';
        assert_int_equal(lines, FINDINGS_MAX);
}

static void test_no_config_at_all(void **state _unused_)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        struct error err = {};

        assert_int_equal(config_load("t", "", 0, &config, &findings, &err), -EINVAL);
        assert_string_equal(err.message, "not a config (empty)");
        assert_int_equal(load("[]", &config, &findings, &err), -EINVAL);
        config_done(&config);
        assert_int_equal(load("null", &config, &findings, &err), -EINVAL);
        config_done(&config);
        assert_int_equal(config_load("t", "x", CONFIG_SIZE_MAX + 1ULL, &config, &findings, &err),
                         -EFBIG);
}

static void test_places(void **state _unused_)
{
        static const char text[] = "{\"a\":[{\"b\":1},{\"B\":2}]}";
        _cleanup_json_ struct json_document d = {};
        struct error err = {};
        char path[WHERE_MAX];
        json_object *two;

        assert_ok(json_load("t", text, strlen(text), true, &d, &err), &err);
        two = json_at(d.root, "$.a.1.b");
        assert_int_equal(json_object_get_int(two), 2);
        json_path(d.root, two, path);
        assert_string_equal(path, "$.a.1.B");
        assert_ptr_equal(json_at(d.root, "$"), d.root);
        assert_null(json_at(d.root, "$.a.7"));
        assert_null(json_at(d.root, "$.nothing.b"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_versions),    cmocka_unit_test(test_reads_every_kind),
                cmocka_unit_test(test_translation), cmocka_unit_test(test_findings),
                cmocka_unit_test(test_bounded),     cmocka_unit_test(test_no_config_at_all),
                cmocka_unit_test(test_places),
        };

        return test_run(tests);
}
