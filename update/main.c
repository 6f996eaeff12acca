/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program slipway-update: one row a verb. */

#include <argp.h>

#include "history.h"
#include "interrupt.h"
#include "settle.h"
#include "status.h"
#include "verbs.h"

enum {
        KEY_DISK = 0x100,
        KEY_COMMAND_LINE,
        KEY_ESP,
        KEY_ROOT,
        KEY_JSON,
        KEY_STAGE_ONLY,
        KEY_ALLOW_DOWNGRADE,
        KEY_FORCE,
        KEY_PROGRESS,
};

static const struct argp_option options[] = {
        { "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
        { "stage-only", KEY_STAGE_ONLY, NULL, 0, "apply: fetch and verify, but boot as before", 0 },
        { "allow-downgrade", KEY_ALLOW_DOWNGRADE, NULL, 0,
          "Take a release that is older than the running one", 0 },
        { "force", KEY_FORCE, NULL, 0,
          "apply: also a release that fell back here before, or loses an extension", 0 },
        { "disk", KEY_DISK, "DISK", 0, "This disk or image instead of the running one", 1 },
        { "esp", KEY_ESP, "DIR", 0, "This directory instead of the ESP", 1 },
        { "root", KEY_ROOT, "DIR", 0, "Configuration and state are below this directory", 1 },
        { "cmdline", KEY_COMMAND_LINE, "FILE", 0, "Kernel command line (default /proc/cmdline)",
          1 },
        { "progress-fd", KEY_PROGRESS, "FD", 0, "Tell progress there", 1 },
        {},
};

static int verb_status(const struct arguments *a, struct error *err)
{
        _cleanup_(status_done) struct status status = { .host = HOST_NULL };
        int r = status_load(&a->options.places, &status, err);

        if (r >= 0)
                status_print(&status, a->json);
        return r;
}

static int verb_history(const struct arguments *a, struct error *err)
{
        _cleanup_free_ char *path = host_path(&a->options.places, HISTORY_PATH);
        _cleanup_(history_done) struct history history = {};
        int r = path ? history_load(path, &history, err) : error_oom(err);

        if (r >= 0)
                history_print(&history, a->json);
        return r;
}

static int verb_settle(const struct arguments *a _unused_, struct error *err)
{
        return settle(HISTORY_PATH, err);
}

static const struct {
        const char *name;
        int (*run)(const struct arguments *a, struct error *err);
} verbs[] = {
        { "check", verb_check },     { "plan", verb_plan },       { "apply", verb_apply },
        { "auto", verb_auto },       { "status", verb_status },   { "rollback", verb_rollback },
        { "inspect", verb_inspect }, { "history", verb_history }, { "settle", verb_settle },
        { "daemon", verb_daemon },
};

/* Everything behind the first word belongs to inspect's command. */
static error_t take_word(struct arguments *a, char *word, struct argp_state *state)
{
        if (!a->verb) {
                a->verb = word;
                if (!streq(word, "inspect"))
                        return 0;
                a->rest = state->argv + state->next;
                state->next = state->argc;
                return 0;
        }
        argp_error(state, "too many arguments");
        return EINVAL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;
        struct upgrade_options *o = &a->options;

        switch (key) {
        case KEY_DISK: o->places.disk = argument; return 0;
        case KEY_COMMAND_LINE: o->places.command_line = argument; return 0;
        case KEY_ESP: o->places.esp = argument; return 0;
        case KEY_ROOT: o->places.root = argument; return 0;
        case KEY_JSON: a->json = true; return 0;
        case KEY_STAGE_ONLY: o->stage_only = true; return 0;
        case KEY_ALLOW_DOWNGRADE: o->allow_downgrade = true; return 0;
        case KEY_FORCE: o->force = true; return 0;
        case KEY_PROGRESS: a->progress.fd = atoi(argument); return 0;
        case ARGP_KEY_ARG: return take_word(a, argument, state);
        case ARGP_KEY_NO_ARGS: argp_error(state, "which verb?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,
        parse_option,
        "VERB",
        "Releases on this host.\v"
        "Verbs:\n"
        "  check     what the channel offers\n"
        "  plan      what applying it would fetch, and what to look at before\n"
        "  apply     write it to the other slot; it boots next\n"
        "  auto      check and apply within the window, then reboot as configured\n"
        "  status    which release runs, and what is in the other slot\n"
        "  rollback  boot the other slot's release; from there, forward again\n"
        "  inspect   run a command in the other slot's /usr, or a shell\n"
        "  history   what became of releases here\n"
        "  settle    note in the history what this boot shows\n"
        "  daemon    serve org.slipway.Update1 on the system bus",
        NULL,
        NULL,
        NULL
};

static int run(const struct arguments *a)
{
        struct error err = {};

        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                if (!streq(verbs[i].name, a->verb))
                        continue;
                if (verbs[i].run(a, &err) >= 0)
                        return 0;
                fprintf(stderr, "slipway-update: %s\n", err.message);
                return 1;
        }
        fprintf(stderr, "slipway-update: unknown verb '%s'; see --help\n", a->verb);
        return 2;
}

int main(int argc, char *argv[])
{
        struct arguments a = { .options.progress = progress_report, .progress = PROGRESS_NULL };
        int r;

        argp_err_exit_status = 2;
        argp_program_version = "slipway-update " SLIPWAY_VERSION;
        argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
        a.options.userdata = &a.progress;
        interrupt_catch();
        r = run(&a);
        interrupt_die();
        return r;
}
