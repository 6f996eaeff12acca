/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the agent reads about the machine: os-release, extensions, the state of the site, progress.
 */

#include "test.h"

#include "host.h"
#include "progress.h"
#include "site-state.h"
#include "strv.h"
#include "sysext.h"

static void test_os_release(void **state _unused_)
{
        static const char text[] = "NAME=\"Debian\"\nVERSION_ID=\"13\"\nIMAGE_ID=edge\n"
                                   "IMAGE_VERSION='1.2.0'\nSLIPWAY_TIMESTAMP=1790000000\n";
        struct host_release r = {};
        struct error err = {};

        assert_ok(host_release_parse(text, &r, &err), &err);
        assert_string_equal(r.image, "edge");
        assert_string_equal(r.version, "1.2.0");
        assert_string_equal(r.version_id, "13");
        assert_int_equal(r.timestamp, 1790000000);
        host_release_done(&r);
        assert_ok(host_release_parse("IMAGE_ID=\"a\\\"b\"\nIMAGE_VERSION=1", &r, &err), &err);
        assert_string_equal(r.image, "a\"b");
        assert_string_equal(r.version_id, "");
        assert_int_equal(r.timestamp, 0);
        host_release_done(&r);
}

static void test_os_release_refused(void **state _unused_)
{
        static const struct {
                const char *text;
                int code;
        } cases[] = {
                { "", -ENODATA },
                { "IMAGE_ID=a\n", -ENODATA },
                { "IMAGE_VERSION=1\n", -ENODATA },
                { "IMAGE_ID=a\nIMAGE_VERSION=1\nSLIPWAY_TIMESTAMP=\n", -EINVAL },
                { "IMAGE_ID=a\nIMAGE_VERSION=1\nSLIPWAY_TIMESTAMP=-1\n", -EINVAL },
                { "IMAGE_ID=a\nIMAGE_VERSION=1\nSLIPWAY_TIMESTAMP=1x\n", -EINVAL },
                { "IMAGE_ID=a\nIMAGE_VERSION=1\nSLIPWAY_TIMESTAMP=99999999999999999999\n",
                  -EINVAL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct host_release r = {};
                struct error err = {};

                assert_int_equal(host_release_parse(cases[i].text, &r, &err), cases[i].code);
                assert_null(r.image);
        }
}

static void test_extensions(void **state _unused_)
{
        static const struct {
                const char *text;
                bool fits;
        } cases[] = {
                { "ID=_any\n", true },
                { "ID=debian\nSYSEXT_LEVEL=2.0\n", true },
                { "ID=debian\nSYSEXT_LEVEL=\"1.0\"\n", false },
                { "ID=debian\nSYSEXT_LEVEL=1.0\nVERSION_ID=13\n", false },
                { "ID=debian\nVERSION_ID=13\n", true },
                { "ID=debian\nVERSION_ID=1.0.1\n", true },
                { "ID=debian\nVERSION_ID=12\n", false },
                { "ID=debian\n", true },
                { "", true },
        };
        char *levels[] = { (char *)"1.9", (char *)"2.0", NULL };
        struct release release = { .version = (char *)"1.0.1", .sysext_levels = levels };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *reason = NULL;
                struct error err = {};

                assert_ok(sysext_fits(cases[i].text, &release, "13", &reason, &err), &err);
                if (!reason != cases[i].fits)
                        fail_msg("%s: %s", cases[i].text, reason ?: "fits");
        }
}

static void test_site_state(void **state _unused_)
{
        struct site_memory m = { .summary_timestamp = 17,
                                 .checked = 18,
                                 .site = (char *)"http://a",
                                 .channel = (char *)"stable",
                                 .version = (char *)"1.0",
                                 .root_hash = { { 1, 2, 3 } } },
                           again = {};
        _cleanup_free_ char *path = NULL;
        char *root = test_mkdir();
        struct error err = {};

        path = string_format("%s/var/lib/site.json", root);
        assert_ok(site_memory_load(path, &again, &err), &err);
        assert_null(again.site);
        assert_ok(site_memory_save(path, &m, &err), &err);
        assert_ok(site_memory_load(path, &again, &err), &err);
        assert_int_equal(again.summary_timestamp, 17);
        assert_string_equal(again.channel, "stable");
        assert_true(sha256_equal(&again.root_hash, &m.root_hash));
        site_memory_done(&again);
        assert_int_equal(truncate(path, 20), 0);
        assert_true(site_memory_load(path, &again, &err) < 0);
        assert_null(again.site);
        test_rmdir(root);
}

static void test_progress(void **state _unused_)
{
        static const char *const bad[] = {
                "", "staging", "staging 1", "nothing 1 2", "staging 1 2 3", "staging x 2"
        };
        struct progress p = PROGRESS_NULL;
        enum upgrade_phase phase;
        uint64_t done, total;
        char lines[256] = "";
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        p.fd = fds[1];
        progress_report(&p, UPGRADE_STAGING, 10, 100);
        progress_report(&p, UPGRADE_STAGING, 10, 100); /* nothing new */
        progress_report(&p, UPGRADE_VERIFYING, 0, 0);
        assert_true(read(fds[0], lines, sizeof(lines) - 1) > 0);
        assert_string_equal(lines, "staging 10 100\nverifying 0 0\n");
        close(fds[0]);
        close(fds[1]);
        assert_int_equal(progress_parse("staging 10 100", &phase, &done, &total), 0);
        assert_true(phase == UPGRADE_STAGING && done == 10 && total == 100);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(progress_parse(bad[i], &phase, &done, &total), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_os_release), cmocka_unit_test(test_os_release_refused),
                cmocka_unit_test(test_extensions), cmocka_unit_test(test_site_state),
                cmocka_unit_test(test_progress),
        };

        return test_run(tests);
}
