/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What Azure's services say: every file of tests/data/azure is taken or refused as its name says;
 * what is read from them; the texts of reports. */

#include "azure.h"
#include "config.h"
#include "kvp.h"
#include "strv.h"
#include "test.h"
#include "xml.h"

static char *load(const char *name, size_t *ret_size)
{
        _cleanup_free_ char *path = string_format("%s/azure/%s", TEST_DATA_DIR, name);
        struct error err = {};
        char *text;

        assert_non_null(path);
        assert_ok(file_read(AT_FDCWD, path, AZURE_TEXT_MAX, &text, ret_size, &err), &err);
        return text;
}

/* ---- the corpus ---- */

static int parse_goal_state(const char *text, size_t size, struct error *err)
{
        _cleanup_(azure_goal_state_done) struct azure_goal_state goal = {};

        return azure_goal_state_parse(text, size, &goal, err);
}

static int parse_versions(const char *text, size_t size, struct error *err)
{
        bool classic;

        return azure_versions_parse(text, size, &classic, err);
}

static int parse_environment(const char *text, size_t size, struct error *err)
{
        _cleanup_(azure_environment_done) struct azure_environment environment = {};

        return azure_environment_parse(text, size, &environment, err);
}

static int parse_instance(const char *text, size_t size, struct error *err)
{
        struct azure_instance instance = {};
        int r = azure_instance_parse(text, size, &instance, err);

        azure_instance_done(&instance);
        return r;
}

static int parse_lease(const char *text, size_t size _unused_, struct error *err)
{
        char address[AZURE_ADDRESS_SIZE];

        if (!azure_lease_wireserver(text, address))
                return error_set(err, -ENOENT, "no address");
        assert_string_equal(address, "168.63.129.16");
        return 0;
}

static const struct {
        const char *prefix;
        int (*parse)(const char *text, size_t size, struct error *err);
} readers[] = {
        { "goal-state", parse_goal_state }, { "versions", parse_versions },
        { "ovf-env", parse_environment },   { "shared-config", parse_versions },
        { "instance", parse_instance },     { "lease", parse_lease },
};

static void corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/azure");
        size_t taken = 0, refused = 0;
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                const char *bad = startswith(entry->d_name, "should-fail-");
                _cleanup_free_ char *text = NULL;
                struct error err = {};
                size_t size, i = 0;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                text = load(entry->d_name, &size);
                while (!startswith(bad ?: entry->d_name, readers[i].prefix))
                        assert_true(++i < ARRAY_SIZE(readers));
                r = readers[i].parse(text, size, &err);
                if (!bad)
                        assert_ok(r, &err);
                else if (r >= 0)
                        fail_msg("%s was taken", entry->d_name);
                taken += !bad;
                refused += bad != NULL;
        }
        assert_true(taken >= 10 && refused >= 40);
}

/* Whatever is cut off is asked for again, and nothing else. */
static void truncated(void **state _unused_)
{
        static const struct {
                const char *name;
                size_t reader;
        } files[] = { { "goal-state.xml", 0 }, { "instance.json", 4 } };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                size_t size;
                _cleanup_free_ char *text = load(files[i].name, &size);
                struct error err = {};

                while (size > 0 && strchr("\n", text[size - 1]))
                        size--;
                for (size_t n = 0; n < size; n++) {
                        _cleanup_free_ char *cut = strndup(text, n);

                        assert_int_equal(readers[files[i].reader].parse(cut, n, &err), -EBADMSG);
                }
        }
}

/* ---- what is read ---- */

static void goal_state(void **state _unused_)
{
        static const char *const names[] = { "goal-state.xml", "goal-state-cdata.xml",
                                             "goal-state-two-instances.xml" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_(azure_goal_state_done) struct azure_goal_state goal = {};
                size_t size;
                _cleanup_free_ char *text = load(names[i], &size);
                struct error err = {};

                assert_ok(azure_goal_state_parse(text, size, &goal, &err), &err);
                assert_string_equal(goal.incarnation, "42");
                assert_string_equal(goal.container, "0f3f2b5a-9f1c-4c1e-8d8a-5b1c1f2e3d4c");
                assert_string_equal(goal.instance, "6d5c4b3a._slipway");
        }
}

