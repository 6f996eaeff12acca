/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* accounts.c, sysusers.c, fixup-users.c, fixup-attributes.c. */

#include "fixup-test.h"
#include "sysusers.h"

static const char passwd_master[] = "root:*:0:0:root:/root:/bin/bash\n"
                                    "nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
static const char group_master[] = "root:*:0:\nshadow:*:42:\nnogroup:*:65534:\n";

static void put_masters(struct fixture *f)
{
        put(f->c.tree, "/usr/share/base-passwd/passwd.master", passwd_master, 0644);
        put(f->c.tree, "/usr/share/base-passwd/group.master", group_master, 0644);
}

static void test_files(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put_masters(&f);
        fixture_package(&f, "openssh-client", "1");
        put(f.c.tree, "/usr/lib/sysusers.d/b.conf",
            "# comment\n"
            "u! daemon-b - \"The \\\"b\\\" daemon\" /var/b\n"
            "u fixed 200:shadow - - /bin/sh\n"
            "u nogrp -:nogroup\n"
            "g render -\n"
            "m fixed render\n"
            "m new newgroup\n",
            0644);
        put(f.c.tree, "/usr/lib/sysusers.d/c.conf", "u fixed 300\n", 0644);
        assert_ok(fixup_users(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/etc/passwd",
                    "root:x:0:0:root:/root:/bin/bash\n"
                    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
                    "daemon-b:x:996:996:The \"b\" daemon:/var/b:/usr/sbin/nologin\n"
                    "new:x:995:995::/:/usr/sbin/nologin\n"
                    "fixed:x:200:42::/:/bin/sh\n"
                    "nogrp:x:994:65534::/:/usr/sbin/nologin\n");
        assert_text(f.c.tree, "/usr/etc/group",
                    "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n_ssh:x:999:\n"
                    "newgroup:x:998:new\nrender:x:997:fixed\ndaemon-b:x:996:\nnew:x:995:\n");
        assert_text(f.c.tree, "/usr/etc/shadow",
                    "root:*:::::::\nnobody:*:::::::\ndaemon-b:!*::::::1:\nnew:*:::::::\n"
                    "fixed:*:::::::\nnogrp:*:::::::\n");
        assert_text(f.c.tree, "/usr/etc/gshadow",
                    "root:*::\nshadow:*::\nnogroup:*::\n_ssh:*::\nnewgroup:*::new\n"
                    "render:*::fixed\ndaemon-b:*::\nnew:*::\n");
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/shadow")->inode->mode & 07777, 0640);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/shadow")->inode->gid, 42);
        assert_int_equal(f.result.users.count, 3);
        assert_string_equal(f.result.users.items[0].name, "daemon-b");
        assert_int_equal(f.result.users.items[0].id, 996);
        assert_int_equal(f.result.groups.count, 5);
}

/* The lock keeps ids, also of names that have gone, and gives them to nobody else. */
static void test_lock(void **state)
{
        struct id_allocation users[] = { { (char *)"b", 500 }, { (char *)"gone", 999 } };
        struct id_allocation groups[] = { { (char *)"b", 501 }, { (char *)"g", 998 } };
        struct lock lock = { .users = { users, 2 }, .groups = { groups, 2 } };
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        f.c.lock = &lock;
        put(f.c.tree, "/usr/lib/sysusers.d/x.conf", "u a -\nu b -\ng g -\n", 0644);
        assert_ok(fixup_users(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/etc/passwd",
                    "a:x:997:997::/:/usr/sbin/nologin\nb:x:500:501::/:/usr/sbin/nologin\n");
        assert_int_equal(f.result.users.count, 3);
        assert_string_equal(f.result.users.items[2].name, "gone");
        assert_int_equal(f.result.users.items[2].id, 999);
}

static int apply_lines(const char *lines, const struct lock *lock, struct error *err)
{
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        f.c.lock = lock;
        put_masters(&f);
        put(f.c.tree, "/usr/lib/sysusers.d/x.conf", lines, 0644);
        return fixup_users(&f.c, err);
}

static void test_errors(void **state)
{
        static const struct {
                const char *lines;
                int code;
        } cases[] = {
                { "x name -", -EINVAL },
                { "u", -EINVAL },
                { "u na/me -", -EINVAL },
                { "u 1name -", -EINVAL },
                { "u name - \"open", -EINVAL },
                { "u name - a:b", -EINVAL },
                { "u name - %H", -EINVAL },
                { "u name - - - - more", -EINVAL },
                { "m name", -EINVAL },
                { "r - 5", -EINVAL },
                { "u name 65534", -EEXIST },
                { "g name 42", -EEXIST },
                { "u name 7:missing", -ENOENT },
                { "u a 7\nu b 7", -EEXIST },
                { "r - 300-301\nu a -\nu b -\nu c -", -ENOSPC },
        };
        struct id_allocation taken = { (char *)"name", 65534 };
        struct lock lock = { .users = { &taken, 1 } };
        struct error err = {};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int r;

                /* A range that cannot be read matters when somebody needs an id. */
                if (streq(cases[i].lines, "r - 5"))
                        r = apply_lines("r - 5\nu a -", NULL, &err);
                else
                        r = apply_lines(cases[i].lines, NULL, &err);
                if (r != cases[i].code)
                        fail_msg("'%s': %d, %s", cases[i].lines, r, err.message);
        }
        assert_int_equal(apply_lines("u name -", &lock, &err), -EEXIST);
        assert_ok(apply_lines("r - 300-301\nu a -\nu b -", NULL, &err), &err);
        assert_ok(apply_lines("u a 7\nu a 8\nu root 3\n", NULL, &err), &err);
}

