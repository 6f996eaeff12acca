/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The history: there and back, torn lines, trimming, many writers, and what must not be read. */

#include "test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "history.h"
#include "strv.h"

static struct sha256 hash_of(uint8_t byte)
{
        struct sha256 h;

        memset(h.bytes, byte, sizeof(h.bytes));
        return h;
}

static void append(const char *path, int kind, uint8_t hash, char **journal)
{
        struct history_event e = { .time = 1790000000,
                                   .kind = kind,
                                   .version = (char *)"1.0.1",
                                   .root_hash = hash_of(hash),
                                   .journal = journal };
        struct error err = {};

        assert_ok(history_append(path, &e, &err), &err);
}

static void load(const char *path, struct history *ret, size_t count, size_t passed_over)
{
        struct error err = {};

        assert_ok(history_load(path, ret, &err), &err);
        assert_int_equal(ret->count, count);
        assert_int_equal(ret->passed_over, passed_over);
}

static void test_round_trip(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/a/b/history.jsonl", directory);
        char *lines[] = { (char *)"one", (char *)"tab\there, \"quoted\", \xc3\xa9", NULL };
        struct history_event e = {
                .time = 1790000000,
                .kind = HISTORY_UNHEALTHY,
                .version = (char *)"1.0.1~rc1",
                .root_hash = hash_of(0xab),
                .tries = 2,
                .boot_id = (char *)"00112233445566778899aabbccddeeff",
                .check = (char *)"units",
                .reason = (char *)"a.service is failed",
                .journal = lines,
        };
        _cleanup_(history_done) struct history none = {}, h = {};
        struct error err = {};

        load(path, &none, 0, 0);
        assert_ok(history_append(path, &e, &err), &err);
        load(path, &h, 1, 0);
        assert_int_equal(h.items[0].time, e.time);
        assert_int_equal(h.items[0].kind, e.kind);
        assert_string_equal(h.items[0].version, e.version);
        assert_true(sha256_equal(&h.items[0].root_hash, &e.root_hash));
        assert_int_equal(h.items[0].tries, 2);
        assert_string_equal(h.items[0].boot_id, e.boot_id);
        assert_string_equal(h.items[0].check, e.check);
        assert_string_equal(h.items[0].reason, e.reason);
        assert_int_equal(strv_length(h.items[0].journal), 2);
        assert_string_equal(h.items[0].journal[1], "tab?here, \"quoted\", ??");
        test_rmdir(directory);
}

/* A power cut in the middle of a line: what was before stays, and what comes next is not spoilt. */
static void test_torn(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/history.jsonl", directory);
        struct stat st;

        append(path, HISTORY_STAGED, 1, NULL);
        append(path, HISTORY_BOOTED, 1, NULL);
        assert_int_equal(stat(path, &st), 0);
        for (off_t size = st.st_size - 1; size > st.st_size / 2; size -= 7) {
                _cleanup_(history_done) struct history torn = {}, more = {};

                assert_int_equal(truncate(path, size), 0);
                load(path, &torn, 1, 1);
                append(path, HISTORY_GOOD, 1, NULL);
                /* Only the newline was torn off: then the line is whole again. */
                load(path, &more, size == st.st_size - 1 ? 3 : 2, size == st.st_size - 1 ? 0 : 1);
                assert_int_equal(more.items[more.count - 1].kind, HISTORY_GOOD);
        }
        test_rmdir(directory);
}