static void versions(void **state _unused_)
{
        size_t size, other_size;
        _cleanup_free_ char *text = load("versions.xml", &size);
        _cleanup_free_ char *other = load("versions-other.xml", &other_size);
        struct error err = {};
        bool classic = false;

        assert_ok(azure_versions_parse(text, size, &classic, &err), &err);
        assert_true(classic);
        assert_ok(azure_versions_parse(other, other_size, &classic, &err), &err);
        assert_false(classic); /* preferred is not supported */
}

static void environment(void **state _unused_)
{
        _cleanup_(azure_environment_done) struct azure_environment e = {};
        size_t size;
        _cleanup_free_ char *text = load("ovf-env.xml", &size);
        struct error err = {};

        assert_ok(azure_environment_parse(text, size, &e, &err), &err);
        assert_string_equal(e.custom_data, "eyJpZ25pdGlvbiI6\neyJ2ZXJzaW9uIjoiMy40LjAifX0=");
        assert_string_equal(e.preprovisioned, "false");
        assert_string_equal(e.pps_type, "");
}

static void instance(void **state _unused_)
{
        struct azure_instance i = {};
        size_t size;
        _cleanup_free_ char *text = load("instance.json", &size);
        struct error err = {};

        assert_ok(azure_instance_parse(text, size, &i, &err), &err);
        assert_string_equal(i.name, "vm");
        assert_string_equal(i.computer_name, "host");
        assert_string_equal(i.admin, "azureuser");
        assert_string_equal(i.pps_type, "None");
        assert_int_equal(strv_length(i.keys), 2);
        assert_string_equal(i.keys[0], "ssh-rsa AAAA");
        assert_string_equal(i.keys[1], "ssh-ed25519 BBBB");
        azure_instance_done(&i);
}

static void pools(void **state _unused_)
{
        struct error err = {};

        assert_int_equal(azure_refuse_pps("Running", &err), -EOPNOTSUPP);
        assert_int_equal(azure_refuse_pps("Savable", &err), -EOPNOTSUPP);
        assert_int_equal(azure_refuse_pps("PreprovisionedOSDisk", &err), -EOPNOTSUPP);
        assert_int_equal(azure_refuse_pps("None", &err), 0);
        assert_int_equal(azure_refuse_pps("", &err), 0);
}

/* ---- what is said ---- */

static int compare(const char *path, const char *text, void *userdata, struct error *err _unused_)
{
        return streq(path, "a") && streq(text, userdata) ? 0 : 1;
}

static void escaping(void **state _unused_)
{
        static const struct {
                const char *text, *read;
        } cases[] = {
                { "a<b>&\"'", "a<b>&\"'" },
                { "]]> &amp; &#65;", "]]> &amp; &#65;" },
                { "\xc3\xbc\xf0\x9f\x98\x80", "\xc3\xbc\xf0\x9f\x98\x80" },
                { "bell\a", "bell?" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_buffer_ struct buffer b = {};
                struct error err = {};

                buffer_puts(&b, "<a>");
                xml_escape(&b, cases[i].text);
                buffer_puts(&b, "</a>");
                assert_int_equal(
                        xml_for_elements(b.data, b.size, compare, (void *)cases[i].read, &err), 0);
        }
}

static void characters(void **state _unused_)
{
        static const char text[] = "<a>&#65;&#xfc;&#x20AC;&#128512;</a>";
        struct error err = {};

        assert_int_equal(xml_for_elements(text, strlen(text), compare,
                                          (void *)"A\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", &err),
                         0);
}

static size_t count_characters(const char *text)
{
        size_t n = 0;

        for (; *text; text++)
                n += (*text & 0xc0) != 0x80;
        return n;
}

/* However long the reason is, what follows it is there; no character is cut in two. */
static void descriptions(void **state _unused_)
{
        static const char *const units[] = { "x", "\xc3\xbc", "\"", "a|", "<&" };
        const struct azure z = { .id = "550e8400-e29b-41d4-a716-446655440000" };

        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                _cleanup_buffer_ struct buffer reason = {};

                for (unsigned n = 0; n < 600; n += 40) {
                        _cleanup_free_ char *text = azure_health_text(&z, reason.data ?: "", 512);

                        assert_non_null(text);
                        assert_true(count_characters(text) <= 512);
                        assert_non_null(strstr(text, "|vm_id=550e8400-"));
                        assert_non_null(startswith(text, "result=error|"));
                        assert_true(endswith(text, "linuxprovisioningerror"));
                        assert_null(strstr(text, "\xc3|"));
                        for (unsigned k = 0; k < 40; k++)
                                buffer_puts(&reason, units[i]);
                }
        }
}

