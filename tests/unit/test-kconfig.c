/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernel configurations: every file of tests/data/kconfig is read or refused as its name says, the
 * same options in every wrapping; what a fragment's lines and comments mean; the table of verdicts;
 * several fragments and a base become one. */

#include "kernel-check.h"
#include "kernel-config.h"
#include "kernel-fragments.h"
#include "test.h"

#define DATA TEST_DATA_DIR "/kconfig/"

/* ---- reading ---- */

static void check_file(const char *name)
{
        _cleanup_free_ char *path = string_format(DATA "%s", name);
        _cleanup_kconfig_ struct kconfig c = {};
        struct error err = {};
        int r = kernel_config_file(path, &c, &err);

        if (startswith(name, "should-fail-")) {
                if (r >= 0)
                        fail_msg("%s was taken", name);
                assert_ptr_equal(strstr(err.message, path), err.message);
                assert_null(c.text); /* untouched */
        } else {
                assert_ok(r, &err);
        }
}

static void corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/kconfig");
        struct dirent *entry;
        size_t n = 0;

        assert_non_null(dir);
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.') {
                        check_file(entry->d_name);
                        n++;
                }
        assert_true(n >= 45);
}

static void refused_at_line(void **state _unused_)
{
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "CONFIG_A=y\nCONFIG_B=maybe\n", "x:2: the value" },
                { "\n\nhello\n", "x:3: neither" },
                { "CONFIG_A=y\n# c\nCONFIG_A=m\n", "x:3: CONFIG_A stands in line 1" },
                { "# CONFIG_A is not set\nCONFIG_A=n\n", "x:2: CONFIG_A stands in line 1" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_kconfig_ struct kconfig c = {};
                struct error err = {};

                assert_int_equal(kconfig_parse("x", cases[i].text, strlen(cases[i].text), &c, &err),
                                 -EINVAL);
                assert_non_null(startswith(err.message, cases[i].message));
        }
}

static void assert_option(const struct kconfig *c, const char *name, enum kconfig_kind kind,
                          const char *value, unsigned line)
{
        const struct kconfig_option *o = kconfig_find(c, name);

        if (!o)
                fail_msg("%s is not there", name);
        assert_int_equal(o->kind, kind);
        assert_string_equal(o->value, value);
        assert_int_equal(o->line, line);
}

static void check_wrapping(const char *name)
{
        _cleanup_free_ char *path = string_format(DATA "%s", name);
        _cleanup_kconfig_ struct kconfig c = {};
        struct error err = {};

        assert_ok(kernel_config_file(path, &c, &err), &err);
        assert_int_equal(c.count, 12);
        assert_option(&c, "CONFIG_CC_VERSION_TEXT", KCONFIG_VALUE,
                      "\"gcc-14 (Debian 14.2.0-19) 14.2.0\"", 5);
        assert_option(&c, "CONFIG_X86_64", KCONFIG_BUILT_IN, "y", 7);
        assert_option(&c, "CONFIG_WERROR", KCONFIG_OFF, "n", 13);
        assert_option(&c, "CONFIG_CMDLINE", KCONFIG_VALUE, "\"a=\\\"b\\\" c\\\\d\"", 14);
        assert_option(&c, "CONFIG_PHYSICAL_START", KCONFIG_VALUE, "0x1000000", 16);
        assert_option(&c, "CONFIG_PANIC_TIMEOUT", KCONFIG_VALUE, "-1", 17);
        assert_option(&c, "CONFIG_EMPTY_NUMBER", KCONFIG_VALUE, "", 18);
        assert_option(&c, "CONFIG_EXT4_FS", KCONFIG_MODULE, "m", 19);
        assert_option(&c, "CONFIG_OFF", KCONFIG_OFF, "n", 20);
        assert_null(kconfig_find(&c, "CONFIG_NOT_THERE"));
        assert_string_equal(kernel_architecture(&c), "amd64");
}

