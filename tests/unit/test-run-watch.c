/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The watcher of a guest's console: what it finds in the text, and how a program's end is told. */

#include "test.h"

#include "run-watch.h"

static const char block[] = "boot\r\n\r\n======== Ignition failed: stage fetch-offline ========\r\n"
                            "Reason:     x\r\n";

static void test_pieces(void **state _unused_)
{
        for (size_t piece = 1; piece < sizeof(block); piece++) {
                struct watch w = WATCH_NULL;

                for (size_t at = 0; at < strlen(block); at += piece)
                        watch_feed(&w, block + at, MIN(piece, strlen(block) - at));
                assert_string_equal(w.stage, "fetch-offline");
        }
}

static void test_other_text(void **state _unused_)
{
        struct watch w = WATCH_NULL;

        for (int i = 0; i < 10000; i++)
                watch_feed(&w, "Ignition finished ", strlen("Ignition finished "));
        watch_feed(&w, "\n======== Ignition failed: stage ", 32);
        assert_string_equal(w.stage, "");
}

/* The command is a shell that writes where QEMU would. */
static int run(const char *script, struct error *err)
{
        _cleanup_watch_ struct watch w = WATCH_NULL;
        char command[256];

        assert_ok(watch_open(&w, err), err);
        snprintf(command, sizeof(command), "exec >/proc/self/fd/%d; %s", w.write_fd, script);
        return watch_run(&w, (char *[]){ "sh", "-c", command, NULL }, err);
}

static void test_status(void **state _unused_)
{
        struct error err = {};

        assert_int_equal(run("echo fine", &err), 0);
        assert_int_equal(run("exit 3", &err), 3);
        assert_int_equal(run("echo '======== Ignition failed: stage disks ========'", &err), -EIO);
        assert_non_null(strstr(err.message, "stage disks"));
}

static void test_no_program(void **state _unused_)
{
        _cleanup_watch_ struct watch w = WATCH_NULL;
        struct error err = {};

        assert_ok(watch_open(&w, &err), &err);
        assert_int_equal(watch_run(&w, (char *[]){ "/nothing/here", NULL }, &err), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pieces),
                cmocka_unit_test(test_other_text),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_no_program),
        };

        return test_run(tests);
}
