/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Running checks. Each try is a process: one that hangs, even in the kernel, or crashes takes
 * nobody with it, and ends (with what it has started, its process group) when its time is up. It
 * says why it failed through a pipe, and whether by its exit status. Between two tries of a check
 * is a pause, which grows. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "health.h"
#include "strv.h"

enum { PAUSE_FIRST_MS = 100, PAUSE_LAST_MS = 2000, POLL_MS = 100 };
enum { DEATH_POLLS = 20, DEATH_POLL_US = 5000 };
enum { EXIT_FAILED = 1, EXIT_NEVER_AGAIN = 2 };

struct trial {
        const struct health_check *check;
        pid_t pid; /* 0: none runs */
        int pipe;
        uint64_t pause;
        uint64_t at; /* when it is killed; when none runs: when the next starts. ms */
        bool passed, final;
        char heard[HEALTH_REASON_MAX + 1]; /* from the one that runs */
        size_t n_heard;
        char reason[HEALTH_REASON_MAX + 1]; /* of the last that failed */
};

static uint64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_BOOTTIME, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- one try ---- */

static _Noreturn void child(const struct health_check *c, int fd)
{
        struct error err = {};
        int r;

        setpgid(0, 0);
        r = c->ops->try(c, &err);
        if (r >= 0)
                _exit(0);
        dprintf(fd, "%s", err.message);
        _exit(r == -EBADMSG ? EXIT_NEVER_AGAIN : EXIT_FAILED);
}

static void try_failed(struct trial *t, const char *reason)
{
        snprintf(t->reason, sizeof(t->reason), "%s", reason);
        t->at = now_ms() + t->pause;
        t->pause = MIN(2 * t->pause, (uint64_t)PAUSE_LAST_MS);
}

static int try_start(struct trial *t)
{
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        t->pid = fork();
        if (t->pid == 0)
                child(t->check, fds[1]);
        r = t->pid < 0 ? -errno : 0;
        close(fds[1]);
        if (r < 0) {
                t->pid = 0;
                close(fds[0]);
                return r;
        }
        setpgid(t->pid, t->pid); /* whoever is first */
        t->pipe = fds[0];
        t->n_heard = 0;
        t->at = now_ms() + t->check->timeout * 1000;
        return 0;
}

/* The pipe's end comes with the process's, unless a program that it started lives on. */
static void try_hear(struct trial *t)
{
        ssize_t n = read(t->pipe, t->heard + t->n_heard, sizeof(t->heard) - 1 - t->n_heard);

        if (n > 0)
                t->n_heard += (size_t)n;
        t->heard[t->n_heard] = '\0';
}

static void try_end(struct trial *t)
{
        kill(-t->pid, SIGKILL);
        close(TAKE_FD(t->pipe));
        t->pid = 0;
}

static void try_reap(struct trial *t)
{
        char crash[64];
        int status;

        if (waitpid(t->pid, &status, WNOHANG) <= 0)
                return;
        fcntl(t->pipe, F_SETFL, O_NONBLOCK);
        try_hear(t);
        try_end(t);
        t->passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        t->final = t->passed || (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NEVER_AGAIN);
        if (WIFSIGNALED(status)) {
                snprintf(crash, sizeof(crash), "the check was killed by signal %d",
                         WTERMSIG(status));
                try_failed(t, crash);
        } else if (!t->passed) {
                try_failed(t, t->heard);
        }
}

/* Killed, and given a moment to die; one that the kernel holds stays behind. */
static void try_kill(struct trial *t)
{
        kill(-t->pid, SIGKILL);
        for (unsigned n = 0; n < DEATH_POLLS && waitpid(t->pid, NULL, WNOHANG) == 0; n++)
                usleep(DEATH_POLL_US);
        try_end(t);
}

static void try_overdue(struct trial *t)
{
        char late[64];

        try_kill(t);
        snprintf(late, sizeof(late), "no answer within %ju s", (uintmax_t)t->check->timeout);
        try_failed(t, late);
}

static void trial_step(struct trial *t)
{
        int r;

        if (t->final)
                return;
        if (t->pid > 0)
                try_reap(t);
        if (t->final || now_ms() < t->at)
                return;
        if (t->pid > 0) {
                try_overdue(t);
                return;
        }
        r = try_start(t);
        if (r < 0)
                try_failed(t, strerror(-r));
}

/* ---- all of them ---- */

static void tell(const struct health_watcher *w, const struct trial *t)
{
        if (w && w->tell)
                w->tell(w->userdata, t->check, t->passed ? NULL : t->reason);
}

/* Until something happens, or may have to. */
static void wait_a_moment(const struct trial *trials, size_t count)
{
        struct pollfd polls[HEALTH_CHECKS_MAX];
        nfds_t n = 0;

        for (size_t i = 0; i < count && n < ARRAY_SIZE(polls); i++)
                if (trials[i].pid > 0)
                        polls[n++] = (struct pollfd){ .fd = trials[i].pipe, .events = 0 };
        poll(polls, n, POLL_MS);
}

/* How many have passed; *ret_final when one cannot pass any more. */
static size_t step_all(struct trial *trials, size_t count, const struct health_watcher *watcher,
                       bool *ret_final)
{
        size_t passed = 0;

        for (size_t i = 0; i < count; i++) {
                bool before = trials[i].final;

                trial_step(&trials[i]);
                if (trials[i].passed && !before)
                        tell(watcher, &trials[i]);
                passed += trials[i].passed;
                *ret_final |= trials[i].final && !trials[i].passed;
        }
        return passed;
}

static void name_failure(const struct trial *trials, size_t count,
                         const struct health_watcher *watcher, struct health_failure *ret)
{
        const struct trial *first = NULL;

        for (size_t i = 0; i < count; i++) {
                if (trials[i].passed)
                        continue;
                /* One that cannot pass ended it, whatever the others would have come to. */
                if (!first || (trials[i].final && !first->final))
                        first = &trials[i];
                tell(watcher, &trials[i]);
        }
        snprintf(ret->check, sizeof(ret->check), "%s", first->check->name);
        snprintf(ret->reason, sizeof(ret->reason), "%s", first->reason);
}

int health_run(const struct health *h, const struct health_watcher *watcher,
               struct health_failure *ret, struct error *err)
{
        _cleanup_free_ struct trial *trials = calloc(h->checks.count + 1, sizeof(*trials));
        const struct health_check *checks = h->checks.items;
        uint64_t deadline = now_ms() + h->deadline * 1000;
        size_t count = h->checks.count, passed;
        bool final = false;

        if (!trials)
                return error_oom(err);
        for (size_t i = 0; i < count; i++) {
                trials[i] =
                        (struct trial){ .check = &checks[i], .pipe = -1, .pause = PAUSE_FIRST_MS };
                snprintf(trials[i].reason, sizeof(trials[i].reason),
                         "no answer before the deadline");
        }
        while ((passed = step_all(trials, count, watcher, &final)) < count && !final &&
               now_ms() < deadline)
                wait_a_moment(trials, count);
        for (size_t i = 0; i < count; i++)
                if (trials[i].pid > 0)
                        try_kill(&trials[i]);
        if (passed == count)
                return 0;
        name_failure(trials, count, watcher, ret);
        return error_set(err, -ETIME, "%s: %s", ret->check, ret->reason);
}
