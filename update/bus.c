/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update daemon: org.slipway.Update1 on the system bus, for root (sd-bus refuses others,
 * and so does the bus by its policy).
 *
 * The work is done by the same program in a child process, whose progress comes over a pipe: so the
 * bus gets its answers while a slot is written, Cancel is a SIGTERM, and a crash is the child's.
 * One child at a time. Who calls Check or Rollback waits for the child's end; Apply answers at
 * once, and the properties tell the rest. Without work and callers the daemon ends after a while;
 * the bus starts it again. */

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "io.h"
#include "status.h"
#include "strv.h"
#include "verbs.h"

#define BUS_NAME   "org.slipway.Update1"
#define BUS_PATH   "/org/slipway/Update1"
#define BUS_BUSY   "org.slipway.Update1.Busy"
#define BUS_IDLE   "org.slipway.Update1.Idle"
#define BUS_FAILED "org.slipway.Update1.Failed"

enum { IDLE_SECONDS = 60, OUTPUT_MAX = 64 * 1024, ARGUMENTS_MAX = 16, LINE_BUFFER = 512 };

struct daemon {
        const struct arguments *arguments;
        sd_bus *bus;
        sd_event *event;
        pid_t child; /* 0: none */
        int output_fd, errors_fd, progress_fd;
        char line[LINE_BUFFER]; /* of progress, not ended yet */
        size_t line_size;
        sd_bus_message *caller; /* who waits for the child's end */
        sd_event_source *child_source, *progress_source;
        enum upgrade_phase phase;
        uint64_t done, total;
        char *last_error; /* of the last child; NULL: it went well */
};

static void daemon_done(struct daemon *d)
{
        sd_event_source_unref(d->child_source);
        sd_event_source_unref(d->progress_source);
        sd_bus_message_unref(d->caller);
        close_p(&d->output_fd);
        close_p(&d->errors_fd);
        close_p(&d->progress_fd);
        free(d->last_error);
        sd_bus_flush_close_unref(d->bus);
        sd_event_unref(d->event);
}

static void changed(struct daemon *d)
{
        (void)sd_bus_emit_properties_changed(d->bus, BUS_PATH, BUS_NAME, "State", "Progress",
                                             "LastError", NULL);
}

/* ---- the child ---- */

static void add_place(const char **argv, size_t *n, const char *option, const char *value)
{
        if (value) {
                argv[(*n)++] = option;
                argv[(*n)++] = value;
        }
}

/* In the child: becomes the program with the same places. */
static _Noreturn void become(const struct daemon *d, const char *verb, int progress_fd)
{
        const struct host_places *places = &d->arguments->options.places;
        const char *argv[ARGUMENTS_MAX] = { "slipway-update", "--json", "--progress-fd" };
        char number[16];
        sigset_t none;
        size_t n = 3;

        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        snprintf(number, sizeof(number), "%d", progress_fd);
        argv[n++] = number;
        add_place(argv, &n, "--root", places->root);
        add_place(argv, &n, "--disk", places->disk);
        add_place(argv, &n, "--esp", places->esp);
        add_place(argv, &n, "--cmdline", places->command_line);
        argv[n++] = verb;
        if (dup2(d->output_fd, STDOUT_FILENO) >= 0 && dup2(d->errors_fd, STDERR_FILENO) >= 0 &&
            fcntl(progress_fd, F_SETFD, 0) >= 0)
                execv("/proc/self/exe", (char *const *)argv);
        _exit(127);
}

static void on_line(struct daemon *d, const char *line)
{
        if (progress_parse(line, &d->phase, &d->done, &d->total) >= 0)
                changed(d);
}

static int on_progress(sd_event_source *source, int fd, uint32_t events _unused_, void *userdata)
{
        struct daemon *d = userdata;
        ssize_t n = read(fd, d->line + d->line_size, sizeof(d->line) - 1 - d->line_size);
        char *end;

        if (n <= 0)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        d->line_size += (size_t)n;
        d->line[d->line_size] = '\0';
        while ((end = memchr(d->line, '\n', d->line_size))) {
                *end++ = '\0';
                on_line(d, d->line);
                d->line_size -= (size_t)(end - d->line);
                memmove(d->line, end, d->line_size + 1);
        }
        if (d->line_size == sizeof(d->line) - 1) /* no such line of ours */
                d->line_size = 0;
        return 0;
}