/* An id taken from the owner of a path; administrators' files hide vendors' of the same name. */
static void test_sources(void **state)
{
        _cleanup_fixture_ struct fixture f;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        tree_inode_set_owner(put(f.c.tree, "/usr/etc/owned", "", 0644)->inode, 77, 78);
        put(f.c.tree, "/usr/lib/sysusers.d/x.conf", "u hidden 5\n", 0644);
        put(f.c.tree, "/usr/etc/sysusers.d/x.conf", "u u /etc/owned\ng g /etc/owned\n", 0644);
        f.layers[1].sysusers = (char *[]){ (char *)"u layered 9", NULL };
        assert_ok(fixup_users(&f.c, &err), &err);
        assert_text(f.c.tree, "/usr/etc/passwd",
                    "layered:x:9:9::/:/usr/sbin/nologin\nu:x:77:77::/:/usr/sbin/nologin\n");
        assert_int_equal(accounts_group(&f.c.accounts, "g")->gid, 78);
}

/* Attributes change for one name only, though packages' equal files share an inode. */
static void test_attributes(void **state)
{
        struct attribute attributes[] = {
                { (char *)"/bin/a", (char *)"root", (char *)"shadow", 02755 },
                { (char *)"/etc/x", NULL, NULL, 0600 },
        };
        _cleanup_fixture_ struct fixture f;
        struct tree_node *a;
        struct error err = {};

        (void)state;
        fixture_init(&f);
        put_masters(&f);
        assert_ok(fixup_users(&f.c, &err), &err);
        a = put(f.c.tree, "/usr/bin/a", "a", 0755);
        assert_ok(tree_link(a->parent, "b", a->inode, NULL, &err), &err);
        put(f.c.tree, "/usr/etc/x", "x", 0644);
        put(f.c.tree, "/usr/etc/sudoers", "", 0644);
        f.layers[0].attributes.items = attributes;
        f.layers[0].attributes.count = 2;
        assert_ok(fixup_attributes(&f.c, &err), &err);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/bin/a")->inode->mode & 07777, 02755);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/bin/a")->inode->gid, 42);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/bin/b")->inode->mode & 07777, 0755);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/x")->inode->mode & 07777, 0600);
        assert_int_equal(tree_lookup(f.c.tree, "/usr/etc/sudoers")->inode->mode & 07777, 0440);
        attributes[1].user = (char *)"missing";
        assert_int_equal(fixup_attributes(&f.c, &err), -ENOENT);
        assert_string_equal(err.message, "layer 'one': attributes: /etc/x: user 'missing' is not "
                                         "in the image");
        attributes[1].path = (char *)"/etc/missing";
        assert_int_equal(fixup_attributes(&f.c, &err), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files),      cmocka_unit_test(test_lock),
                cmocka_unit_test(test_errors),     cmocka_unit_test(test_sources),
                cmocka_unit_test(test_attributes),
        };

        return test_run(tests);
}
