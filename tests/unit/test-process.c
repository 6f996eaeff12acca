/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting programs beside threads whose descriptors must be closed when they are closed. A lock of
 * flock() is such: it is held until the last copy of its descriptor is gone. */

#include <fcntl.h>
#include <sys/file.h>

#include "parallel.h"
#include "process.h"
#include "test.h"

enum { ROUNDS = 300, LOCKS_IN_A_ROUND = 20 };

static int lock_once(const char *path, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                return error_errno(err, "lock");
        return 0;
}

static int lock_often(const char *path, struct error *err)
{
        int r = 0;

        for (int i = 0; r >= 0 && i < LOCKS_IN_A_ROUND; i++) {
                spawn_hold();
                r = lock_once(path, err);
                spawn_release();
        }
        return r;
}

static int lock_or_start(void *context, size_t index, struct error *err)
{
        static const char *const program[] = { "true", NULL };
        int r = 0;

        for (int i = 0; r >= 0 && i < ROUNDS; i++)
                r = index == 0 ? lock_often(context, err) : spawn(program, NULL, NULL, err);
        return r;
}

static void test_hold(void **state _unused_)
{
        char path[] = "/tmp/slipway-process-XXXXXX";
        struct error err = {};
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        close(fd);
        assert_ok(parallel_for(3, 3, lock_or_start, path, &err), &err);
        unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hold),
        };

        return test_run(tests);
}
