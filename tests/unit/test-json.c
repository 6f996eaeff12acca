/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* base/json: grammar, positions, duplicates, limits. */

#include "json.h"
#include "test.h"

static int load(const char *text, bool duplicates, struct json_document *d, struct error *err)
{
        return json_load("x.json", text, strlen(text), duplicates, d, err);
}

static void values_know_where_they_are(void **state _unused_)
{
        _cleanup_json_ struct json_document d = {};
        unsigned line, column;
        struct error err = {};
        json_object *list;

        assert_ok(load("{\n  \"a\": [1, 2.50,\n    {\"\\u0062\": \"t\"}],\n  \"n\": null }", false,
                       &d, &err),
                  &err);
        list = json_object_object_get(d.root, "a");
        assert_true(json_position(&d, list, &line, &column));
        assert_int_equal(line, 2);
        assert_int_equal(column, 8);
        assert_true(json_position(&d, json_object_array_get_idx(list, 1), &line, &column));
        assert_int_equal(column, 12);
        assert_true(json_position(&d,
                                  json_object_object_get(json_object_array_get_idx(list, 2), "b"),
                                  &line, &column));
        assert_int_equal(line, 3);
        assert_int_equal(column, 16);
        assert_false(json_position(&d, NULL, &line, &column));
        /* Serializing must survive the user data. */
        assert_non_null(strstr(json_object_to_json_string(d.root), "2.5"));
}

static void bad_texts_are_refused_with_a_place(void **state _unused_)
{
        static const struct {
                const char *text, *message;
        } rows[] = {
                { "", "x.json:1:1: expected a value, found the end of the text" },
                { "{", "x.json:1:2: expected a string, found the end of the text" },
                { "{\"a\":1,}", "x.json:1:8: expected a string, found '}'" },
                { "[1,\n 2,\n]", "x.json:3:1: expected a value, found ']'" },
                { "{\"a\" 1}", "x.json:1:6: expected ':', found '1'" },
                { "{'a':1}", "x.json:1:2: expected a string, found '''" },
                { "{\"a\":1, \"a\":2}", "x.json:1:9: duplicate key \"a\"" },
                { "{\"a\":1, \"\\u0061\":2}", "x.json:1:9: duplicate key \"a\"" },
                { "\"abc", "x.json:1:1: string is not closed" },
                { "\"a\nb\"", "x.json:1:3: control character in a string" },
                { "\"\\x\"", "x.json:1:3: expected an escape sequence, found 'x'" },
                { "\"\\u12g4\"", "x.json:1:6: expected four hex digits, found 'g'" },
                { "01", "x.json:1:2: text behind the top-level value" },
                { "1.", "x.json:1:3: expected a digit, found the end of the text" },
                { "tru", "x.json:1:1: expected a value, found 't'" },
                { "NaN", "x.json:1:1: expected a value, found 'N'" },
                { "{} x", "x.json:1:4: text behind the top-level value" },
                { "{} // c", "x.json:1:4: text behind the top-level value" },
                { "\"\xff\"", "x.json:1:2: not UTF-8" },
                { "\"\xed\xa0\x80\"", "x.json:1:2: not UTF-8" },
                { "\"\xc0\x80\"", "x.json:1:2: not UTF-8" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct json_document d = {};
                struct error err = {};

                assert_int_equal(load(rows[i].text, false, &d, &err), -EINVAL);
                assert_string_equal(err.message, rows[i].message);
        }
}

static void duplicates_are_kept_when_asked(void **state _unused_)
{
        _cleanup_json_ struct json_document d = {};
        unsigned line, column;
        struct error err = {};
        json_object *value;

        assert_ok(load("{\"a\": {\"x\": 1},\n\"a\": 2}", true, &d, &err), &err);
        assert_true(json_object_is_type(json_object_object_get(d.root, "a"), json_type_object));
        value = json_object_object_get(d.root, "a" JSON_DUPLICATE_MARK "1");
        assert_int_equal(json_object_get_int(value), 2);
        assert_true(json_position(&d, value, &line, &column));
        assert_int_equal(line, 2);
}

static void depth_is_limited(void **state _unused_)
{
        char text[2 * JSON_DEPTH_MAX + 3];
        struct json_document d = {};
        struct error err = {};

        memset(text, '[', JSON_DEPTH_MAX + 1);
        memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(load(text, false, &d, &err), -EINVAL);
        assert_non_null(strstr(err.message, "nested deeper"));
        text[sizeof(text) - 2] = '\0';
        assert_ok(load(text + 1, false, &d, &err), &err);
        json_document_done(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_know_where_they_are),
                cmocka_unit_test(bad_texts_are_refused_with_a_place),
                cmocka_unit_test(duplicates_are_kept_when_asked),
                cmocka_unit_test(depth_is_limited),
        };

        return test_run(tests);
}