static void wrappings(void **state _unused_)
{
        static const char *const names[] = {
                "config",       "config.gz",     "config.xz",    "vmlinux",
                "bzimage-gzip", "bzimage-bzip2", "bzimage-lzma", "bzimage-xz",
                "bzimage-lz4",  "bzimage-zstd",  "zboot",        "image.gz",
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                check_wrapping(names[i]);
}

/* ---- what fragments mean ---- */

static struct kconfig parse(const char *name, const char *text)
{
        struct kconfig c = {};
        struct error err = {};

        assert_ok(kconfig_parse(name, text, strlen(text), &c, &err), &err);
        return c;
}

/* The demands of up to three texts "a", "b", "c". */
static struct kernel_demands demands(const char *a, const char *b, const char *c)
{
        const char *const texts[] = { a, b, c };
        struct kconfig *fragments = calloc(ARRAY_SIZE(texts), sizeof(*fragments));
        struct kernel_demands d = {};
        struct error err = {};
        size_t n = 0;

        for (; n < ARRAY_SIZE(texts) && texts[n]; n++)
                fragments[n] = parse((const char *const[]){ "a", "b", "c" }[n], texts[n]);
        assert_ok(kernel_demands_make(fragments, n, &d, &err), &err);
        return d;
}

static void comments(void **state _unused_)
{
        static const struct {
                const char *name, *reason, *architecture;
                bool required;
        } cases[] = {
                { "CONFIG_A", "the reason", NULL, true },
                { "CONFIG_B", "a reason of two lines: with a colon", NULL, true },
                { "CONFIG_C", "a reason of two lines: with a colon", NULL, true },
                { "CONFIG_D", "less of a need", NULL, false },
                { "CONFIG_E", "there only", "arm64", false },
                { "CONFIG_F", "there only", "arm64", false },
        };
        _cleanup_kernel_demands_ struct kernel_demands d = {};
        struct error err = {};

        assert_ok(kernel_demands_load((char *const[]){ (char *)DATA "fragment", NULL }, &d, &err),
                  &err);
        assert_int_equal(d.count, ARRAY_SIZE(cases));
        for (size_t i = 0; i < d.count; i++) {
                assert_string_equal(d.items[i].option->name, cases[i].name);
                assert_string_equal(d.items[i].reason, cases[i].reason);
                assert_int_equal(d.items[i].required, cases[i].required);
                assert_true(d.items[i].architecture == cases[i].architecture ||
                            streq(d.items[i].architecture, cases[i].architecture));
        }
}

/* What only looks like one of the words before a colon is the reason. */
static void comments_that_qualify_nothing(void **state _unused_)
{
        static const char *const texts[] = {
                "",
                "recommended",
                "recommended by many: x",
                "recommended,amd64: x",
                "recommended, sparc: x",
                "Recommended: x",
                ": x",
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_free_ char *text = string_format("# %s\nCONFIG_A=y\n", texts[i]);
                _cleanup_kernel_demands_ struct kernel_demands d = demands(text, NULL, NULL);

                assert_true(d.items[0].required);
                assert_null(d.items[0].architecture);
                assert_string_equal(d.items[0].reason, texts[i]);
        }
}

/* A comment ends at an empty line, and with the next comment. */
static void whose_comment(void **state _unused_)
{
        _cleanup_kconfig_ struct kconfig c =
                parse("x", "# one\n\nCONFIG_A=y\n# two\nCONFIG_B=y\n# three\nCONFIG_C=y\n");

        assert_string_equal(kconfig_find(&c, "CONFIG_A")->reason, "");
        assert_string_equal(kconfig_find(&c, "CONFIG_B")->reason, "two");
        assert_string_equal(kconfig_find(&c, "CONFIG_C")->reason, "three");
}

/* ---- verdicts ---- */

static void verdicts(void **state _unused_)
{
        static const char *const values[] = { "n", "m", "y", "32", "\"32\"" };
        static const enum kernel_verdict expected[5][6] = {
                /* found:   n                 m                 y                 32 "32" nothing */
                { KERNEL_OK, KERNEL_NOT_OFF, KERNEL_NOT_OFF, KERNEL_NOT_OFF, KERNEL_NOT_OFF,
                  KERNEL_OK },
                { KERNEL_MISSING, KERNEL_OK, KERNEL_OK, KERNEL_DIFFERENT, KERNEL_DIFFERENT,
                  KERNEL_MISSING },
                { KERNEL_MISSING, KERNEL_MODULE, KERNEL_OK, KERNEL_DIFFERENT, KERNEL_DIFFERENT,
                  KERNEL_MISSING },
                { KERNEL_MISSING, KERNEL_DIFFERENT, KERNEL_DIFFERENT, KERNEL_OK, KERNEL_DIFFERENT,
                  KERNEL_MISSING },
                { KERNEL_MISSING, KERNEL_DIFFERENT, KERNEL_DIFFERENT, KERNEL_DIFFERENT, KERNEL_OK,
                  KERNEL_MISSING },
        };

        for (size_t wanted = 0; wanted < 5; wanted++)
                for (size_t found = 0; found < 6; found++) {
                        _cleanup_free_ char *want = string_format("CONFIG_A=%s\n", values[wanted]);
                        _cleanup_free_ char *have =
                                found < 5 ? string_format("CONFIG_A=%s\n", values[found])
                                          : strdup("CONFIG_B=y\n");
                        _cleanup_kernel_demands_ struct kernel_demands d =
                                demands(want, NULL, NULL);
                        _cleanup_kconfig_ struct kconfig c = parse("k", have);
                        const struct kconfig_option *o;

                        assert_int_equal(kernel_judge(&c, &d.items[0], &o),
                                         expected[wanted][found]);
                        assert_int_equal(o != NULL, found < 5);
                        assert_int_equal(kernel_require(&c, &d, NULL) == 0,
                                         expected[wanted][found] == KERNEL_OK);
                }
}

static void architectures(void **state _unused_)
{
        static const char *const configs[] = { "CONFIG_X86_64=y\n", "CONFIG_ARM64=y\n",
                                               "CONFIG_RISCV=y\n" };
        static const enum kernel_verdict expected[] = { KERNEL_NOT_APPLICABLE, KERNEL_MISSING,
                                                        KERNEL_MISSING };
        _cleanup_kernel_demands_ struct kernel_demands d =
                demands("# arm64: x\nCONFIG_A=y\n", NULL, NULL);

        for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
                _cleanup_kconfig_ struct kconfig c = parse("k", configs[i]);

                assert_int_equal(kernel_judge(&c, &d.items[0], NULL), expected[i]);
                assert_int_equal(kernel_require(&c, &d, NULL), i == 0 ? 0 : -ENOTSUP);
        }
}

