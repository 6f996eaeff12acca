/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The journal: what was noted comes back, whatever an attempt did; damage is refused. */

#include <unistd.h>

#include "journal.h"
#include "root-test.h"

static const char result[] = "/etc/result";

struct fixture {
        char *top;
        struct root root;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        f->top = root_make(NULL, &f->root);
        assert_int_equal(mkdirat(f->root.fd, "etc", 0755), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        root_drop(&f->root, f->top);
        free(f);
        return 0;
}

static enum journal_state open_journal(struct fixture *f, struct journal *j)
{
        enum journal_state state = JOURNAL_NONE;
        struct error err = {};

        assert_ok(journal_open(&f->root, result, j, &state, &err), &err);
        return state;
}

/* Notes by fn and commits, as an attempt does before it is cut off. */
static void begin(struct fixture *f, void (*fn)(struct journal *j, struct error *err))
{
        struct journal j;
        struct error err = {};

        assert_int_equal(open_journal(f, &j), JOURNAL_NONE);
        fn(&j, &err);
        assert_ok(journal_commit(&j, &err), &err);
        journal_done(&j);
}

static void undo(struct fixture *f)
{
        struct journal j;
        struct error err = {};

        assert_int_equal(open_journal(f, &j), JOURNAL_INTERRUPTED);
        assert_ok(journal_undo(&j, &err), &err);
        /* cut off while undoing: again, with the same outcome */
        assert_ok(journal_undo(&j, &err), &err);
        assert_ok(journal_remove(&j, &err), &err);
        journal_done(&j);
        assert_int_equal(open_journal(f, &j), JOURNAL_NONE);
        journal_done(&j);
}

static void note_paths(struct journal *j, struct error *err)
{
        assert_ok(journal_note(j, "new", false, err), err);
        assert_ok(journal_note(j, "deep/in/there", false, err), err);
        assert_ok(journal_note(j, "kept", false, err), err);
        assert_ok(journal_note(j, " odd\nname\xff", false, err), err);
        assert_ok(journal_note(j, "replaced", true, err), err);
}

static void test_paths(void **state)
{
        struct fixture *f = *state;
        struct error err = {};
        struct stat st;

        put(&f->root, "kept", "abc");
        put(&f->root, "replaced", "old");
        put(&f->root, " odd\nname\xff", "abc");
        begin(f, note_paths);
        put(&f->root, "new", "x");
        assert_ok(path_mkdirs(f->root.fd, "deep/in/there", 0700, &err), &err);
        put(&f->root, "deep/in/there/file", "x");
        assert_int_equal(unlinkat(f->root.fd, "kept", 0), 0);
        put(&f->root, "kept", "abcdef");
        put(&f->root, " odd\nname\xff", "abcdef");
        assert_int_equal(fchmodat(f->root.fd, "kept", 04711, 0), 0);
        put(&f->root, "replaced", "quite new");
        put(&f->root, ".replaced.0badcafe", "half");
        put(&f->root, ".new.0badcafe", "half");
        undo(f);
        assert_false(is_there(&f->root, "new"));
        assert_false(is_there(&f->root, "deep"));
        assert_false(is_there(&f->root, ".new.0badcafe"));
        assert_false(is_there(&f->root, ".replaced.0badcafe"));
        assert_text(&f->root, "kept", "abc");
        assert_text(&f->root, " odd\nname\xff", "abc");
        assert_true(root_stat(&f->root, "kept", &st));
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_text(&f->root, "replaced", "quite new");
}

static void note_below(struct journal *j, struct error *err)
{
        char path[32];

        for (unsigned i = 0; i < 3; i++) {
                snprintf(path, sizeof(path), "opt/%u/file", i);
                assert_ok(journal_note(j, path, i == 1, err), err);
        }
        assert_ok(journal_note(j, "other", false, err), err);
}

static int count_path(const char *path, bool absent, void *userdata)
{
        assert_true(absent);
        *(unsigned *)userdata += 1 + 10 * streq(path, "opt");
        return 0;
}

/* What all of them are in is noted once. */
static void test_absent_once(void **state)
{
        struct fixture *f = *state;
        enum journal_state journal_state;
        struct journal j = {};
        struct error err = {};
        unsigned n = 0;

        assert_ok(journal_open(&f->root, "/etc/result", &j, &journal_state, &err), &err);
        note_below(&j, &err);
        assert_int_equal(journal_for_paths(&j, count_path, &n), 0);
        assert_int_equal(n, 12);
        journal_done(&j);
}

static void note_texts(struct journal *j, struct error *err)
{
        assert_ok(journal_note_text(j, "etc/passwd", err), err);
        assert_ok(journal_note_text(j, "etc/shadow", err), err);
        assert_ok(journal_note_text(j, "etc/empty", err), err);
        assert_ok(journal_note_text(j, "etc/subuid", err), err);
}

static void test_texts(void **state)
{
        struct fixture *f = *state;
        struct stat st;

        put(&f->root, "etc/passwd", "root:x:0:0\xe4\n\nn 5 0 0 0 etc\n");
        put(&f->root, "etc/shadow", "root:*\n");
        put(&f->root, "etc/empty", "");
        assert_int_equal(fchmodat(f->root.fd, "etc/shadow", 0640, 0), 0);
        begin(f, note_texts);
        put(&f->root, "etc/passwd", "");
        assert_int_equal(unlinkat(f->root.fd, "etc/shadow", 0), 0);
        put(&f->root, "etc/empty", "x");
        put(&f->root, "etc/subuid", "x");
        undo(f);
        assert_text(&f->root, "etc/passwd", "root:x:0:0\xe4\n\nn 5 0 0 0 etc\n");
        assert_text(&f->root, "etc/shadow", "root:*\n");
        assert_text(&f->root, "etc/empty", "");
        assert_true(root_stat(&f->root, "etc/shadow", &st));
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_false(is_there(&f->root, "etc/subuid"));
}

static void note_move(struct journal *j, struct error *err)
{
        assert_ok(journal_note(j, "srv/homes/core", false, err), err);
        assert_ok(journal_note_move(j, "home/core", "srv/homes/core", err), err);
}

/* The new place was absent, and is removed: but not with what was moved there. */
static void test_moves(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        assert_ok(path_mkdirs(f->root.fd, "home/core", 0755, &err), &err);
        put(&f->root, "home/core/precious", "x");
        begin(f, note_move);
        assert_ok(path_mkdirs(f->root.fd, "srv/homes", 0755, &err), &err);
        assert_int_equal(renameat(f->root.fd, "home/core", f->root.fd, "srv/homes/core"), 0);
        undo(f);
        assert_text(&f->root, "home/core/precious", "x");
        assert_false(is_there(&f->root, "srv"));
}

static void note_nothing(struct journal *j _unused_, struct error *err _unused_)
{
}

static void note_unit(struct journal *j, struct error *err)
{
        assert_false(journal_was_enabled(j, "a.service"));
        assert_ok(journal_note_enabled(j, "a.service", err), err);
}

/* Which units were enabled is known through any number of attempts. */
static void test_units(void **state)
{
        struct fixture *f = *state;
        struct error err = {};

        begin(f, note_unit);
        for (int i = 0; i < 3; i++) {
                struct journal j;

                assert_int_equal(open_journal(f, &j), JOURNAL_INTERRUPTED);
                assert_ok(journal_undo(&j, &err), &err);
                assert_true(journal_was_enabled(&j, "a.service"));
                assert_false(journal_was_enabled(&j, "b.service"));
                assert_ok(journal_commit(&j, &err), &err);
                journal_done(&j);
        }
}

static void test_finished(void **state)
{
        struct fixture *f = *state;
        struct journal j;

        begin(f, note_nothing);
        put(&f->root, "etc/result", "{}");
        assert_int_equal(open_journal(f, &j), JOURNAL_FINISHED);
        journal_done(&j);
        assert_int_equal(unlinkat(f->root.fd, "etc/.ignition-journal", 0), 0);
        /* a later run, on a system that has a result already */
        begin(f, note_nothing);
        assert_int_equal(open_journal(f, &j), JOURNAL_INTERRUPTED);
        journal_done(&j);
        put(&f->root, "etc/result", "{\"previous\":{}}");
        assert_int_equal(open_journal(f, &j), JOURNAL_FINISHED);
        journal_done(&j);
}

static void note_all(struct journal *j, struct error *err)
{
        note_paths(j, err);
        note_texts(j, err);
        note_move(j, err);
        note_unit(j, err);
}

/* A journal cut anywhere is undone in part or refused, never misread. */
static void test_damage(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *text = NULL;
        struct error err = {};
        size_t size, refused = 0;

        put(&f->root, "etc/passwd", "root:x:0:0\n");
        begin(f, note_all);
        assert_ok(file_read(f->root.fd, "etc/.ignition-journal", 10000, &text, &size, &err), &err);
        for (size_t n = 0; n < size; n++) {
                enum journal_state found = JOURNAL_NONE;
                struct journal j;
                int r;

                assert_ok(file_write(f->root.fd, "etc/.ignition-journal", text, n, 0600, &err),
                          &err);
                r = journal_open(&f->root, result, &j, &found, &err);
                if (r >= 0)
                        r = journal_undo(&j, &err);
                refused += r < 0;
                assert_true(r == 0 || r == -EINVAL);
                journal_done(&j);
                assert_text(&f->root, "etc/passwd", "root:x:0:0\n");
        }
        assert_true(refused > size / 2);
}

static void test_private(void **state)
{
        struct fixture *f = *state;
        struct stat st;

        /* /etc may lead elsewhere in the root */
        assert_int_equal(unlinkat(f->root.fd, "etc", AT_REMOVEDIR), 0);
        assert_int_equal(symlinkat("/usr/etc", f->root.fd, "etc"), 0);
        begin(f, note_nothing);
        assert_true(root_stat(&f->root, "usr/etc/.ignition-journal", &st));
        assert_int_equal(st.st_mode & 07777, 0600);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_paths), TEST(test_absent_once), TEST(test_texts),  TEST(test_moves),
                TEST(test_units), TEST(test_finished),    TEST(test_damage), TEST(test_private),
        };

        return test_run(tests);
}