/* What a child wrote to a file in memory, without the line's end. */
static char *take_output(int fd)
{
        char *text = calloc(1, OUTPUT_MAX + 1);
        size_t n = 0;

        if (!text || io_pread(fd, text, OUTPUT_MAX, 0, &n, NULL) < 0)
                n = 0;
        while (n > 0 && text[n - 1] == '\n')
                text[--n] = '\0';
        return text;
}

static void answer(struct daemon *d, const char *output)
{
        if (d->last_error)
                (void)sd_bus_reply_method_errorf(d->caller, BUS_FAILED, "%s", d->last_error);
        else
                (void)sd_bus_reply_method_return(d->caller, "s", output ?: "");
        d->caller = sd_bus_message_unref(d->caller);
}

static char *why(const siginfo_t *si, const char *errors)
{
        if (si->si_code != CLD_EXITED)
                return string_format("ended by signal %d", si->si_status);
        if (*errors)
                return strdup(startswith(errors, "slipway-update: ") ?: errors);
        return string_format("exit status %d", si->si_status);
}

static int on_child(sd_event_source *source _unused_, const siginfo_t *si, void *userdata)
{
        struct daemon *d = userdata;
        _cleanup_free_ char *output = take_output(d->output_fd),
                            *errors = take_output(d->errors_fd);
        bool good = si->si_code == CLD_EXITED && si->si_status == 0;

        free(d->last_error);
        d->last_error = good ? NULL : why(si, errors ?: "");
        d->child = 0;
        d->phase = UPGRADE_IDLE;
        d->done = d->total = 0;
        d->line_size = 0;
        d->child_source = sd_event_source_unref(d->child_source);
        d->progress_source = sd_event_source_unref(d->progress_source);
        close_p(&d->output_fd);
        close_p(&d->errors_fd);
        close_p(&d->progress_fd);
        d->output_fd = d->errors_fd = d->progress_fd = -1;
        if (d->caller)
                answer(d, output);
        changed(d);
        (void)sd_bus_emit_properties_changed(d->bus, BUS_PATH, BUS_NAME, "Slots", NULL);
        return 0;
}

static int start(struct daemon *d, const char *verb)
{
        int fds[2];

        d->output_fd = memfd_create("output", MFD_CLOEXEC);
        d->errors_fd = memfd_create("errors", MFD_CLOEXEC);
        if (d->output_fd < 0 || d->errors_fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        d->progress_fd = fds[0];
        d->child = fork();
        if (d->child == 0)
                become(d, verb, fds[1]);
        close(fds[1]);
        if (d->child < 0) {
                d->child = 0;
                return -errno;
        }
        (void)sd_event_add_io(d->event, &d->progress_source, d->progress_fd, EPOLLIN, on_progress,
                              d);
        return sd_event_add_child(d->event, &d->child_source, d->child, WEXITED, on_child, d);
}

/* ---- methods ---- */

static int begin(struct daemon *d, const char *verb, sd_bus_error *error)
{
        int r;

        if (d->child > 0)
                return sd_bus_error_set(error, BUS_BUSY, "something is under way already");
        r = start(d, verb);
        return r < 0 ? sd_bus_error_set_errno(error, r) : 0;
}

static int begin_and_wait(struct daemon *d, const char *verb, sd_bus_message *m,
                          sd_bus_error *error)
{
        int r = begin(d, verb, error);

        if (r < 0)
                return r;
        d->caller = sd_bus_message_ref(m);
        return 1;
}

static int method_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return begin_and_wait(userdata, "check", m, error);
}

static int method_rollback(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return begin_and_wait(userdata, "rollback", m, error);
}

static int method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        int r = begin(userdata, "apply", error);

        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        struct daemon *d = userdata;

        if (d->child == 0)
                return sd_bus_error_set(error, BUS_IDLE, "nothing is under way");
        if (kill(d->child, SIGTERM) < 0)
                return sd_bus_error_set_errno(error, -errno);
        return sd_bus_reply_method_return(m, NULL);
}

/* ---- properties ---- */