/* The words apply where the kernel can load something. */
static void modules(void **state _unused_)
{
        _cleanup_kernel_demands_ struct kernel_demands d =
                demands("# modules, amd64: x\nCONFIG_A=y\n", NULL, NULL);
        static const struct {
                const char *config;
                enum kernel_verdict verdict;
        } cases[] = {
                { "CONFIG_MODULES=y\n", KERNEL_MISSING },
                { "CONFIG_B=y\n", KERNEL_MISSING },
                { "# CONFIG_MODULES is not set\n", KERNEL_NOT_APPLICABLE },
                { "CONFIG_ARM64=y\nCONFIG_MODULES=y\n", KERNEL_NOT_APPLICABLE },
        };

        assert_string_equal(d.items[0].reason, "x");
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_kconfig_ struct kconfig c = parse("k", cases[i].config);

                assert_int_equal(kernel_judge(&c, &d.items[0], NULL), cases[i].verdict);
        }
}

static void what_is_required(void **state _unused_)
{
        _cleanup_kernel_demands_ struct kernel_demands d = demands(
                "# recommended: nice\nCONFIG_A=y\n\n# needed by all\nCONFIG_B=y\n", NULL, NULL);
        _cleanup_kconfig_ struct kconfig good = parse("k", "CONFIG_B=y\n"),
                                         bad = parse("k", "CONFIG_A=y\nCONFIG_B=m\n");
        struct error err = {};

        assert_ok(kernel_require(&good, &d, &err), &err);
        assert_int_equal(kernel_require(&bad, &d, &err), -ENOTSUP);
        assert_string_equal(err.message, "CONFIG_B must be y and is m (module-instead-of-builtin): "
                                         "needed by all (a:5)");
}

/* ---- several fragments ---- */

static void assert_merged(const struct kernel_demands *d, const char *base, const char *expected)
{
        _cleanup_kconfig_ struct kconfig c = parse("base", base);
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        assert_ok(kernel_demands_merge(d, &c, &text, &err), &err);
        assert_string_equal(text, expected);
}

static void only_what_is_required(void **state _unused_)
{
        _cleanup_kernel_demands_ struct kernel_demands d =
                demands("# recommended: x\nCONFIG_A=y\n\nCONFIG_B=m\n", "CONFIG_A=n\n", NULL);
        struct error err = {};

        assert_int_equal(d.n_conflicts, 1);
        assert_ok(kernel_demands_keep_required(&d, &err), &err);
        assert_int_equal(d.n_conflicts, 0);
        assert_merged(&d, "", "# CONFIG_A is not set\nCONFIG_B=m\n");
}

