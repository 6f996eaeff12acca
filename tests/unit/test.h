/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every unit test includes: cmocka with what it needs, and a check that no fd leaks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "io.h"

static inline size_t test_count_fds(void)
{
        _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        while (dir && readdir(dir))
                n++;
        return n;
}

static inline int test_group_setup(void **state)
{
        *state = (void *)(uintptr_t)test_count_fds();
        return 0;
}

/* Every test of a group must have closed what it opened. */
static inline int test_group_teardown(void **state)
{
        return test_count_fds() == (size_t)(uintptr_t)*state ? 0 : -1;
}

/* valgrind is slow, and its posix_spawn() never says that there is no program. */
static inline bool test_is_watched(void)
{
        return getenv("SLIPWAY_VALGRIND") != NULL;
}

#define test_run(tests) cmocka_run_group_tests(tests, test_group_setup, test_group_teardown)

/* r must be 0 or more; shows the error's message otherwise. */
#define assert_ok(r, err)                                                                          \
        do {                                                                                       \
                if ((r) < 0)                                                                       \
                        fail_msg("%s", (err)->message);                                            \
        } while (0)

/* A private directory; removed with its content by test_rmdir(). */
static inline char *test_mkdir(void)
{
        char template[] = "/tmp/slipway-test-XXXXXX";
        char *path = mkdtemp(template);

        assert_non_null(path);
        return strdup(path);
}

static inline void test_rmdir(char *path)
{
        struct error err = {};

        assert_ok(path_remove_tree(AT_FDCWD, path, &err), &err);
        free(path);
}
