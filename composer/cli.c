/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See cli.h. Progress goes to standard error when that is a terminal: one line a step, rewritten in
 * place while it runs. Standard output carries results only. */

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>

#include "cli.h"
#include "interrupt.h"
#include "io.h"
#include "scratch.h"
#include "strv.h"

enum {
        KEY_CACHE = 0x100,
        KEY_REPO,
        KEY_MIRROR,
        KEY_THREADS,
        KEY_JSON,
        KEY_EXPIRED,
        KEY_OFFLINE,
        KEY_LIBEXEC
};

static const struct argp_option options[] = {
        { "cache", KEY_CACHE, "DIR", 0, "Downloads and metadata (default: ~/.cache/slipway)", 1 },
        { "repo", KEY_REPO, "DIR", 0, "OSTree repository (default: CACHE/repo)", 1 },
        { "mirror", KEY_MIRROR, "NAME=URL", 0, "Where repository NAME is; may be repeated", 1 },
        { "allow-expired", KEY_EXPIRED, NULL, 0,
          "Accept repository metadata past its Valid-Until; the report says so", 1 },
        { "offline", KEY_OFFLINE, NULL, 0, "Use what the cache holds, ask no server", 1 },
        { "threads", KEY_THREADS, "N", 0, "Threads to use (default: one per CPU)", 1 },
        { "libexec", KEY_LIBEXEC, "DIR", 0, "Where Slipway's programs for images are", 1 },
        { "json", KEY_JSON, NULL, 0, "Print results as JSON", 1 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct cli_options *o = state->input;

        switch (key) {
        case KEY_CACHE: o->cache = argument; return 0;
        case KEY_REPO: o->repo = argument; return 0;
        case KEY_LIBEXEC: o->libexec = argument; return 0;
        case KEY_EXPIRED: o->allow_expired = true; return 0;
        case KEY_OFFLINE: o->offline = true; return 0;
        case KEY_JSON: o->json = true; return 0;
        case KEY_MIRROR:
                if (!strchr(argument, '=') || *argument == '=')
                        argp_error(state, "--mirror wants NAME=URL, not '%s'", argument);
                return strv_extend(&o->mirrors, argument) < 0 ? ENOMEM : 0;
        case KEY_THREADS: {
                char *end;
                unsigned long n = strtoul(argument, &end, 10);

                if (*end || n == 0 || n > 64)
                        argp_error(state, "--threads wants a number from 1 to 64, not '%s'",
                                   argument);
                o->threads = (unsigned)n;
                return 0;
        }
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options, parse_option, NULL, NULL, NULL, NULL, NULL };
const struct argp_child cli_children[] = { { &argp, 0, "Common options:", 1 }, {} };

error_t cli_one_argument(struct argp_state *state, char *argument, const char **ret,
                         const char *what)
{
        if (*ret)
                argp_error(state, "one %s at a time", what);
        *ret = argument;
        return 0;
}

void cli_options_done(struct cli_options *o)
{
        strv_free(o->mirrors);
        o->mirrors = NULL;
}

void cli_print_json(json_object *root)
{
        puts(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(root);
}

char *cli_size(uint64_t bytes, char *buffer)
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
        double value = (double)bytes;
        size_t unit = 0;

        while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
                value /= 1024;
                unit++;
        }
        snprintf(buffer, 16, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
        return buffer;
}

/* ---- tables of verbs ---- */

const struct verb *verb_find(const struct verb *table, const char *name)
{
        for (const struct verb *v = table; v->name; v++)
                if (streq(v->name, name))
                        return v;
        return NULL;
}

void verbs_print(const struct verb *table, FILE *out)
{
        for (const struct verb *v = table; v->name; v++)
                fprintf(out, "  %-10s %s\n", v->name, v->summary);
}

int verb_call(const struct verb *verb, const char *program, int argc, char *argv[],
              struct error *err)
{
        char name[64];

        snprintf(name, sizeof(name), "%s %s", program, verb->name);
        argv[1] = name;
        return verb->run(argc - 1, argv + 1, err);
}

/* ---- progress ---- */

enum { BAR_WIDTH = 24 };

struct progress {
        pthread_mutex_t lock;
        struct timespec started[_STEP_MAX];
        enum step shown; /* the step whose line the cursor is on; _STEP_MAX: none */
};

static double seconds_since(const struct timespec *start)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)(t.tv_sec - start->tv_sec) + (double)(t.tv_nsec - start->tv_nsec) / 1e9;
}

static void draw(struct progress *p, enum step step, uint64_t done, uint64_t total)
{
        char bar[BAR_WIDTH + 1] = "";
        int filled = total ? (int)(MIN(done, total) * BAR_WIDTH / total) : 0;

        if (total) {
                memset(bar, '.', BAR_WIDTH);
                memset(bar, '#', (size_t)filled);
                bar[BAR_WIDTH] = '\0';
        }
        if (p->shown != step && p->shown != _STEP_MAX)
                fputc('\n', stderr);
        fprintf(stderr, "\r%-8s %6.1fs %s%s", step_name(step), seconds_since(&p->started[step]),
                bar, "\x1b[K");
        p->shown = step;
        fflush(stderr);
}

