/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "extension-index.h"
#include "io.h"
#include "strv.h"
#include "test.h"

#define DATA TEST_DATA_DIR "/extension-index"

static int parse_file(const char *name, struct extension_index *ret, struct error *err)
{
        _cleanup_free_ char *path = string_format(DATA "/%s", name), *text = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, EXTENSION_INDEX_MAX, &text, &size, err);

        assert_ok(r, err);
        return extension_index_parse(name, text, size, ret, err);
}

static void test_corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(DATA);
        const struct dirent *entry;
        size_t passed = 0, failed = 0;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                _cleanup_extension_index_ struct extension_index index = {};
                struct error err = {};

                if (entry->d_name[0] == '.')
                        continue;
                if (startswith(entry->d_name, "should-pass-")) {
                        assert_ok(parse_file(entry->d_name, &index, &err), &err);
                        passed++;
                } else {
                        assert_non_null(startswith(entry->d_name, "should-fail-"));
                        if (parse_file(entry->d_name, &index, &err) >= 0)
                                fail_msg("%s was taken", entry->d_name);
                        assert_true(err.message[0] != '\0');
                        failed++;
                }
        }
        assert_true(passed >= 4 && failed >= 15);
}

static void test_text(void **state _unused_)
{
        _cleanup_extension_index_ struct extension_index index = {}, again = {};
        _cleanup_free_ char *text = NULL, *same = NULL;
        struct error err = {};

        assert_ok(parse_file("should-pass-several.json", &index, &err), &err);
        assert_ok(extension_index_text(&index, &text, &err), &err);
        assert_ok(extension_index_parse("again", text, strlen(text), &again, &err), &err);
        assert_ok(extension_index_text(&again, &same, &err), &err);
        assert_string_equal(text, same);
}

static void test_fits(void **state _unused_)
{
        static const struct {
                const char *id, *level, *version_id;
                bool fits;
        } cases[] = {
                { "_any", NULL, NULL, true },     { "_any", "9", "9", true },
                { "debian", "1.0", NULL, true },  { "debian", "2.0", NULL, false },
                { "fedora", "1.0", NULL, false }, { NULL, "1.0", NULL, true },
                { NULL, NULL, "13", true },       { NULL, NULL, "1.2.3", true },
                { NULL, NULL, "12", false },      { NULL, "1.0", "12", true },
                { NULL, "2.0", "13", false },     { NULL, NULL, NULL, true },
        };
        char *levels[] = { (char *)"1.0", NULL };
        const struct extension_host host = { levels, "debian", { "13", "1.2.3" } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct extension_match match = { (char *)cases[i].id, (char *)cases[i].level,
                                                       (char *)cases[i].version_id };
                _cleanup_free_ char *reason = NULL;
                struct error err = {};

                assert_ok(extension_fits(&match, &host, &reason, &err), &err);
                if (!reason != cases[i].fits)
                        fail_msg("%zu: %s", i, reason ?: "fits");
        }
}

static struct extension_entry entry(const char *name, const char *version, const char *level)
{
        return (struct extension_entry){ .name = strdup(name),
                                         .version = strdup(version),
                                         .match.level = strdup(level),
                                         .size = 1 };
}

static void test_add_and_find(void **state _unused_)
{
        static const struct {
                const char *name, *version, *level;
        } rows[] = { { "b", "1.10", "1" },
                     { "a", "2", "1" },
                     { "b", "1.9", "1" },
                     { "b", "2.0", "2" },
                     { "b", "1.10", "1" } };
        char *levels[] = { (char *)"1", NULL };
        const struct extension_host host = { .levels = levels };
        _cleanup_extension_index_ struct extension_index index = {};
        struct extension_entry *found = NULL;
        struct error err = {};

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct extension_entry e = entry(rows[i].name, rows[i].version, rows[i].level);

                assert_ok(extension_index_add(&index, &e, &err), &err);
                assert_null(e.name);
        }
        assert_int_equal(index.entries.count, 4);
        assert_string_equal(extension_entries(&index)[1].version, "1.9");
        assert_ok(extension_index_find(&index, "b", &host, &found, &err), &err);
        assert_string_equal(found->version, "1.10");
        assert_ok(extension_index_find(&index, "c", &host, &found, &err), &err);
        assert_null(found);
        extension_index_remove(&index, 2);
        assert_ok(extension_index_find(&index, "b", &host, &found, &err), &err);
        assert_string_equal(found->version, "1.9");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_corpus),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_fits),
                cmocka_unit_test(test_add_and_find),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
