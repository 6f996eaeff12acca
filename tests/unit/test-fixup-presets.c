/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* unit-file.c, fixup-presets.c, fixup-layer-config.c. */

#include "fixup-test.h"
#include "unit-file.h"

#define UNITS "/usr/lib/systemd/system/"
#define LINKS "/usr/etc/systemd/system/"

static void test_presets(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, UNITS "a.service",
            "[Unit]\nWantedBy=not.target\n[Install]\n# x\nWantedBy = multi-user.target "
            "other.target\nAlias=dbus-%p.service\nAlso=b.socket\n",
            0644);
        put(f.c.tree, UNITS "b.socket", "[Install]\nRequiredBy=sockets.target\n", 0644);
        put(f.c.tree, UNITS "c.service", "[Install]\nWantedBy=x.target\n", 0644);
        put(f.c.tree, UNITS "d.service", "[Install]\nWantedBy=x.target\n", 0644);
        put(f.c.tree, UNITS "d.service.d/x.conf", "[Install]\nWantedBy=\nUpheldBy=y.target\n",
            0644);
        put(f.c.tree, UNITS "e.service", "[Install]\nWantedBy=x.target\n", 0644);
        put_link(f.c.tree, LINKS "e.service", "/dev/null");
        put_link(f.c.tree, UNITS "alias.service", "c.service");
        put(f.c.tree, "/usr/lib/systemd/system-preset/90-x.preset",
            "disable b.socket\ndisable c.*\nenable *\n", 0644);
        assert_ok(fixup_presets(&f.c, &err), &err);
        assert_link(f.c.tree, LINKS "multi-user.target.wants/a.service", UNITS "a.service");
        assert_link(f.c.tree, LINKS "other.target.wants/a.service", UNITS "a.service");
        assert_link(f.c.tree, LINKS "dbus-a.service", UNITS "a.service");
        assert_link(f.c.tree, LINKS "sockets.target.requires/b.socket", UNITS "b.socket");
        assert_link(f.c.tree, LINKS "y.target.upholds/d.service", UNITS "d.service");
        assert_absent(f.c.tree, LINKS "x.target.wants");
        assert_absent(f.c.tree, LINKS "not.target.wants");
}

/* Instances come from the preset, from DefaultInstance=, or there are no links. */
static void test_templates(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, UNITS "a@.service", "[Install]\nWantedBy=%i.target\n", 0644);
        put(f.c.tree, UNITS "b@.service", "[Install]\nWantedBy=m.target\nDefaultInstance=tty1\n",
            0644);
        put(f.c.tree, UNITS "c@.service", "[Install]\nWantedBy=m.target\n", 0644);
        put(f.c.tree, UNITS "d.service", "[Install]\nWantedBy=%H.target\n", 0644);
        put(f.c.tree, "/usr/lib/systemd/system-preset/1.preset", "enable a@.service x y\n", 0644);
        assert_ok(fixup_presets(&f.c, &err), &err);
        assert_link(f.c.tree, LINKS "x.target.wants/a@x.service", UNITS "a@.service");
        assert_link(f.c.tree, LINKS "y.target.wants/a@y.service", UNITS "a@.service");
        assert_link(f.c.tree, LINKS "m.target.wants/b@tty1.service", UNITS "b@.service");
        assert_int_equal(tree_lookup(f.c.tree, LINKS "m.target.wants")->n_children, 1);
        assert_finding(&f.result, "unit d.service",
                       "[Install]: %H.target: specifier %H is not known at build time");
}

/* A layer's own unit file in /etc, its links, and the users' manager. */
static void test_scopes(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put(f.c.tree, LINKS "own.service", "[Install]\nWantedBy=x.target y.target\n", 0644);
        put(f.c.tree, UNITS "own.service", "[Install]\nWantedBy=z.target\n", 0644);
        put_link(f.c.tree, LINKS "y.target.wants/own.service", "../kept");
        put(f.c.tree, "/usr/lib/systemd/user/u.socket", "[Install]\nWantedBy=sockets.target\n",
            0644);
        assert_ok(fixup_presets(&f.c, &err), &err);
        assert_link(f.c.tree, LINKS "x.target.wants/own.service",
                    "/etc/systemd/system/own.service");
        assert_link(f.c.tree, LINKS "y.target.wants/own.service", "../kept");
        assert_absent(f.c.tree, LINKS "z.target.wants");
        assert_link(f.c.tree, "/usr/etc/systemd/user/sockets.target.wants/u.socket",
                    "/usr/lib/systemd/user/u.socket");
}

static void test_layer_config(void **state)
{
        struct alternative alternative = { (char *)"/bin/x", (char *)"y" };
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        f.layers[0].units.enable = (char *[]){ (char *)"a.service", (char *)"b.service", NULL };
        f.layers[0].tmpfiles = (char *[]){ (char *)"d /x", (char *)"d /y", NULL };
        f.layers[1].units.enable = (char *[]){ (char *)"getty@tty1.service", NULL };
        f.layers[1].units.disable = (char *[]){ (char *)"b.service", NULL };
        f.layers[1].units.mask = (char *[]){ (char *)"m.service", NULL };
        f.layers[1].sysusers = (char *[]){ (char *)"u x -", NULL };
        f.layers[1].alternatives.items = &alternative;
        f.layers[1].alternatives.count = 1;
        assert_ok(fixup_layer_config(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/lib/systemd/system-preset/10-slipway-one.preset",
                    "enable a.service\n");
        assert_text(f.c.tree, "/usr/lib/systemd/system-preset/10-slipway-two.preset",
                    "enable getty@.service tty1\ndisable b.service\n");
        assert_text(f.c.tree, "/usr/lib/tmpfiles.d/slipway-one.conf", "d /x\nd /y\n");
        assert_text(f.c.tree, "/usr/lib/sysusers.d/slipway-two.conf", "u x -\n");
        assert_link(f.c.tree, LINKS "m.service", "/dev/null");
        assert_link(f.c.tree, "/usr/bin/x", "y");
        assert_absent(f.c.tree, "/usr/lib/sysusers.d/slipway-one.conf");
}

static void test_missing_unit(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        f.layers[1].units.enable = (char *[]){ (char *)"typo.service", NULL };
        assert_int_equal(fixup_presets(&f.c, &err), -ENOENT);
        assert_string_equal(err.message,
                            "layer 'two' enables unit 'typo.service', which is not in the image");
}

static void test_specifiers(void **state)
{
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        (void)state;
        assert_ok(unit_specifiers("%p|%i|%j|%n|%N|%%", "a-b@c.service", &text, &err), &err);
        assert_string_equal(text, "a-b|c|b|a-b@c.service|a-b@c|%");
        assert_int_equal(unit_specifiers("x%", "a.service", &text, &err), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_presets),      cmocka_unit_test(test_templates),
                cmocka_unit_test(test_scopes),       cmocka_unit_test(test_layer_config),
                cmocka_unit_test(test_missing_unit), cmocka_unit_test(test_specifiers),
        };

        return test_run(tests);
}
