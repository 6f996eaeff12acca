/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The order of versions: the specification's own examples, and chains in which each is older than
 * all that follow. What the specification leaves open is as `systemd-analyze compare-versions`
 * says. */

#include "test.h"
#include "version.h"

/* From the text of UAPI.10, "Examples". */
static const struct {
        const char *a, *b;
        int order;
} examples[] = {
        { "11", "11", 0 },
        { "systemd-123", "systemd-123", 0 },
        { "bar-123", "foo-123", -1 },
        { "123a", "123", 1 },
        { "123.a", "123", 1 },
        { "123.a", "123.b", -1 },
        { "123a", "123.a", 1 },
        { "11α", "11β", 0 },
        { "B", "a", -1 },
        { "", "0", -1 },
        { "0.", "0", 1 },
        { "0.0", "0", 1 },
        { "0", "~", 1 },
        { "", "~", 1 },
        { "1_", "1", 0 },
        { "_1", "1", 0 },
        { "1_", "1.2", -1 },
        { "1_2_3", "1.3.3", 1 },
        { "1+", "1", 0 },
        { "+1", "1", 0 },
        { "1+", "1.2", -1 },
        { "1+2+3", "1.3.3", 1 },
};

static const char *const chains[][8] = {
        { "~1", "", "ab", "abb", "abc", "0001", "002", "12" },
        { "122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1" },
        { "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1" },
        { "1~", "1~~", "1~a", "1", "1-2", "1^2", "1.2", "1a" },
        { "a", "b", "0", "1", "01a", "2" },
        { "1.0.1", "1.0.9", "1.0.10", "1.1", "1.10", "10" },
};

static int sign(int n)
{
        return (n > 0) - (n < 0);
}

static void specification(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
                if (sign(version_compare(examples[i].a, examples[i].b)) != examples[i].order ||
                    sign(version_compare(examples[i].b, examples[i].a)) != -examples[i].order)
                        fail_msg("'%s' and '%s'", examples[i].a, examples[i].b);
        }
}

static void ordered(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
                for (size_t a = 0; a < ARRAY_SIZE(chains[i]) && chains[i][a]; a++)
                        for (size_t b = 0; b < ARRAY_SIZE(chains[i]) && chains[i][b]; b++)
                                if (sign(version_compare(chains[i][a], chains[i][b])) !=
                                    sign((int)a - (int)b))
                                        fail_msg("'%s' and '%s'", chains[i][a], chains[i][b]);
}

static void validity(void **state _unused_)
{
        char longest[VERSION_MAX + 2];

        memset(longest, '1', sizeof(longest));
        longest[VERSION_MAX] = '\0';
        assert_true(version_valid("1.2~rc1^a-b_c"));
        assert_true(version_valid(longest));
        longest[VERSION_MAX] = '1';
        longest[VERSION_MAX + 1] = '\0';
        assert_false(version_valid(longest));
        assert_false(version_valid(""));
        assert_false(version_valid("1+3"));
        assert_false(version_valid("1/2"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(specification),
                cmocka_unit_test(ordered),
                cmocka_unit_test(validity),
        };

        return test_run(tests);
}
