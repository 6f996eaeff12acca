/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Merging: what each kind of setting does, and what holds for all of them. The comparison with the
 * original is tests/cli/test_ignition_merge.py's. */

#include "origin.h"
#include "test.h"

#define V "{\"ignition\":{\"version\":\"3.6.0\"}"

static json_object *tree_of(const char *text, unsigned source)
{
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        json_object *tree = NULL;
        struct error err = {};

        assert_ok(config_load("test", text, strlen(text), &config, &findings, &err), &err);
        assert_ok(config_tree(&config, source, &tree, &err), &err);
        return tree;
}

static json_object *merge(json_object *parent, json_object *child)
{
        json_object *merged = NULL;
        struct error err = {};

        assert_ok(config_merge(parent, child, &merged, &err), &err);
        return merged;
}

static const char *text_of(json_object *tree)
{
        return json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* The sections after "ignition" of parent, child and result. */
static const struct {
        const char *parent, *child, *want;
        bool grouping_matters;
} cases[] = {
        /* a scalar is the child's when it has it */
        { "\"passwd\":{\"users\":[{\"name\":\"a\",\"uid\":1,\"gecos\":\"x\"}]}",
          "\"passwd\":{\"users\":[{\"name\":\"a\",\"uid\":2}]}",
          "\"passwd\":{\"users\":[{\"gecos\":\"x\",\"name\":\"a\",\"uid\":2}]}", false },
        { "\"passwd\":{\"users\":[{\"name\":\"a\",\"system\":true}]}",
          "\"passwd\":{\"users\":[{\"name\":\"a\",\"system\":false}]}",
          "\"passwd\":{\"users\":[{\"name\":\"a\",\"system\":false}]}", false },
        /* the parent's order, then what is new */
        { "\"passwd\":{\"users\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
          "\"passwd\":{\"users\":[{\"name\":\"c\"},{\"name\":\"b\"}]}",
          "\"passwd\":{\"users\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]}", false },
        /* sets of strings */
        { "\"passwd\":{\"users\":[{\"name\":\"a\",\"groups\":[\"x\",\"y\"]}]}",
          "\"passwd\":{\"users\":[{\"name\":\"a\",\"groups\":[\"y\",\"z\"]}]}",
          "\"passwd\":{\"users\":[{\"groups\":[\"x\",\"y\",\"z\"],\"name\":\"a\"}]}", false },
        /* lists without keys are joined */
        { "\"storage\":{\"filesystems\":[{\"device\":\"/d\",\"format\":\"xfs\",\"options\":[\"a\"]}]}",
          "\"storage\":{\"filesystems\":[{\"device\":\"/d\",\"options\":[\"a\"],\"format\":\"xfs\"}]}",
          "\"storage\":{\"filesystems\":[{\"device\":\"/d\",\"format\":\"xfs\",\"options\":[\"a\",\"a\"]}]}",
          false },
        /* lists that share a key space */
        { "\"storage\":{\"files\":[{\"path\":\"/a\"},{\"path\":\"/b\"}]}",
          "\"storage\":{\"links\":[{\"path\":\"/a\",\"target\":\"t\"}]}",
          "\"storage\":{\"files\":[{\"path\":\"/b\"}],\"links\":[{\"path\":\"/a\",\"target\":\"t\"}]}",
          true },
        { "\"kernelArguments\":{\"shouldExist\":[\"a\",\"b\"]}",
          "\"kernelArguments\":{\"shouldNotExist\":[\"a\"]}",
          "\"kernelArguments\":{\"shouldExist\":[\"b\"],\"shouldNotExist\":[\"a\"]}", true },
        /* partitions by number, or else by label */
        { "\"storage\":{\"disks\":[{\"device\":\"/d\",\"partitions\":[{\"number\":1},{\"label\":\"x\"}]}]}",
          "\"storage\":{\"disks\":[{\"device\":\"/d\",\"partitions\":[{\"label\":\"x\",\"resize\":true},"
          "{\"number\":1,\"label\":\"y\"}]}]}",
          "\"storage\":{\"disks\":[{\"device\":\"/d\",\"partitions\":[{\"label\":\"y\",\"number\":1},"
          "{\"label\":\"x\",\"resize\":true}]}]}",
          false },
        /* a header without value takes the parent's away */
        { "\"storage\":{\"files\":[{\"path\":\"/a\",\"contents\":{\"source\":\"http://h\",\"httpHeaders\":["
          "{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"2\"}]}}]}",
          "\"storage\":{\"files\":[{\"path\":\"/a\",\"contents\":{\"source\":\"http://h\",\"httpHeaders\":["
          "{\"name\":\"A\",\"value\":null}]}}]}",
          "\"storage\":{\"files\":[{\"path\":\"/a\",\"contents\":{\"httpHeaders\":["
          "{\"name\":\"B\",\"value\":\"2\"}],\"source\":\"http://h\"}}]}",
          true },
};

static json_object *tree_of_section(const char *section)
{
        _cleanup_free_ char *text = string_format(V ",%s}", section);

        return tree_of(text, 0);
}

static void test_cases(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_object *parent = tree_of_section(cases[i].parent);
                json_object *child = tree_of_section(cases[i].child);
                json_object *merged = merge(parent, child);
                _cleanup_free_ char *want = string_format(
                        "{\"ignition\":{\"version\":\"" CONFIG_NEWEST_VERSION "\"},%s}",
                        cases[i].want);

                assert_string_equal(text_of(merged), want);
                json_object_put(parent);
                json_object_put(child);
                json_object_put(merged);
        }
}

