/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* text.c, script.c and the report of scripts.c. */

#include "fixup-test.h"
#include "script.h"
#include "text.h"

static void assert_strv(char *const *strv, const char *expected)
{
        _cleanup_buffer_ struct buffer b = {};

        for (; *strv; strv++)
                buffer_printf(&b, "<%s>", *strv);
        assert_string_equal(b.data ?: "", expected);
}

static void test_words(void **state)
{
        static const struct {
                const char *line, *words;
        } cases[] = {
                { "", "" },
                { "  a\tb ", "<a><b>" },
                { "a 'b c' \"d 'e'\" f\\ g \"\"", "<a><b c><d 'e'><f g><>" },
                { "a'\\'b \"\\\"\"", "<a\\b><\">" },
                { "end\\", "<end\\>" },
        };
        struct error err = {};
        char **none;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_strv_ char **words = NULL;

                assert_ok(text_words(cases[i].line, &words, &err), &err);
                assert_strv(words, cases[i].words);
        }
        assert_int_equal(text_words("a 'b", &none, &err), -EINVAL);
}

static void test_lines(void **state)
{
        _cleanup_strv_ char **lines = NULL, **script = NULL;
        struct error err = {};

        (void)state;
        assert_ok(text_lines("a\n\n  b \r\n#c\n ; d\ne", "#;", &lines, &err), &err);
        assert_strv(lines, "<a><b><e>");
        assert_ok(
                text_script_lines("#!/bin/sh\na \\\n  b\n# c \\\ncat <<-'EOF' >x\n\tx y\n\tEOF\nd\n"
                                  "x <<<y\n",
                                  &script, &err),
                &err);
        assert_strv(script, "<a   b><cat <<-'EOF' >x><d><x <<<y>");
}

static void test_commands(void **state)
{
        static const struct {
                const char *text, *commands;
        } cases[] = {
                { "set -e\nA=1 rm -f x; true && ln -s a b || cp\n", "<cp><ln><rm><set><true>" },
                { "if [ x ]; then a; elif b; then c; fi", "<[><a><b><c>" },
                { "for x in rm cp; do mv $x; done", "<mv>" },
                { "case \"$1\" in\nrm|cp) mv ;;\n*)\nchmod\nesac\nchown", "<chmod><chown><mv>" },
                { "f() { rm; }\nf\ng () {\nf\n}", "<rm>" },
                { "echo 'a; rm' \"b; cp\" # mv", "<echo>" },
                { "x=$(stat y) z=`id`\n", "<id><stat>" },
                { "a >&2 2>/dev/null | b &\nc", "<a><b><c>" },
                { "cat <<EOF\nrm x\nEOF\nmv", "<cat><mv>" },
                { "echo \"multi\nrm\nline\"\ncp", "<cp><echo>" },
                { "if ! rm; then exec cp; fi", "<cp><rm>" },
                { "echo 'open", "<echo>" },
        };
        struct error err = {};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_strv_ char **commands = NULL;

                assert_ok(script_commands(cases[i].text, &commands, &err), &err);
                assert_strv(commands, cases[i].commands);
        }
}

static void test_generated(void **state)
{
        char text[] =
                "a\n# Automatically added by dh_one/13\nrm\n# End automatically added section\n"
                "b\n# Automatically added by dh_two/1\n# End automatically added section\n";
        char broken[] = "# Automatically added by dh_one/13\nrm\n";
        _cleanup_strv_ char **tools = NULL;
        struct error err = {};

        (void)state;
        assert_ok(script_drop_generated(text, &tools, &err), &err);
        assert_strv(tools, "<dh_one><dh_two>");
        assert_string_equal(text, "a\n\nb\n\n");
        assert_int_equal(script_drop_generated(broken, &tools, &err), -EINVAL);
}

static void test_review(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(fixture_package(&f, "covered", "1"), "/control/postinst",
            "#!/bin/sh\nset -e\nif [ -z \"$2\" ]; then ldconfig; fi\n"
            "# Automatically added by dh_installsystemd/13.24.2\nrm -rf /\n"
            "# End automatically added section\n",
            0755);
        put(fixture_package(&f, "netbase", "1"), "/control/postinst", "cat > /etc/hosts\nrm x\n",
            0755);
        put(fixture_package(&f, "nss", "1"), "/control/postinst",
            "# Automatically added by dh_installnss/1.7\n# End automatically added section\n",
            0755);
        put(fixture_package(&f, "odd", "1"), "/control/preinst", "ucf x\nadduser --system y\n",
            0755);
        put(fixture_package(&f, "text", "1"), "/control/postinst",
            "update-alternatives --install /usr/bin/$x x /y 1\n", 0755);
        assert_ok(scripts_review(f.trees, f.c.count, NULL, f.c.tree, &f.result, &err), &err);
        assert_int_equal(f.result.findings.count, 3);
        assert_finding(&f.result, "package nss", "postinst runs dh_installnss: not covered");
        assert_finding(&f.result, "package odd", "preinst runs adduser, ucf: not covered");
        assert_finding(&f.result, "package text",
                       "postinst runs update-alternatives with computed arguments: not covered");
}

/* Once a layer brings nsswitch.conf, what dh_installnss would add to it is the layer's choice. */
static void test_review_nss(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(fixture_package(&f, "nss", "1"), "/control/postinst",
            "# Automatically added by dh_installnss/1.7\n# End automatically added section\n",
            0755);
        put(f.c.tree, "/usr/etc/nsswitch.conf", "x", 0644)->inode->origin = "layer base";
        assert_ok(scripts_review(f.trees, f.c.count, NULL, f.c.tree, &f.result, &err), &err);
        assert_int_equal(f.result.findings.count, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),    cmocka_unit_test(test_lines),
                cmocka_unit_test(test_commands), cmocka_unit_test(test_generated),
                cmocka_unit_test(test_review),   cmocka_unit_test(test_review_nss),
        };

        return test_run(tests);
}