static int get_state(sd_bus *bus _unused_, const char *path _unused_,
                     const char *interface _unused_, const char *property _unused_,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
        const struct daemon *d = userdata;
        bool starting = d->child > 0 && d->phase == UPGRADE_IDLE;

        return sd_bus_message_append(reply, "s",
                                     starting ? "starting" : upgrade_phase_names[d->phase]);
}

static int get_progress(sd_bus *bus _unused_, const char *path _unused_,
                        const char *interface _unused_, const char *property _unused_,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
        const struct daemon *d = userdata;

        return sd_bus_message_append(reply, "(tt)", d->done, d->total);
}

static int get_last_error(sd_bus *bus _unused_, const char *path _unused_,
                          const char *interface _unused_, const char *property _unused_,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
        const struct daemon *d = userdata;

        return sd_bus_message_append(reply, "s", d->last_error ?: "");
}

static int append_slots(sd_bus_message *reply, const struct status *s)
{
        int r = sd_bus_message_open_container(reply, 'a', "(ssss)");

        for (size_t i = 0; r >= 0 && i < s->host.slots.count; i++) {
                const struct slot *slot = &s->host.slots.items[i];
                char name[2] = { slot->name };

                r = sd_bus_message_append(reply, "(ssss)", name,
                                          slot == s->host.running ? "running"
                                          : *slot_version(slot)   ? "idle"
                                                                  : "empty",
                                          slot_version(slot), status_entry(s, slot) ?: "");
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_slots(sd_bus *bus _unused_, const char *path _unused_,
                     const char *interface _unused_, const char *property _unused_,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const struct daemon *d = userdata;
        _cleanup_(status_done) struct status status = { .host = HOST_NULL };
        struct error err = {};

        if (status_load(&d->arguments->options.places, &status, &err) < 0)
                return sd_bus_error_set(error, BUS_FAILED, err.message);
        return append_slots(reply, &status);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Check", NULL, "s", method_check, 0),
        SD_BUS_METHOD("Apply", NULL, NULL, method_apply, 0),
        SD_BUS_METHOD("Cancel", NULL, NULL, method_cancel, 0),
        SD_BUS_METHOD("Rollback", NULL, "s", method_rollback, 0),
        SD_BUS_PROPERTY("State", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Progress", "(tt)", get_progress, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastError", "s", get_last_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Slots", "a(ssss)", get_slots, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_VTABLE_END,
};

/* ---- the daemon ---- */

static int connect(struct daemon *d)
{
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t blocked;
        int r;

        sigemptyset(&blocked);
        sigaddset(&blocked, SIGCHLD);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaddset(&blocked, signals[i]);
        if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
                return -errno;
        r = sd_event_new(&d->event);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++)
                r = sd_event_add_signal(d->event, NULL, signals[i], NULL, NULL);
        if (r >= 0)
                r = sd_bus_open_system(&d->bus);
        if (r >= 0)
                r = sd_bus_add_object_vtable(d->bus, NULL, BUS_PATH, BUS_NAME, vtable, d);
        if (r >= 0)
                r = sd_bus_request_name(d->bus, BUS_NAME, 0);
        return r < 0 ? r : sd_bus_attach_event(d->bus, d->event, SD_EVENT_PRIORITY_NORMAL);
}

/* Without the name nobody new finds us; who did before still gets an answer. */
static int leave(struct daemon *d)
{
        int r = sd_bus_release_name(d->bus, BUS_NAME);

        while (r >= 0 && (r = sd_bus_process(d->bus, NULL)) > 0)
                ;
        if (r < 0 || d->child == 0)
                return r < 0 ? r : sd_event_exit(d->event, 0);
        return sd_bus_request_name(d->bus, BUS_NAME, 0);
}

static int serve(struct daemon *d)
{
        int r = 0;

        while (r >= 0 && sd_event_get_state(d->event) != SD_EVENT_FINISHED) {
                r = sd_event_run(d->event, IDLE_SECONDS * 1000000ULL);
                if (r == 0 && d->child == 0)
                        r = leave(d);
        }
        return r;
}

int verb_daemon(const struct arguments *a, struct error *err)
{
        struct daemon d = { .arguments = a, .output_fd = -1, .errors_fd = -1, .progress_fd = -1 };
        int r = connect(&d);

        if (r >= 0) {
                progress_ready();
                r = serve(&d);
        }
        daemon_done(&d);
        return r < 0 ? error_code(err, r, "bus") : 0;
}