static void test_trim(void **state _unused_)
{
        char *directory = test_mkdir(), line[HISTORY_TEXT_MAX + 100];
        _cleanup_free_ char *path = string_format("%s/history.jsonl", directory);
        char *lines[2 * HISTORY_JOURNAL_LINES + 1] = {};
        _cleanup_(history_done) struct history h = {};
        struct error err = {};
        struct stat st;

        memset(line, '"', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\0';
        for (size_t i = 0; i < 2 * HISTORY_JOURNAL_LINES; i++)
                lines[i] = line;
        append(path, HISTORY_STAGED, 1, NULL);
        for (unsigned i = 0; i < 120; i++) {
                append(path, HISTORY_UNHEALTHY, 2, lines);
                assert_int_equal(stat(path, &st), 0);
                assert_true(st.st_size <= HISTORY_SIZE_MAX);
        }
        append(path, HISTORY_FELL_BACK, 2, NULL);
        assert_ok(history_load(path, &h, &err), &err);
        assert_int_equal(h.passed_over, 0);
        assert_true(h.count > 20 && h.count < 120);
        assert_int_equal(h.items[0].kind, HISTORY_UNHEALTHY);
        assert_int_equal(h.items[h.count - 1].kind, HISTORY_FELL_BACK);
        assert_int_equal(strv_length(h.items[0].journal), HISTORY_JOURNAL_LINES);
        assert_int_equal(strlen(h.items[0].journal[0]), HISTORY_TEXT_MAX);
        test_rmdir(directory);
}

/* A file that grew by other hands is too large to read, and the next line mends that. */
static void test_too_large(void **state _unused_)
{
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/history.jsonl", directory);
        _cleanup_(history_done) struct history h = {};
        struct error err = {};

        append(path, HISTORY_STAGED, 1, NULL);
        assert_int_equal(truncate(path, 2 * HISTORY_SIZE_MAX), 0);
        assert_int_equal(history_load(path, &h, &err), -EFBIG);
        append(path, HISTORY_GOOD, 1, NULL);
        load(path, &h, 1, 0);
        test_rmdir(directory);
}

static void test_writers(void **state _unused_)
{
        enum { WRITERS = 4, LINES = 15 };
        char *directory = test_mkdir();
        _cleanup_free_ char *path = string_format("%s/history.jsonl", directory);
        _cleanup_(history_done) struct history h = {};
        pid_t pids[WRITERS];
        int status;

        for (unsigned i = 0; i < WRITERS; i++) {
                pids[i] = fork();
                if (pids[i] != 0)
                        continue;
                for (unsigned n = 0; n < LINES; n++)
                        append(path, HISTORY_BOOTED, (uint8_t)i, NULL);
                free(path);
                free(directory);
                _exit(0);
        }
        for (unsigned i = 0; i < WRITERS; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_int_equal(status, 0);
        }
        load(path, &h, WRITERS * LINES, 0);
        test_rmdir(directory);
}

static void test_failed(void **state _unused_)
{
        static const struct {
                int kinds[4];
                bool failed;
        } cases[] = {
                { { HISTORY_STAGED, HISTORY_BOOTED, HISTORY_UNHEALTHY, -1 }, false },
                { { HISTORY_STAGED, HISTORY_UNHEALTHY, HISTORY_FELL_BACK, -1 }, true },
                { { HISTORY_FELL_BACK, HISTORY_GOOD, -1, -1 }, false },
                { { HISTORY_GOOD, HISTORY_FELL_BACK, HISTORY_STAGED, -1 }, true },
                { { HISTORY_GOOD, HISTORY_ROLLED_BACK, -1, -1 }, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct sha256 ours = hash_of(1), others = hash_of(2);
                struct history_event events[4] = {};
                struct history h = { .items = events };

                for (; h.count < 4 && cases[i].kinds[h.count] >= 0; h.count++)
                        events[h.count] = (struct history_event){ .kind = cases[i].kinds[h.count],
                                                                  .root_hash = ours };
                assert_int_equal(history_failed(&h, &ours), cases[i].failed);
                assert_false(history_failed(&h, &others));
        }
}

/* Files of tests/data/history: should-fail-* have nothing that can be read, others nothing that
 * cannot. */
static void test_corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(TEST_DATA_DIR "/history");
        struct error err = {};
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                _cleanup_(history_done) struct history h = {};
                _cleanup_free_ char *text = NULL;
                size_t size;

                if (e->d_name[0] == '.')
                        continue;
                assert_ok(file_read(dirfd(d), e->d_name, HISTORY_SIZE_MAX, &text, &size, &err),
                          &err);
                assert_ok(history_parse(text, size, &h, &err), &err);
                if (startswith(e->d_name, "should-fail-"))
                        assert_true(h.count == 0 && h.passed_over > 0);
                else
                        assert_true(h.count > 0 && h.passed_over == 0);
                n++;
        }
        assert_true(n >= 10);
}

static void test_no_directory(void **state _unused_)
{
        struct history_event e = { .version = (char *)"1" };
        struct error err = {};

        assert_int_equal(history_append("/dev/null/x/history.jsonl", &e, &err), -ENOTDIR);
        assert_non_null(strstr(err.message, "/dev/null"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip), cmocka_unit_test(test_torn),
                cmocka_unit_test(test_trim),       cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_writers),    cmocka_unit_test(test_failed),
                cmocka_unit_test(test_corpus),     cmocka_unit_test(test_no_directory),
        };

        return test_run(tests);
}
