/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* glob_match(): one row per rule, and patterns that are slow when the matcher backtracks badly. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "merge.h"

static const struct {
        const char *pattern, *path;
        bool match;
} cases[] = {
        { "/usr/lib", "/usr/lib", true },
        { "/usr/lib", "/usr/lib64", false },
        { "/usr/lib", "/usr/li", false },
        { "", "", true },
        { "", "/", false },
        { "/usr/*", "/usr/lib", true },
        { "/usr/*", "/usr/", true },
        { "/usr/*", "/usr/lib/x", false },
        { "/usr/*/x", "/usr/lib/x", true },
        { "/usr/*/x", "/usr/a/b/x", false },
        { "/usr/**/x", "/usr/a/b/x", true },
        { "/usr/**", "/usr/a/b/x", true },
        { "/**/*.pyc", "/usr/lib/a/b.pyc", true },
        { "/**/*.pyc", "/usr/lib/a/b.pyo", false },
        { "/**/doc/*/x", "/a/doc/b/c/doc/d/x", true },
        { "/**/doc/*/x", "/a/doc/b/c/doc/d/y", false },
        { "*a*b", "xaxxb", true },
        { "*a*b", "xaxx/b", false },
        { "/lib?", "/lib3", true },
        { "/lib?", "/lib/", false },
        { "/lib?", "/lib", false },
        { "/[a-c]x", "/bx", true },
        { "/[a-c]x", "/dx", false },
        { "/[!a-c]x", "/dx", true },
        { "/[^a-c]x", "/bx", false },
        { "/a[!x]b", "/a/b", false },
        { "/[]]x", "/]x", true },
        { "/[]-]", "/-", true },
        { "/[a-]", "/-", true },
        { "/[ab", "/[ab", true },
        { "/[ab", "/a", false },
        { "/\\*", "/*", true },
        { "/\\*", "/x", false },
        { "/x\\", "/x\\", false },
        { "/lib/*.so.*", "/lib/libc.so.6", true },
        { "/lib/*.so.*", "/lib/libc.so", false },
};

static void test_cases(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (glob_match(cases[i].pattern, cases[i].path) != cases[i].match)
                        fail_msg("'%s' against '%s'", cases[i].pattern, cases[i].path);
}

/* Exponential matchers never come back from these. */
static void test_hostile(void **state)
{
        char path[4096] = "/";

        (void)state;
        memset(path + 1, 'a', sizeof(path) - 2);
        assert_false(glob_match("/*a*a*a*a*a*a*a*a*a*a*a*a*a*b", path));
        assert_false(glob_match("/**a**a**a**a**a**a**a**a**a**b", path));
        assert_true(glob_match("/**a*a**a*a**a*a", path));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_hostile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
