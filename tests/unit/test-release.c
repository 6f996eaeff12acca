/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Releases: every file of tests/data/release is taken or refused as its name says; the text there
 * and back; which of two is newer. */

#include "release.h"
#include "strv.h"
#include "test.h"

static int parse_file(const char *name, struct release *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL,
                            *path = string_format("%s/release/%s", TEST_DATA_DIR, name);
        size_t size;

        assert_non_null(path);
        assert_ok(file_read(AT_FDCWD, path, 1024 * 1024, &text, &size, err), err);
        return release_parse(name, text, size, ret, err);
}

static void corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/release");
        size_t passed = 0, failed = 0;
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                _cleanup_release_ struct release release = {};
                struct error err = {};
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                r = parse_file(entry->d_name, &release, &err);
                if (startswith(entry->d_name, "should-pass-")) {
                        assert_ok(r, &err);
                        passed++;
                        continue;
                }
                if (r >= 0)
                        fail_msg("%s was taken", entry->d_name);
                assert_ptr_equal(strstr(err.message, entry->d_name), err.message);
                assert_null(release.image); /* untouched */
                failed++;
        }
        assert_true(passed >= 3 && failed >= 30);
}

static void there_and_back(void **state _unused_)
{
        _cleanup_release_ struct release release = {}, again = {};
        _cleanup_free_ char *text = NULL, *text_again = NULL;
        struct error err = {};

        assert_ok(parse_file("should-pass-full.json", &release, &err), &err);
        assert_string_equal(release.version, "1.0.1");
        assert_int_equal(release.timestamp, 1790000000);
        assert_int_equal(release.root_hash.bytes[31], 0xab);
        assert_int_equal(release.layout.usr_verity, 1048576);
        assert_int_equal(strv_length(release.health), 2);
        assert_string_equal(release.health[1], "no failed units");
        assert_ok(release_text(&release, &text, &err), &err);
        assert_ok(release_parse("again", text, strlen(text), &again, &err), &err);
        assert_ok(release_text(&again, &text_again, &err), &err);
        assert_string_equal(text, text_again);
        assert_true(endswith(text, "}\n"));
}

/* What the parser would refuse is not written either. */
/* Releases of older composers do not say which modules they have. */
static void modules_may_be_unsaid(void **state _unused_)
{
        static const struct {
                const char *name;
                uint8_t byte;
        } cases[] = { { "should-pass-modules.json", 0xef }, { "should-pass-full.json", 0 } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_release_ struct release release = {}, again = {};
                _cleanup_free_ char *text = NULL;
                struct error err = {};

                assert_ok(parse_file(cases[i].name, &release, &err), &err);
                assert_int_equal(release.modules.bytes[31], cases[i].byte);
                assert_ok(release_text(&release, &text, &err), &err);
                assert_true(!strstr(text, "\"modules\"") == (cases[i].byte == 0));
                assert_ok(release_parse("again", text, strlen(text), &again, &err), &err);
                assert_memory_equal(&again.modules, &release.modules, sizeof(again.modules));
        }
}

static void refused_text(void **state _unused_)
{
        _cleanup_release_ struct release release = {};
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        assert_ok(parse_file("should-pass-full.json", &release, &err), &err);
        release.tree_size += 4096;
        assert_int_equal(release_text(&release, &text, &err), -EINVAL);
        assert_non_null(strstr(err.message, "treeSize"));
        assert_null(text);
}

static void too_large(void **state _unused_)
{
        _cleanup_free_ char *text = malloc(RELEASE_TEXT_MAX + 1);
        struct release release;
        struct error err = {};

        memset(text, ' ', RELEASE_TEXT_MAX + 1);
        assert_int_equal(release_parse("x", text, RELEASE_TEXT_MAX + 1, &release, &err), -EFBIG);
}

static void age(void **state _unused_)
{
        assert_true(release_compare_age(2, "1", 1, "2") > 0);
        assert_true(release_compare_age(1, "2", 2, "1") < 0);
        assert_true(release_compare_age(1, "1.10", 1, "1.9") > 0);
        assert_true(release_compare_age(1, "1~rc1", 1, "1") < 0);
        assert_int_equal(release_compare_age(1, "1.01", 1, "1.1"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(corpus),
                cmocka_unit_test(there_and_back),
                cmocka_unit_test(modules_may_be_unsaid),
                cmocka_unit_test(refused_text),
                cmocka_unit_test(too_large),
                cmocka_unit_test(age),
        };

        return test_run(tests);
}