static void show_progress(void *userdata, enum step step, uint64_t done, uint64_t total)
{
        struct progress *p = userdata;

        pthread_mutex_lock(&p->lock);
        if (done == 0 && p->started[step].tv_sec == 0)
                clock_gettime(CLOCK_MONOTONIC, &p->started[step]);
        draw(p, step, done, total);
        pthread_mutex_unlock(&p->lock);
}

static int start_progress(struct workdir *w, struct error *err)
{
        struct progress *p;

        if (!isatty(STDERR_FILENO))
                return 0;
        p = calloc(1, sizeof(*p));
        if (!p)
                return error_oom(err);
        pthread_mutex_init(&p->lock, NULL);
        p->shown = _STEP_MAX;
        w->progress = show_progress;
        w->progress_userdata = p;
        return 0;
}

static void end_progress(struct workdir *w)
{
        struct progress *p = w->progress_userdata;

        if (!p)
                return;
        if (p->shown != _STEP_MAX)
                fputc('\n', stderr);
        pthread_mutex_destroy(&p->lock);
        free(p);
}

/* ---- work directory ---- */

static char *default_cache(void)
{
        const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

        if (base && *base == '/')
                return string_format("%s/slipway", base);
        return string_format("%s/.cache/slipway", home ?: "");
}

char *cli_libexec(void)
{
        char self[PATH_MAX], *path, *slash;
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        self[n < 0 ? 0 : n] = '\0';
        slash = strrchr(self, '/');
        if (!slash)
                return strdup("/usr/libexec/slipway");
        *slash = '\0';
        path = string_format("%s/../libexec", self);
        if (!path || access(path, X_OK) == 0)
                return path;
        free(path);
        return strdup("/usr/libexec/slipway");
}

static int open_directory(const char *wanted, char **ret_path, struct error *err)
{
        int fd = path_open_dir(AT_FDCWD, wanted, 0755, err);

        if (fd < 0)
                return fd;
        *ret_path = realpath(wanted, NULL);
        if (!*ret_path) {
                close(fd);
                return error_errno(err, "%s", wanted);
        }
        return fd;
}

static int open_repository(const struct cli_options *o, struct workdir *w, struct error *err)
{
        _cleanup_free_ char *path =
                o->repo ? strdup(o->repo) : string_format("%s/repo", w->cache_path);

        return path ? repo_open(path, true, &w->repo, err) : error_oom(err);
}

static int fill_workdir(const struct cli_options *o, const char *output, struct workdir *w,
                        struct error *err)
{
        _cleanup_free_ char *cache = o->cache ? strdup(o->cache) : default_cache();

        w->libexec_path = o->libexec ? strdup(o->libexec) : cli_libexec();
        if (!cache || !w->libexec_path)
                return error_oom(err);
        w->threads = o->threads;
        w->allow_expired = o->allow_expired;
        w->offline = o->offline;
        STRV_FOREACH (mirror, o->mirrors)
                if (strv_extend(&w->mirrors, *mirror) < 0)
                        return error_oom(err);
        w->cache_fd = open_directory(cache, &w->cache_path, err);
        if (w->cache_fd < 0)
                return error_prefix(err, w->cache_fd, "cache");
        scratch_sweep(w->cache_fd);
        if (output)
                w->output_fd = open_directory(output, &w->output_path, err);
        if (output && w->output_fd < 0)
                return error_prefix(err, w->output_fd, "output");
        return open_repository(o, w, err);
}

int cli_workdir(const struct cli_options *o, const char *output, struct workdir *ret,
                struct error *err)
{
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        int r;

        interrupt_catch();
        r = fill_workdir(o, output, &w, err);
        if (r >= 0)
                r = start_progress(&w, err);
        if (r < 0)
                return r;
        *ret = w;
        w = (struct workdir){ .cache_fd = -1, .output_fd = -1 };
        return 0;
}

void workdir_done(struct workdir *w)
{
        end_progress(w);
        repo_free(w->repo);
        close_p(&w->cache_fd);
        close_p(&w->output_fd);
        strv_free(w->mirrors);
        free(w->cache_path);
        free(w->output_path);
        free(w->libexec_path);
        *w = (struct workdir){ .cache_fd = -1, .output_fd = -1 };
}

int cli_epoch(uint64_t *ret, struct error *err)
{
        const char *text = getenv("SOURCE_DATE_EPOCH");
        char *end;

        if (!text || !*text)
                return 0;
        *ret = strtoull(text, &end, 10);
        if (*end || *text == '-')
                return error_set(err, -EINVAL, "SOURCE_DATE_EPOCH: not a number: '%s'", text);
        return 0;
}