static void merged(void **state _unused_)
{
        _cleanup_kernel_demands_ struct kernel_demands d =
                demands("CONFIG_C=m\n# CONFIG_B is not set\nCONFIG_Z=\"z\"\n",
                        "CONFIG_C=y\nCONFIG_Z=\"z\"\nCONFIG_A=1\n", "CONFIG_C=m\n");

        assert_int_equal(d.n_conflicts, 0);
        assert_merged(&d, "", "CONFIG_A=1\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_Z=\"z\"\n");
}

/* The fragments win over the base, where that does not satisfy them. */
static void merged_over_a_base(void **state _unused_)
{
        _cleanup_kernel_demands_ struct kernel_demands d =
                demands("CONFIG_A=m\nCONFIG_B=m\nCONFIG_C=y\n# CONFIG_D is not set\nCONFIG_E=2\n",
                        NULL, NULL);

        assert_merged(
                &d,
                "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_D=y\nCONFIG_E=1\nCONFIG_F=y\n",
                "CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=y\n# CONFIG_D is not set\nCONFIG_E=2\nCONFIG_F=y\n");
}

static void conflicts(void **state _unused_)
{
        static const char *const pairs[][2] = {
                { "CONFIG_A=y\n", "# CONFIG_A is not set\n" },
                { "CONFIG_A=m\n", "CONFIG_A=n\n" },
                { "CONFIG_A=1\n", "CONFIG_A=2\n" },
                { "CONFIG_A=y\n", "CONFIG_A=1\n" },
                { "# CONFIG_A is not set\n", "CONFIG_A=\"\"\n" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
                _cleanup_kernel_demands_ struct kernel_demands d =
                        demands(pairs[i][0], "CONFIG_B=y\n", pairs[i][1]);
                _cleanup_free_ char *text = NULL;
                _cleanup_kconfig_ struct kconfig any = parse("k", "CONFIG_A=y\nCONFIG_B=y\n");

                assert_int_equal(d.n_conflicts, 1);
                assert_int_equal(kernel_demands_merge(&d, NULL, &text, NULL), -EINVAL);
                assert_int_equal(kernel_require(&any, &d, NULL), -EINVAL);
        }
}

static void conflict_names_both_lines(void **state _unused_)
{
        _cleanup_kernel_demands_ struct kernel_demands d =
                demands("\nCONFIG_A=y\nCONFIG_B=1\n", "CONFIG_B=2\n# CONFIG_A is not set\n", NULL);
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        assert_int_equal(kernel_demands_merge(&d, NULL, &text, &err), -EINVAL);
        assert_string_equal(err.message, "a:2: CONFIG_A=y, but b:2: # CONFIG_A is not set (and 1 "
                                         "more conflicts)");
}

/* ---- finding ---- */

static void named(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *layer = string_format("%s/layers/x", directory),
                            *place = string_format("%s/kernel-config", directory),
                            *file = string_format("%s/base.config", place);
        _cleanup_kernel_demands_ struct kernel_demands own = {}, ours = {}, none = {};
        struct error err = {};

        assert_ok(path_mkdirs(AT_FDCWD, layer, 0755, &err), &err);
        assert_ok(path_mkdirs(AT_FDCWD, place, 0755, &err), &err);
        assert_ok(file_write(AT_FDCWD, file, "CONFIG_A=y\n", 11, 0644, &err), &err);
        assert_ok(kernel_fragments_load(layer, (char *const[]){ (char *)"base", NULL }, &own, &err),
                  &err);
        assert_int_equal(own.count, 1);
        assert_ok(kernel_fragments_load(PROJECT_DIR "/layers/base",
                                        (char *const[]){ (char *)"base", NULL }, &ours, &err),
                  &err);
        assert_true(ours.count > 40);
        assert_int_equal(kernel_fragments_load(layer, (char *const[]){ (char *)"no-such", NULL },
                                               &none, &err),
                         -ENOENT);
        assert_non_null(strstr(err.message, "no-such.config"));
        test_rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(corpus),
                cmocka_unit_test(refused_at_line),
                cmocka_unit_test(wrappings),
                cmocka_unit_test(comments),
                cmocka_unit_test(comments_that_qualify_nothing),
                cmocka_unit_test(whose_comment),
                cmocka_unit_test(verdicts),
                cmocka_unit_test(architectures),
                cmocka_unit_test(modules),
                cmocka_unit_test(what_is_required),
                cmocka_unit_test(only_what_is_required),
                cmocka_unit_test(merged),
                cmocka_unit_test(merged_over_a_base),
                cmocka_unit_test(conflicts),
                cmocka_unit_test(conflict_names_both_lines),
                cmocka_unit_test(named),
        };

        return test_run(tests);
}
