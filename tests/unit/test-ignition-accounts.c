/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Table files, and the users and groups in them: what is not changed stays byte for byte, ids are
 * chosen as shadow-utils does, and everything that cannot be a field is refused. */

#include <unistd.h>

#include "root-test.h"
#include "userdb.h"

struct fixture {
        char *top;
        struct root root;
        struct journal journal;
        struct userdb db;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        f->db.lock_fd = -1;
        setenv("SOURCE_DATE_EPOCH", "864000", 1);
        f->top = root_make(NULL, &f->root);
        assert_int_equal(mkdirat(f->root.fd, "etc", 0755), 0);
        put(&f->root, "etc/login.defs", "USERGROUPS_ENAB yes\n");
        put(&f->root, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
        put(&f->root, "etc/shadow", "root:*:1:0:99999:7:::\n");
        put(&f->root, "etc/group", "root:x:0:\nwheel:x:10:root\nusers:x:100:\n");
        put(&f->root, "etc/gshadow", "root:*::\nwheel:*::root\nusers:*::\n");
        put(&f->root, "etc/subuid", "");
        put(&f->root, "etc/subgid", "");
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        userdb_done(&f->db);
        journal_done(&f->journal);
        root_drop(&f->root, f->top);
        free(f);
        return 0;
}

static void open_db(struct fixture *f)
{
        enum journal_state found;
        struct error err = {};

        assert_ok(journal_open(&f->root, "/etc/result", &f->journal, &found, &err), &err);
        assert_ok(userdb_open(&f->root, &f->journal, true, &f->db, &err), &err);
}

static void write_db(struct fixture *f)
{
        struct error err = {};

        assert_ok(userdb_write(&f->db, &err), &err);
}

static const char odd_lines[] = "# a comment\n\nroot:x:0:0:root:/root:/bin/bash\n+@nis::::::\n"
                                "short:x\nmany:1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18\n"
                                "latin:x:5:5:\xe4:/:/bin/sh\n+\n";

static void test_table_keeps_lines(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *want = NULL;
        struct table t;
        struct error err = {};
        struct stat st;

        put(&f->root, "etc/table", odd_lines);
        assert_int_equal(fchmodat(f->root.fd, "etc/table", 0640, 0), 0);
        assert_ok(table_load(&f->root, "/etc/table", &t, &err), &err);
        assert_null(table_find(&t, "# a comment"));
        assert_null(table_find(&t, "+"));
        assert_int_equal(row_number(table_find(&t, "latin"), 2), 5);
        assert_true(row_number(table_find(&t, "short"), 2) == UINT64_MAX);
        assert_ok(table_add(&t, (const char *const[]){ "new", "y", "", NULL }, &err), &err);
        assert_ok(table_write(&t, &f->root, &err), &err);
        table_done(&t);
        want = string_format("%snew:y:\n", odd_lines);
        assert_text(&f->root, "etc/table", want);
        assert_true(root_stat(&f->root, "etc/table", &st));
        assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_table_fields(void **state)
{
        static const char *const bad[] = { "a:b", "a\nb", "\r", "\x7f", "a\tb" };
        struct fixture *f = *state;
        struct table t;
        struct table_row *row;
        struct error err = {};

        put(&f->root, "etc/table", "a:x");
        assert_ok(table_load(&f->root, "/etc/table", &t, &err), &err);
        row = table_find(&t, "a");
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(table_set(&t, row, 1, bad[i], &err), -EINVAL);
        assert_false(t.dirty);
        assert_ok(table_set(&t, row, 3, "d", &err), &err);
        assert_ok(member_add(&t, row, 3, "e", &err), &err);
        assert_ok(member_add(&t, row, 3, "e", &err), &err);
        assert_ok(member_add(&t, row, 3, "de", &err), &err);
        assert_string_equal(row_field(row, 3), "d,e,de");
        assert_true(member_of(row, 3, "de"));
        assert_false(member_of(row, 3, "d,e"));
        assert_ok(member_remove(&t, row, 3, "e", &err), &err);
        assert_string_equal(row_field(row, 3), "d,de");
        assert_ok(member_remove(&t, row, 3, "de", &err), &err);
        assert_ok(member_remove(&t, row, 3, "d", &err), &err);
        assert_string_equal(row_field(row, 3), "");
        assert_ok(table_write(&t, &f->root, &err), &err);
        assert_text(&f->root, "etc/table", "a:x::\n");
        table_done(&t);
}

#define YES                                                                                        \
        {                                                                                          \
                true, true                                                                         \
        }
#define NO                                                                                         \
        {                                                                                          \
                true, false                                                                        \
        }
#define NUMBER(n)                                                                                  \
        {                                                                                          \
                true, n                                                                            \
        }

static void test_new_user(void **state)
{
        static const char *groups[] = { "wheel", "100" };
        const struct user user = {
                .name = "core", .password_hash = "$y$hash", .gecos = "Core", .groups = { groups, 2 }
        };
        struct fixture *f = *state;
        struct error err = {};
        struct stat st;

        open_db(f);
        assert_ok(user_apply(&f->db, &user, &err), &err);
        if (geteuid() != 0)
                f->db.home_count = 0; /* only root gives directories away */
        write_db(f);
        assert_text(
                &f->root, "etc/passwd",
                "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000:Core:/home/core:/bin/bash\n");
        assert_text(&f->root, "etc/shadow", "root:*:1:0:99999:7:::\ncore:$y$hash:10::::::\n");
        assert_text(&f->root, "etc/group",
                    "root:x:0:\nwheel:x:10:root,core\nusers:x:100:core\ncore:x:1000:\n");
        assert_text(&f->root, "etc/gshadow",
                    "root:*::\nwheel:*::root,core\nusers:*::core\ncore:!::\n");
        assert_text(&f->root, "etc/subuid", "core:100000:65536\n");
        if (geteuid() != 0)
                return;
        assert_true(root_stat(&f->root, "home/core", &st));
        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_int_equal(st.st_uid, 1000);
}

/* The day of the last change is SOURCE_DATE_EPOCH's; the first day of all is none, since 0 would
 * demand a new password. The day of expiry comes from useradd's defaults, in either form. */
static void test_dates(void **state)
{
        static const struct {
                const char *epoch, *defaults, *changed, *expire;
        } cases[] = {
                { "86399", "", "", "" },
                { "86400", "EXPIRE=\n", "1", "" },
                { "1700000000", "EXPIRE=2030-01-01\n", "19675", "21915" },
                { "1700000000", "EXPIRE=12345\n", "19675", "12345" },
                { "1700000000", "EXPIRE=2030-01-01x\n", "19675", "" },
        };
        const struct user user = { .name = "a", .no_create_home = YES };
        struct fixture *f = *state;

        assert_int_equal(mkdirat(f->root.fd, "etc/default", 0755), 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct table_row *row;
                struct error err = {};

                setenv("SOURCE_DATE_EPOCH", cases[i].epoch, 1);
                put(&f->root, "etc/default/useradd", cases[i].defaults);
                open_db(f);
                assert_ok(user_apply(&f->db, &user, &err), &err);
                row = table_find(&f->db.shadow, "a");
                assert_string_equal(row_field(row, SHADOW_CHANGED), cases[i].changed);
                assert_string_equal(row_field(row, 7), cases[i].expire);
                userdb_done(&f->db);
                journal_done(&f->journal);
        }
}

/* The ranges of subordinate ids end up sorted, the new one last, in the first gap. */
static void test_sub_ids(void **state)
{
        const struct user user = { .name = "new", .no_create_home = YES };
        struct fixture *f = *state;
        struct error err = {};

        put(&f->root, "etc/subuid", "b:300000:65536\na:100000:65536\nodd\n");
        open_db(f);
        assert_ok(user_apply(&f->db, &user, &err), &err);
        f->db.home_count = 0;
        write_db(f);
        assert_text(&f->root, "etc/subuid",
                    "a:100000:65536\nb:300000:65536\nodd\nnew:165536:65536\n");
}

static void test_ids(void **state)
{
        const struct user plain = { .name = "a", .no_create_home = YES };
        const struct user system = { .name = "b", .system = YES, .no_create_home = YES };
        const struct group group = { .name = "g", .gid = NUMBER(1001) };
        struct fixture *f = *state;
        struct error err = {};
        uint64_t id;

        put(&f->root, "etc/passwd",
            "r:x:0:0:::\nlow:x:1005:0:::\nhigh:x:65534:0:::\ns:x:998:0:::\n");
        open_db(f);
        assert_ok(user_apply(&f->db, &plain, &err), &err);
        assert_ok(user_apply(&f->db, &system, &err), &err);
        assert_int_equal(row_number(table_find(&f->db.passwd, "a"), PASSWD_UID), 1006);
        assert_int_equal(row_number(table_find(&f->db.passwd, "b"), PASSWD_UID), 997);
        assert_ok(group_apply(&f->db, &group, &err), &err);
        /* the end of the range is taken: the first gap */
        assert_ok(table_add(&f->db.passwd, (const char *const[]){ "e", "x", "60000", NULL }, &err),
                  &err);
        assert_ok(userdb_new_id(&f->db, &f->db.passwd, PASSWD_UID, "UID", false, &id, &err), &err);
        assert_int_equal(id, 1000);
}

static void test_login_defs(void **state)
{
        const struct user user = { .name = "a", .no_create_home = YES };
        struct fixture *f = *state;
        struct error err = {};

        put(&f->root, "etc/login.defs",
            "# UID_MIN 1\nUID_MIN\t\t 5000\nUID_MAX 5001\nPASS_MAX_DAYS 90\n");
        open_db(f);
        assert_ok(user_apply(&f->db, &user, &err), &err);
        assert_int_equal(row_number(table_find(&f->db.passwd, "a"), PASSWD_UID), 5000);
        assert_string_equal(row_field(table_find(&f->db.shadow, "a"), 4), "90");
}

static void test_no_free_id(void **state)
{
        const struct user users[] = { { .name = "a" }, { .name = "b" } };
        struct fixture *f = *state;
        struct error err = {};

        put(&f->root, "etc/login.defs", "UID_MIN 5000\nUID_MAX 5000\n");
        open_db(f);
        assert_ok(user_apply(&f->db, &users[0], &err), &err);
        assert_int_equal(user_apply(&f->db, &users[1], &err), -EDQUOT);
}

/* Changing a user touches only what is asked for. */
static void test_changed_user(void **state)
{
        static const char *groups[] = { "users" };
        const struct user again = { .name = "root", .password_hash = "", .groups = { groups, 1 } };
        struct fixture *f = *state;
        struct error err = {};

        open_db(f);
        assert_ok(user_apply(&f->db, &again, &err), &err);
        write_db(f);
        assert_text(&f->root, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
        assert_text(&f->root, "etc/shadow", "root:*:10:0:99999:7:::\n");
        assert_text(&f->root, "etc/group", "root:x:0:\nwheel:x:10:\nusers:x:100:root\n");
        assert_text(&f->root, "etc/gshadow", "root:*::\nwheel:*::\nusers:*::root\n");
}

static void test_removed_user(void **state)
{
        const struct user user = { .name = "core", .no_create_home = YES };
        const struct user gone = { .name = "core", .should_exist = NO };
        struct fixture *f = *state;
        struct error err = {};

        open_db(f);
        assert_ok(user_apply(&f->db, &user, &err), &err);
        assert_ok(user_apply(&f->db, &gone, &err), &err);
        assert_ok(user_apply(&f->db, &gone, &err), &err);
        write_db(f);
        assert_text(&f->root, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
        assert_text(&f->root, "etc/shadow", "root:*:1:0:99999:7:::\n");
        assert_text(&f->root, "etc/group", "root:x:0:\nwheel:x:10:root\nusers:x:100:\n");
        assert_text(&f->root, "etc/subuid", "");
}

/* A home that another user has too, or one inside it, stays. */
static void test_shared_home(void **state)
{
        const struct user gone = { .name = "toor", .should_exist = NO };
        struct fixture *f = *state;
        struct error err = {};
        struct stat st;

        put(&f->root, "etc/passwd", "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n");
        assert_int_equal(mkdirat(f->root.fd, "root", 0700), 0);
        open_db(f);
        assert_ok(user_apply(&f->db, &gone, &err), &err);
        write_db(f);
        assert_text(&f->root, "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        assert_true(root_stat(&f->root, "root", &st));
}

static void test_refused_users(void **state)
{
        static const char *nobody[] = { "nobody-here" };
        static const struct {
                struct user user;
                int code;
        } cases[] = {
                { { .name = NULL }, -EINVAL },
                { { .name = "" }, -EINVAL },
                { { .name = "a:b" }, -EINVAL },
                { { .name = "a\nb" }, -EINVAL },
                { { .name = "-a" }, -EINVAL },
                { { .name = "#a" }, -EINVAL },
                { { .name = ".." }, -EINVAL },
                { { .name = "1000" }, -EINVAL },
                { { .name = "a\x01" }, -EINVAL },
                { { .name = "a", .gecos = "x:y" }, -EINVAL },
                { { .name = "a", .gecos = "x\ny:x:0:0" }, -EINVAL },
                { { .name = "a", .shell = "/bin/sh\n" }, -EINVAL },
                { { .name = "a", .password_hash = "x:0" }, -EINVAL },
                { { .name = "a", .home_dir = "relative" }, -EINVAL },
                { { .name = "a", .home_dir = "relative", .no_create_home = YES }, -EINVAL },
                { { .name = "a", .uid = NUMBER(-1) }, -ERANGE },
                { { .name = "a", .uid = NUMBER(4294967295) }, -ERANGE },
                { { .name = "a", .uid = NUMBER(4294967296) }, -ERANGE },
                { { .name = "a", .uid = NUMBER(0) }, -EEXIST },
                { { .name = "a", .primary_group = "nobody-here" }, -ESRCH },
                { { .name = "a", .groups = { nobody, 1 } }, -ESRCH },
                { { .name = "wheel" }, -EEXIST },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error err = {};
                int r;

                open_db(f);
                r = user_apply(&f->db, &cases[i].user, &err);
                if (r != cases[i].code)
                        fail_msg("case %zu: %d %s", i, r, err.message);
                userdb_done(&f->db);
                journal_done(&f->journal);
        }
        open_db(f);
        assert_text(&f->root, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
}

static void test_groups(void **state)
{
        const struct group added = { .name = "ops", .gid = NUMBER(700), .password_hash = "h" };
        const struct group moved = { .name = "root", .gid = NUMBER(5) };
        const struct group taken = { .name = "x", .gid = NUMBER(10) };
        const struct group gone = { .name = "wheel", .should_exist = NO };
        const struct group primary = { .name = "root", .should_exist = NO };
        struct fixture *f = *state;
        struct error err = {};

        open_db(f);
        assert_ok(group_apply(&f->db, &added, &err), &err);
        assert_ok(group_apply(&f->db, &moved, &err), &err);
        assert_int_equal(group_apply(&f->db, &taken, &err), -EEXIST);
        assert_ok(group_apply(&f->db, &gone, &err), &err);
        assert_int_equal(group_apply(&f->db, &primary, &err), -EBUSY);
        write_db(f);
        assert_text(&f->root, "etc/group", "root:x:5:\nusers:x:100:\nops:x:700:\n");
        assert_text(&f->root, "etc/gshadow", "root:*::\nusers:*::\nops:h::\n");
        assert_text(&f->root, "etc/passwd", "root:x:0:5:root:/root:/bin/bash\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_table_keeps_lines),
                TEST(test_table_fields),
                TEST(test_new_user),
                TEST(test_dates),
                TEST(test_sub_ids),
                TEST(test_ids),
                TEST(test_login_defs),
                TEST(test_no_free_id),
                TEST(test_changed_user),
                TEST(test_removed_user),
                TEST(test_shared_home),
                TEST(test_refused_users),
                TEST(test_groups),
        };

        return test_run(tests);
}
