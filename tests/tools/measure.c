/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* measure COMMAND [ARGUMENT...]: runs it, silent, and prints microseconds, peak KiB and
 * microseconds of the processor. Its own size is next to nothing, which matters: a child's peak
 * begins with its parent's. */

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static long long used_us(const struct rusage *usage)
{
        return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000LL +
               usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

int main(int argc, char *argv[])
{
        posix_spawn_file_actions_t actions;
        struct rusage usage;
        long long start;
        int status;
        pid_t pid;

        if (argc < 2)
                return 2;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        start = now_us();
        if (posix_spawn(&pid, argv[1], &actions, NULL, argv + 1, environ) != 0 ||
            wait4(pid, &status, 0, &usage) < 0)
                return 1;
        printf("%lld %ld %lld\n", now_us() - start, usage.ru_maxrss, used_us(&usage));
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
