/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manifest's and the layer's tables: every file of tests/data/{manifest,layer} named
 * should-fail-* is refused with a position, every should-pass-* is taken; messages, defaults,
 * schema. */

#include "manifest.h"
#include "strv.h"
#include "test.h"

static int decode(const struct record *record, const char *path, void *object, struct error *err)
{
        memset(object, 0, record->size);
        return record_load(AT_FDCWD, path, record, object, err);
}

static void check_corpus(const char *folder, const struct record *record, void *object)
{
        _cleanup_closedir_ DIR *dir = NULL;
        char path[4096];
        struct dirent *entry;
        size_t passed = 0, failed = 0;

        snprintf(path, sizeof(path), "%s/%s", TEST_DATA_DIR, folder);
        dir = opendir(path);
        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                struct error err = {};
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "%s/%s/%s", TEST_DATA_DIR, folder, entry->d_name);
                r = decode(record, path, object, &err);
                if (startswith(entry->d_name, "should-pass-")) {
                        assert_ok(r, &err);
                        record->done(object);
                        passed++;
                        continue;
                }
                if (r >= 0)
                        fail_msg("%s was taken", entry->d_name);
                /* "<path>:<line>:<column>: <what was expected>" */
                assert_ptr_equal(strstr(err.message, path), err.message);
                assert_int_equal(err.message[strlen(path)], ':');
                assert_true(err.message[strlen(path) + 1] >= '1' &&
                            err.message[strlen(path) + 1] <= '9');
                failed++;
        }
        assert_true(passed >= 1 && failed >= 8);
}

static void manifests(void **state _unused_)
{
        struct manifest m;

        check_corpus("manifest", &manifest_record, &m);
}

static void layers(void **state _unused_)
{
        struct layer l;

        check_corpus("layer", &layer_record, &l);
}

static void values_arrive(void **state _unused_)
{
        struct manifest m = {};
        struct error err = {};

        assert_ok(
                decode(&manifest_record, TEST_DATA_DIR "/manifest/should-pass-full.json", &m, &err),
                &err);
        assert_string_equal(m.name, "edge-1");
        assert_string_equal(m.architecture, "arm64");
        assert_int_equal(m.repositories.count, 1);
        assert_string_equal(m.repositories.items[0].suites[1], "trixie-updates");
        assert_int_equal(m.partitions.esp, 256 * MIB);
        assert_int_equal(m.partitions.usr, GIB);
        assert_int_equal(m.partitions.usr_verity, 0);
        assert_string_equal(m.kernel.options[0], "quiet");
        assert_int_equal(strv_length(m.layer_names), 2);
        manifest_done(&m);
}

static void messages_say_what_was_expected(void **state _unused_)
{
        static const struct {
                const char *file, *tail;
        } rows[] = {
                { "wrong-type-name", ":1:9: \"name\" must be a string, not a number" },
                { "size-out-of-range", ": \"usr\" must be between 1048576 and 1099511627776" },
                { "bad-architecture",
                  ": \"architecture\" must be one of \"amd64\", \"arm64\", not \"i386\"" },
                { "missing-version", ":1:1: manifest lacks \"version\"" },
                { "unknown-output", ": unknown output format \"iso\"" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char path[4096];
                struct manifest m;
                struct error err = {};

                snprintf(path, sizeof(path), "%s/manifest/should-fail-%s.json", TEST_DATA_DIR,
                         rows[i].file);
                assert_int_not_equal(decode(&manifest_record, path, &m, &err), 0);
                if (!endswith(err.message, rows[i].tail))
                        fail_msg("%s", err.message);
        }
}

static void absent_mode_is_not_zero(void **state _unused_)
{
        static const char text[] = "{\"name\":\"x\",\"attributes\":[{\"path\":\"/a\"},"
                                   "{\"path\":\"/b\",\"mode\":\"4755\"}]}";
        _cleanup_json_ struct json_document d = {};
        struct layer l = {};
        struct error err = {};

        assert_ok(json_load("x", text, strlen(text), false, &d, &err), &err);
        assert_ok(record_decode(&d, d.root, &layer_record, &l, &err), &err);
        assert_int_equal(l.attributes.items[0].mode, UINT32_MAX);
        assert_int_equal(l.attributes.items[1].mode, 04755);
        layer_record.done(&l);
}

static void the_project_s_own_image_loads(void **state _unused_)
{
        _cleanup_manifest_ struct manifest m = {};
        struct error err = {};

        assert_ok(manifest_load(PROJECT_DIR "/layers/images/container-host.json", &m, &err), &err);
        assert_string_equal(m.name, "container-host");
        assert_int_equal(m.n_layers, strv_length(m.layer_names));
}

static void missing_layer_is_named(void **state _unused_)
{
        _cleanup_manifest_ struct manifest m = {};
        struct error err = {};

        assert_int_equal(
                manifest_load(TEST_DATA_DIR "/manifest/should-pass-minimal.json", &m, &err),
                -ENOENT);
        assert_string_equal(err.message, "image 't': layer 'base': no base/layer.json beside the "
                                         "manifest or one above");
}

static void schema_has_every_field(void **state _unused_)
{
        const struct record *const records[] = { &manifest_record, &layer_record };

        for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
                json_object *schema = NULL, *properties;
                struct error err = {};

                assert_ok(record_schema(records[i], &schema, &err), &err);
                properties = json_object_object_get(schema, "properties");
                for (const struct field *f = records[i]->fields; f->key; f++) {
                        json_object *p = json_object_object_get(properties, f->key);

                        assert_non_null(p);
                        assert_non_null(json_object_object_get(p, "description"));
                }
                json_object_put(schema);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(manifests),
                cmocka_unit_test(layers),
                cmocka_unit_test(values_arrive),
                cmocka_unit_test(messages_say_what_was_expected),
                cmocka_unit_test(absent_mode_is_not_zero),
                cmocka_unit_test(the_project_s_own_image_loads),
                cmocka_unit_test(missing_layer_is_named),
                cmocka_unit_test(schema_has_every_field),
        };

        return test_run(tests);
}
