/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program slipway-update: one row a verb. */

#include <argp.h>
#include <fcntl.h>

#include "io.h"
#include "status.h"

enum { KEY_DISK = 0x100, KEY_COMMAND_LINE, KEY_JSON };

struct arguments {
        const char *verb, *disk, *command_line;
        bool json;
};

static const struct argp_option options[] = {
        { "disk", KEY_DISK, "DISK", 0, "Look at this disk or image instead of the running one", 0 },
        { "cmdline", KEY_COMMAND_LINE, "FILE", 0, "Kernel command line (default /proc/cmdline)",
          0 },
        { "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
        {},
};

static int verb_status(const struct arguments *a, struct error *err)
{
        _cleanup_(status_done) struct status status = {};
        _cleanup_free_ char *command_line = NULL;
        int r;

        r = file_read(AT_FDCWD, a->command_line, SLOT_COMMAND_LINE_MAX, &command_line, NULL, err);
        if (r >= 0)
                r = status_load(command_line, a->disk, &status, err);
        if (r >= 0)
                status_print(&status, a->json);
        return r;
}

static const struct {
        const char *name;
        int (*run)(const struct arguments *a, struct error *err);
} verbs[] = {
        { "status", verb_status },
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case KEY_DISK: a->disk = argument; return 0;
        case KEY_COMMAND_LINE: a->command_line = argument; return 0;
        case KEY_JSON: a->json = true; return 0;
        case ARGP_KEY_ARG:
                if (a->verb)
                        argp_error(state, "too many arguments");
                a->verb = argument;
                return 0;
        case ARGP_KEY_NO_ARGS: argp_error(state, "which verb?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,
        parse_option,
        "VERB",
        "Releases on this host.\v"
        "Verbs:\n  status   which release runs, and what is in the other slot",
        NULL,
        NULL,
        NULL
};

int main(int argc, char *argv[])
{
        struct arguments a = { .command_line = "/proc/cmdline" };
        struct error err = {};

        argp_err_exit_status = 2;
        argp_program_version = "slipway-update " SLIPWAY_VERSION;
        argp_parse(&argp, argc, argv, 0, NULL, &a);
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                if (!streq(verbs[i].name, a.verb))
                        continue;
                if (verbs[i].run(&a, &err) >= 0)
                        return 0;
                fprintf(stderr, "slipway-update: %s\n", err.message);
                return 1;
        }
        fprintf(stderr, "slipway-update: unknown verb '%s'; see --help\n", a.verb);
        return 2;
}
