/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* execs COUNT PROGRAM: starts the program that often, one after the other, and prints how many
 * microseconds one start took in the mean, from vfork to exit. Static, as it runs on hosts that
 * have no library for it. A shell would mostly measure how it copies itself. */

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { COUNT_MAX = 1000000 };

static int fail(const char *what, int error)
{
        fprintf(stderr, "execs: %s: %s\n", what, strerror(error));
        return 1;
}

static double now_microseconds(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int run_once(char *const argv[])
{
        pid_t child;
        int status, r = posix_spawn(&child, argv[0], NULL, NULL, argv, (char *[]){ NULL });

        if (r != 0)
                return fail(argv[0], r);
        if (waitpid(child, &status, 0) != child)
                return fail(argv[0], errno);
        return status == 0 ? 0 : fail(argv[0], ECHILD);
}

int main(int argc, char *argv[])
{
        long count = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
        double start = now_microseconds();

        if (count < 1 || count > COUNT_MAX) {
                fputs("Usage: execs COUNT PROGRAM\n", stderr);
                return 2;
        }
        for (long i = 0; i < count; i++)
                if (run_once(argv + 2) != 0)
                        return 1;
        printf("%.0f\n", (now_microseconds() - start) / (double)count);
        return 0;
}