static bool same(json_object *a, json_object *b)
{
        return json_object_equal(a, b);
}

/* Nothing under it, or over it, changes nothing. */
static void test_identity(void **state _unused_)
{
        json_object *empty = tree_of(V "}", 0);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_object *tree = tree_of_section(cases[i].child);
                json_object *under = merge(empty, tree), *over = merge(tree, empty);

                /* a header that only deletes is dropped by nobody but a parent's header */
                assert_true(same(under, tree));
                assert_true(same(over, tree));
                json_object_put(tree);
                json_object_put(under);
                json_object_put(over);
        }
        json_object_put(empty);
}

/* All combinations of three: it does not matter which two are merged first, as long as the order
 * stays. Two things are the exception. A header that deletes is gone once it has done so; and a
 * file that gave way to a link, and comes back, comes back at the end. */
static void test_associative(void **state _unused_)
{
        json_object *trees[2 * ARRAY_SIZE(cases)];
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                if (cases[i].grouping_matters)
                        continue;
                trees[n++] = tree_of_section(cases[i].parent);
                trees[n++] = tree_of_section(cases[i].child);
        }
        for (size_t i = 0; i < n * n * n; i++) {
                json_object *a = trees[i / n / n], *b = trees[i / n % n], *c = trees[i % n];
                json_object *ab = merge(a, b), *bc = merge(b, c);
                json_object *left = merge(ab, c), *right = merge(a, bc);

                assert_string_equal(text_of(left), text_of(right));
                json_object_put(ab);
                json_object_put(bc);
                json_object_put(left);
                json_object_put(right);
        }
        for (size_t i = 0; i < n; i++)
                json_object_put(trees[i]);
}

static void test_origins(void **state _unused_)
{
        json_object *parent =
                tree_of(V ",\n\"passwd\":{\"users\":[{\"name\":\"a\",\"uid\":1}]}}", 0);
        json_object *child =
                tree_of(V ",\n\n \"passwd\":{\"users\":[{\"name\":\"a\",\"gecos\":\"x\"}]}}", 1);
        json_object *merged = merge(parent, child), *again = json_tokener_parse(text_of(merged));
        struct origin o = origin_get(json_at(merged, "$.passwd.users.0.uid"));
        _cleanup_free_ char *text = origins_text(merged);

        assert_int_equal(o.source, 0);
        assert_int_equal(o.line, 2);
        assert_int_equal(o.column, 38);
        assert_true(origins_find(text, again, json_at(again, "$.passwd.users.0.gecos"), &o));
        assert_int_equal(o.source, 1);
        assert_int_equal(o.line, 3);
        assert_int_equal(o.column, 41);
        assert_false(origins_find(text, again, parent, &o));
        json_object_put(parent);
        json_object_put(child);
        json_object_put(merged);
        json_object_put(again);
}

static void test_wipe(void **state _unused_)
{
        static const char text[] = V
                ",\"passwd\":{\"users\":[{\"name\":\"a\",\"passwordHash\":\"SECRET\"}]},\"storage\":"
                "{\"files\":[{\"path\":\"/a\",\"overwrite\":true,\"contents\":{\"source\":"
                "\"http://h/?SECRET\",\"httpHeaders\":[{\"name\":\"A\",\"value\":\"SECRET\"}]}}],"
                "\"luks\":[{\"name\":\"l\",\"device\":\"/d\",\"keyFile\":{\"source\":\"data:,SECRET\"},"
                "\"clevis\":{\"custom\":{\"pin\":\"p\",\"config\":\"SECRET\"}}}]}}";
        _cleanup_findings_ struct findings findings = {};
        _cleanup_config_ struct config config = {};
        json_object *tree = tree_of(text, 0);
        struct error err = {};

        assert_ok(config_wipe(tree, &err), &err);
        assert_null(strstr(text_of(tree), "SECRET"));
        assert_ok(config_load("wiped", text_of(tree), strlen(text_of(tree)), &config, &findings,
                              &err),
                  &err);
        json_object_put(tree);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),       cmocka_unit_test(test_identity),
                cmocka_unit_test(test_associative), cmocka_unit_test(test_origins),
                cmocka_unit_test(test_wipe),
        };

        return test_run(tests);
}
