/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See process.h (which is not spawn.h, because that is the system's header). stdout and stderr are
 * captured through pipes read together, so that a child that writes much to one never blocks. */

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "interrupt.h"
#include "io.h"
#include "process.h"
#include "strv.h"

extern char **environ;

enum { OUTPUT_LIMIT = 1024 * 1024, POLL_MS = 100 };

const struct spawn_options spawn_says = { .stdout_fd = STDERR_FILENO, .stderr_fd = STDERR_FILENO };

/* Of the process, as its descriptors are: starting a program is writing, holding it off reading. */
static pthread_rwlock_t starting = PTHREAD_RWLOCK_INITIALIZER;

void spawn_hold(void)
{
        pthread_rwlock_rdlock(&starting);
}

void spawn_release(void)
{
        pthread_rwlock_unlock(&starting);
}

struct stream {
        int fd;
        size_t limit;
        struct buffer text;
};

static void stream_done(struct stream *s)
{
        close_p(&s->fd);
        buffer_done(&s->text);
}

static int make_pipe(struct stream *s, int *ret_write, struct error *err)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(err, "pipe");
        s->fd = fds[0];
        *ret_write = fds[1];
        return 0;
}

/* Reads what is there; closes the stream at its end. */
static void stream_pump(struct stream *s)
{
        char chunk[4096];
        ssize_t n = read(s->fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
                return;
        if (n <= 0) {
                close(TAKE_FD(s->fd));
                return;
        }
        if (s->text.size < s->limit)
                buffer_append(&s->text, chunk, MIN((size_t)n, s->limit - s->text.size));
}

/* Until the child has closed both; it ends when we are to end. */
static void streams_drain(struct stream *out, struct stream *errors, pid_t child)
{
        while (out->fd >= 0 || errors->fd >= 0) {
                struct pollfd polls[] = { { out->fd, POLLIN, 0 }, { errors->fd, POLLIN, 0 } };

                if (interrupt_check(NULL) < 0)
                        kill(child, SIGTERM);
                if (poll(polls, ARRAY_SIZE(polls), POLL_MS) < 0 && errno != EINTR)
                        return;
                if (polls[0].revents)
                        stream_pump(out);
                if (polls[1].revents)
                        stream_pump(errors);
        }
}

/* The last non-empty line, or "" */
static const char *last_line(struct buffer *text)
{
        char *line;

        while (text->size > 0 && (text->data[text->size - 1] == '\n'))
                text->data[--text->size] = '\0';
        if (text->size == 0)
                return "";
        line = strrchr(text->data, '\n');
        return line ? line + 1 : text->data;
}

/* Nobody holds it off: a child that is just becoming its program may close what it has copies of
 * after posix_spawn() has returned here, so it must have nothing that matters. */
static int start_alone(pid_t *ret, const char *const argv[],
                       const posix_spawn_file_actions_t *actions, char *const *environment)
{
        char administration[NAME_MAX + sizeof("/usr/sbin/")];
        int code;

        pthread_rwlock_wrlock(&starting);
        code = posix_spawnp(ret, argv[0], actions, NULL, (char *const *)argv, environment);
        if (code == ENOENT && !strchr(argv[0], '/')) {
                /* mkfs.vfat, depmod: not in the PATH of ordinary users. */
                snprintf(administration, sizeof(administration), "/usr/sbin/%s", argv[0]);
                code = posix_spawn(ret, administration, actions, NULL, (char *const *)argv,
                                   environment);
        }
        pthread_rwlock_unlock(&starting);
        return code;
}

static int start(const char *const argv[], const struct spawn_options *o, int out, int errors,
                 pid_t *ret, struct error *err)
{
        char *const *environment = o->environment ? (char *const *)o->environment : environ;
        posix_spawn_file_actions_t actions;
        int code;

        posix_spawn_file_actions_init(&actions);
        if (o->stdin_fd > 0)
                posix_spawn_file_actions_adddup2(&actions, o->stdin_fd, STDIN_FILENO);
        else
                posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
        code = start_alone(ret, argv, &actions, environment);
        posix_spawn_file_actions_destroy(&actions);
        return code == 0 ? 0 : error_code(err, -code, "%s", argv[0]);
}

static int wait_for(pid_t pid, const char *name, struct buffer *errors, struct error *err)
{
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_errno(err, "%s: wait", name);
        if (WIFSIGNALED(status))
                return error_set(err, -ECHILD, "%s: killed by signal %d", name, WTERMSIG(status));
        if (WEXITSTATUS(status) != 0)
                return error_set(err, -ECHILD, "%s: exit status %d: %s", name, WEXITSTATUS(status),
                                 last_line(errors));
        return 0;
}

int spawn(const char *const argv[], const struct spawn_options *options, char **ret_output,
          struct error *err)
{
        static const struct spawn_options none = {};
        const struct spawn_options *o = options ?: &none;
        _cleanup_(stream_done) struct stream out = { -1, o->output_limit ?: OUTPUT_LIMIT, {} };
        _cleanup_(stream_done) struct stream errors = { -1, OUTPUT_LIMIT, {} };
        _cleanup_close_ int out_write = -1, errors_write = -1;
        pid_t pid;
        int r;

        r = o->stderr_fd > 0 ? 0 : make_pipe(&errors, &errors_write, err);
        if (r >= 0 && o->stdout_fd <= 0)
                r = make_pipe(&out, &out_write, err);
        if (r < 0)
                return r;
        r = start(argv, o, o->stdout_fd > 0 ? o->stdout_fd : out_write,
                  o->stderr_fd > 0 ? o->stderr_fd : errors_write, &pid, err);
        if (r < 0)
                return r;
        if (errors_write >= 0)
                close(TAKE_FD(errors_write));
        if (out_write >= 0)
                close(TAKE_FD(out_write));
        streams_drain(&out, &errors, pid);
        r = wait_for(pid, argv[0], &errors.text, err);
        if (r < 0)
                return r;
        if (ret_output && buffer_take(&out.text, ret_output, NULL) < 0)
                return error_oom(err);
        return 0;
}
