/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names of the health checks in a tree. */

#include "seal.h"
#include "strv.h"
#include "test.h"

#define DIRECTORY "/usr/lib/slipway/health.d/"

static void put(struct tree *tree, const char *name, const char *text)
{
        _cleanup_free_ char *path = string_format(DIRECTORY "%s", name);
        struct error err = {};

        assert_ok(tree_put_file(tree, path, text, strlen(text), 0644, "test", &err), &err);
}

static struct tree *new_tree(void)
{
        struct tree *tree = NULL;
        struct error err = {};

        assert_ok(tree_new(&tree, &err), &err);
        return tree;
}

static void collected(void **state _unused_)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        _cleanup_strv_ char **names = NULL;
        struct error err = {};

        assert_ok(health_names(tree, NULL, &names, &err), &err);
        assert_int_equal(strv_length(names), 0);
        put(tree, "b.json", "{\"checks\": [{\"name\": \"late\", \"units\": [\"x\"]}]}");
        put(tree, "a.json",
            "{\"deadline\": 5, \"checks\": [{\"name\": \"one\"}, {\"name\": \"two\"}]}");
        put(tree, "README", "not JSON");
        assert_ok(health_names(tree, NULL, &names, &err), &err);
        assert_int_equal(strv_length(names), 3);
        assert_string_equal(names[0], "one");
        assert_string_equal(names[1], "two");
        assert_string_equal(names[2], "late");
}

static void refused(void **state _unused_)
{
        static const char *const texts[] = {
                "",
                "[]",
                "{}",
                "{\"checks\": {}}",
                "{\"checks\": [1]}",
                "{\"checks\": [{}]}",
                "{\"checks\": [{\"name\": 1}]}",
                "{\"checks\": [null]}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_tree_ struct tree *tree = new_tree();
                char **names = NULL;
                struct error err = {};

                put(tree, "a.json", texts[i]);
                if (health_names(tree, NULL, &names, &err) >= 0)
                        fail_msg("'%s' was taken", texts[i]);
                assert_ptr_equal(strstr(err.message, DIRECTORY "a.json:1:"), err.message);
        }
}

static void too_many(void **state _unused_)
{
        _cleanup_tree_ struct tree *tree = new_tree();
        _cleanup_buffer_ struct buffer text = {};
        char **names = NULL;
        struct error err = {};

        buffer_puts(&text, "{\"checks\": [");
        for (int i = 0; i <= RELEASE_CHECKS_MAX; i++)
                buffer_printf(&text, "%s{\"name\": \"c%d\"}", i ? "," : "", i);
        buffer_puts(&text, "]}");
        put(tree, "a.json", text.data);
        assert_int_equal(health_names(tree, NULL, &names, &err), -E2BIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(collected),
                cmocka_unit_test(refused),
                cmocka_unit_test(too_many),
        };

        return test_run(tests);
}
