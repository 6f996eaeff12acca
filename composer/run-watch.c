/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See run-watch.h. QEMU keeps the terminal; a pipe gets a copy of what the console prints, as the
 * log file of its character device. The mark is the first line of the block that the agent writes
 * on every console (ignition/report.c). */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "run-watch.h"

enum { EXIT_NO_PROGRAM = 127 };

static const char mark[] = "======== Ignition failed: stage ";
static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP };

int watch_open(struct watch *ret, struct error *err)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(err, "pipe");
        *ret = (struct watch){ .read_fd = fds[0], .write_fd = fds[1] };
        return 0;
}

void watch_done(struct watch *w)
{
        close_p(&w->read_fd);
        close_p(&w->write_fd);
        w->read_fd = w->write_fd = -1;
}

/* ---- the text ---- */

static void end_line(struct watch *w)
{
        const char *found;

        w->line[w->size] = '\0';
        w->size = 0;
        found = strstr(w->line, mark);
        if (found)
                sscanf(found + strlen(mark), "%31[a-z-]", w->stage);
}

void watch_feed(struct watch *w, const char *text, size_t size)
{
        for (size_t i = 0; i < size; i++) {
                if (text[i] == '\n')
                        end_line(w);
                else if (w->size < WATCH_LINE_MAX - 1)
                        w->line[w->size++] = text[i];
        }
}

/* ---- the program ---- */

static void exec_child(const struct watch *w, char *const argv[], const sigset_t *mask)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, mask, NULL);
        fcntl(w->write_fd, F_SETFD, 0);
        execvp(argv[0], argv);
        _exit(EXIT_NO_PROGRAM);
}

static void pass_on(int signals, pid_t child)
{
        struct signalfd_siginfo info;

        if (read(signals, &info, sizeof(info)) == sizeof(info))
                kill(child, (int)info.ssi_signo);
}

/* Until the program has closed its end. */
static void pump(struct watch *w, int signals, pid_t child)
{
        struct pollfd polls[] = { { w->read_fd, POLLIN, 0 }, { signals, POLLIN, 0 } };
        char chunk[4096];
        ssize_t n = 1;

        while (n != 0) {
                if (poll(polls, ARRAY_SIZE(polls), -1) < 0 && errno != EINTR)
                        return;
                if (polls[1].revents)
                        pass_on(signals, child);
                if (!polls[0].revents)
                        continue;
                n = read(w->read_fd, chunk, sizeof(chunk));
                if (n > 0)
                        watch_feed(w, chunk, (size_t)n);
        }
}

static int wait_for(pid_t child, int *ret_status, struct error *err)
{
        while (waitpid(child, ret_status, 0) < 0)
                if (errno != EINTR)
                        return error_errno(err, "wait");
        return 0;
}

static int start_and_pump(struct watch *w, char *const argv[], int signals, const sigset_t *mask,
                          int *ret_status, struct error *err)
{
        pid_t child = fork();

        if (child < 0)
                return error_errno(err, "fork");
        if (child == 0)
                exec_child(w, argv, mask);
        close_p(&w->write_fd);
        w->write_fd = -1;
        pump(w, signals, child);
        return wait_for(child, ret_status, err);
}

static int run(struct watch *w, char *const argv[], int *ret_status, struct error *err)
{
        _cleanup_close_ int signals = -1;
        sigset_t mask, old;
        int r;

        sigemptyset(&mask);
        for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
                sigaddset(&mask, passed_on[i]);
        signals = signalfd(-1, &mask, SFD_CLOEXEC);
        if (signals < 0 || sigprocmask(SIG_BLOCK, &mask, &old) < 0)
                return error_errno(err, "signals");
        r = start_and_pump(w, argv, signals, &old, ret_status, err);
        sigprocmask(SIG_SETMASK, &old, NULL);
        return r;
}

int watch_run(struct watch *w, char *const argv[], struct error *err)
{
        int status, r;

        r = run(w, argv, &status, err);
        if (r < 0)
                return r;
        if (*w->stage)
                return error_set(err, -EIO, "provisioning failed in stage %s; the console says why",
                                 w->stage);
        if (WIFSIGNALED(status)) {
                signal(WTERMSIG(status), SIG_DFL);
                raise(WTERMSIG(status));
        }
        if (WEXITSTATUS(status) == EXIT_NO_PROGRAM)
                return error_set(err, -ENOENT, "%s cannot be run", argv[0]);
        return WEXITSTATUS(status);
}