static void quoting(void **state _unused_)
{
        const struct azure z = { .id = "1" };
        _cleanup_free_ char *text = azure_health_text(&z, "a|b \"c\"", 512);
        _cleanup_free_ char *good = azure_health_text(&z, NULL, 512);

        assert_non_null(strstr(text, "result=error|\"reason=a|b \"\"c\"\"\"|agent=slipway-azure/"));
        assert_non_null(startswith(good, "result=success|agent=slipway-azure/"));
        assert_null(strstr(good, "documentation_url"));
}

static void json_report(void **state _unused_)
{
        _cleanup_free_ char *good = azure_health_json(NULL), *bad = azure_health_json("a \"b\"\n");

        assert_string_equal(good, "{\"state\":\"Ready\"}");
        assert_string_equal(bad, "{\"state\":\"NotReady\",\"details\":{\"subStatus\":"
                                 "\"ProvisioningFailed\",\"description\":\"a \\\"b\\\"\\n\"}}");
}

/* A long report is several records of one key; together they are the text, and none ends within a
 * character. */
static void long_key_value_report(void **state _unused_)
{
        _cleanup_(kvp_pool_done) struct kvp_pool pool = {};
        _cleanup_free_ char *data = NULL, *reason = NULL;
        _cleanup_buffer_ struct buffer long_reason = {}, joined = {};
        struct log log = { .quiet = true };
        struct root root = { .fd = -1 };
        struct azure z = { .log = &log, .root = &root, .id = "1" };
        char *path = test_mkdir();
        struct error err = {};
        size_t size;

        buffer_puts(&long_reason, "x"); /* so that 1022 is in the middle of a character */
        for (unsigned i = 0; i < 1000; i++)
                buffer_puts(&long_reason, "\xc3\xbc");
        assert_ok(root_open(&root, path, &err), &err);
        for (unsigned i = 0; i < 2; i++)
                assert_ok(azure_kvp_report(&z, long_reason.data, &err), &err);
        assert_ok(file_read(root.fd, "var/lib/hyperv/.kvp_pool_1", MIB, &data, &size, &err), &err);
        assert_ok(kvp_parse(data, size, &pool, &err), &err);
        assert_int_equal(pool.count, 3);
        for (size_t i = 0; i < pool.count; i++) {
                assert_string_equal(pool.records[i].key, "PROVISIONING_REPORT");
                assert_true(strlen(pool.records[i].value) <= 1022);
                assert_int_not_equal(pool.records[i].value[0] & 0xc0, 0x80);
                buffer_puts(&joined, pool.records[i].value);
        }
        reason = string_format("|reason=%s|agent=", long_reason.data);
        assert_non_null(strstr(joined.data, reason + 1));
        root_done(&root);
        test_rmdir(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(corpus),
                cmocka_unit_test(truncated),
                cmocka_unit_test(goal_state),
                cmocka_unit_test(versions),
                cmocka_unit_test(environment),
                cmocka_unit_test(instance),
                cmocka_unit_test(pools),
                cmocka_unit_test(escaping),
                cmocka_unit_test(characters),
                cmocka_unit_test(descriptions),
                cmocka_unit_test(quoting),
                cmocka_unit_test(json_report),
                cmocka_unit_test(long_key_value_report),
        };

        return test_run(tests);
}
