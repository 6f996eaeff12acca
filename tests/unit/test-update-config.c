/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include "../../update/config.h"
#include "strv.h"

static int load(const char *text, struct update_config *c, struct error *err)
{
        char *root = test_mkdir();
        _cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = path_mkdirs(fd, "etc/slipway", 0755, err);

        if (r >= 0 && text)
                r = file_write(fd, "etc/slipway/update.json", text, strlen(text), 0644, err);
        if (r >= 0)
                r = update_config_load(root, c, err);
        test_rmdir(root);
        return r;
}

static void test_defaults(void **state _unused_)
{
        static const char *const texts[] = { NULL, "{}" };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct update_config c = {};
                struct error err = {};

                assert_ok(load(texts[i], &c, &err), &err);
                assert_null(c.site);
                assert_string_equal(c.channel, "stable");
                assert_int_equal(c.reboot, REBOOT_OFF);
                assert_string_equal(c.keys[0], "/usr/lib/slipway/keys.d");
                assert_string_equal(c.keys[1], "/etc/slipway/keys.d");
                assert_null(c.keys[2]);
                assert_string_equal(c.revoked[0], "/usr/lib/slipway/revoked.d");
                assert_null(c.window.start);
                update_config_done(&c);
        }
}

static void test_all(void **state _unused_)
{
        static const char text[] =
                "{ \"site\": \"https://updates.example/os\", \"channel\": \"beta\", \"keys\": [ \"/k\" ],"
                " \"revoked\": [ \"/r\" ], \"window\": { \"days\": [ \"Sat\", \"Sun\" ],"
                " \"start\": \"23:30\", \"lengthMinutes\": 90 }, \"reboot\": \"fleetlock\","
                " \"fleetlockUrl\": \"http://lock.example\", \"fleetlockGroup\": \"edge\" }";
        struct update_config c = {};
        struct error err = {};

        assert_ok(load(text, &c, &err), &err);
        assert_string_equal(c.site, "https://updates.example/os");
        assert_string_equal(c.channel, "beta");
        assert_string_equal(c.keys[0], "/k");
        assert_string_equal(c.revoked[0], "/r");
        assert_string_equal(c.window.days[1], "Sun");
        assert_int_equal(c.window.length_minutes, 90);
        assert_int_equal(c.reboot, REBOOT_FLEETLOCK);
        assert_string_equal(c.fleetlock_group, "edge");
        update_config_done(&c);
}

static void test_refused(void **state _unused_)
{
        static const char *const texts[] = {
                "{ \"site\": \"file:///srv\" }",
                "{ \"site\": \"http://\" }",
                "{ \"site\": \"http:///x\" }",
                "{ \"site\": \"http://a/?b\" }",
                "{ \"site\": \"http://a b\" }",
                "{ \"site\": \"\" }",
                "{ \"site\": null }",
                "{ \"channel\": \"a/b\" }",
                "{ \"channel\": \"..\" }",
                "{ \"channel\": \"-x\" }",
                "{ \"keys\": [ \"k\" ] }",
                "{ \"revoked\": [ \"./r\" ] }",
                "{ \"reboot\": \"now\" }",
                "{ \"reboot\": \"fleetlock\" }",
                "{ \"fleetlockUrl\": \"ftp://a\" }",
                "{ \"fleetlockGroup\": \"a b\" }",
                "{ \"window\": { \"days\": [ \"Monday\" ] } }",
                "{ \"window\": { \"start\": \"23:30\" } }",
                "{ \"window\": { \"lengthMinutes\": 10 } }",
                "{ \"window\": { \"start\": \"24:00\", \"lengthMinutes\": 10 } }",
                "{ \"window\": { \"start\": \"1:00\", \"lengthMinutes\": 10 } }",
                "{ \"window\": { \"start\": \"12:60\", \"lengthMinutes\": 10 } }",
                "{ \"window\": { \"start\": \"00:00\", \"lengthMinutes\": 0 } }",
                "{ \"window\": { \"start\": \"00:00\", \"lengthMinutes\": 10081 } }",
                "{ \"sites\": [] }",
                "[]",
                "",
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct update_config c = {};
                struct error err = {};

                if (load(texts[i], &c, &err) >= 0)
                        fail_msg("taken: %s", texts[i]);
                assert_null(c.channel);
        }
}

static bool is_open(const char *start, uint64_t length, const char *day, int weekday, int hour,
                    int minute)
{
        struct update_window w = { .start = (char *)start, .length_minutes = length };
        struct tm now = { .tm_wday = weekday, .tm_hour = hour, .tm_min = minute };
        bool open;

        if (day)
                assert_int_equal(strv_extend(&w.days, day), 0);
        open = update_window_open(&w, &now);
        strv_free(w.days);
        return open;
}

static void test_window(void **state _unused_)
{
        enum { SUN, MON, TUE, SAT = 6 };

        assert_true(is_open(NULL, 0, NULL, MON, 12, 0));
        assert_true(is_open(NULL, 0, "Mon", MON, 0, 0));
        assert_false(is_open(NULL, 0, "Mon", TUE, 0, 0));
        assert_false(is_open("02:00", 60, NULL, MON, 1, 59));
        assert_true(is_open("02:00", 60, NULL, MON, 2, 0));
        assert_true(is_open("02:00", 60, NULL, MON, 2, 59));
        assert_false(is_open("02:00", 60, NULL, MON, 3, 0));
        assert_true(is_open("23:30", 90, "Sat", SAT, 23, 30)); /* over midnight … */
        assert_true(is_open("23:30", 90, "Sat", SUN, 0, 59));
        assert_false(is_open("23:30", 90, "Sat", SUN, 1, 0));
        assert_false(is_open("23:30", 90, "Sat", SUN, 23, 45));
        assert_true(is_open("23:30", 90, "Sun", MON, 0, 10)); /* … and over the week's end */
        assert_false(is_open("23:30", 90, "Sun", SUN, 0, 10));
        assert_true(is_open("00:00", 7 * 24 * 60, "Mon", SUN, 23, 59)); /* all week */
        assert_true(is_open("12:00", 7 * 24 * 60, "Mon", MON, 11, 59));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_window),
        };

        return test_run(tests);
}
