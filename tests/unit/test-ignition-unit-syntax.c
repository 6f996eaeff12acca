/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Unit files: what is accepted, whether there is an [Install], names of templates. */

#include "test.h"
#include "unit-syntax.h"

static const struct {
        const char *text;
        int code;
        bool install;
} texts[] = {
        { "", 0, false },
        { "[Unit]\nDescription=x\n", 0, false },
        { "[Unit]\n[Install]\nWantedBy=a.target\n", 0, true },
        { "[Install]\n", 0, false }, /* a section without a setting */
        { "[Install]\nWantedBy=a.target", 0, true },
        { "# comment\n; comment\n[Service]\nExecStart=/bin/x \\\n  y \\\n  z\n", 0, false },
        { "[Service]\r\nType=oneshot\r\n", 0, false },
        { "garbage before the first section\n[Unit]\n", 0, false },
        { "[Unit", -EINVAL, false },
        { "[Unit] x\n", -EINVAL, false },
        { "[Unit]\nno equals sign\n", -EINVAL, false },
        { "[Unit]\nDescription", -EINVAL, false },
};

static void test_texts(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct error err = {};
                bool install = !texts[i].install;
                int r = unit_syntax_check(texts[i].text, &install, &err);

                if (r != texts[i].code)
                        fail_msg("%s: %d %s", texts[i].text, r, err.message);
                if (r == 0)
                        assert_int_equal(install, texts[i].install);
        }
}

static void test_long_lines(void **state _unused_)
{
        char text[UNIT_LINE_MAX + 64];
        struct error err = {};

        memset(text, 'x', sizeof(text));
        memcpy(text, "[Unit]\nA=", 9);
        text[7 + UNIT_LINE_MAX - 1] = '\0';
        assert_int_equal(unit_syntax_check(text, NULL, &err), 0);
        text[7 + UNIT_LINE_MAX - 1] = 'x';
        text[7 + UNIT_LINE_MAX] = '\0';
        assert_int_equal(unit_syntax_check(text, NULL, &err), -EINVAL);
}

static void test_templates(void **state _unused_)
{
        char name[16];

        assert_true(unit_template("echo@a.service", name, sizeof(name)));
        assert_string_equal(name, "echo@.service");
        assert_true(unit_template("e@a.b.service", name, sizeof(name)));
        assert_string_equal(name, "e@.service");
        assert_false(unit_template("echo.service", name, sizeof(name)));
        assert_false(unit_template("echo@.service", name, sizeof(name)));
        assert_false(unit_template("longer-than-that@a.service", name, sizeof(name)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_long_lines),
                cmocka_unit_test(test_templates),
        };

        return test_run(tests);
}
