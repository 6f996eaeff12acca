/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway verify PATH|COMMIT: says what it checked, fails at the first thing that does not hold. */

#include <sys/stat.h>

#include "cli.h"
#include "verify.h"

struct arguments {
        struct cli_options cli;
        const char *what;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->what, "build or commit");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which build directory or commit?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { NULL,
                                  parse_option,
                                  "DIRECTORY|COMMIT",
                                  "Checks a build's output directory, or derives a commit's root "
                                  "hash again and compares.",
                                  cli_children,
                                  NULL,
                                  NULL };

static void print_check(void *userdata, const char *what)
{
        json_object *checks = userdata;

        if (checks)
                json_object_array_add(checks, json_object_new_string(what));
        else
                printf("ok  %s\n", what);
}

static int verify_what(const struct workdir *w, const char *what, json_object *checks,
                       struct error *err)
{
        struct stat st;

        if (stat(what, &st) == 0 && S_ISDIR(st.st_mode))
                return verify_build(w, what, print_check, checks, err);
        return verify_commit(w, what, print_check, checks, err);
}

static int verify(const struct arguments *a, struct error *err)
{
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        json_object *checks = NULL;
        int r;

        r = cli_workdir(&a->cli, NULL, &w, err);
        if (r < 0)
                return r;
        if (a->cli.json)
                checks = json_object_new_array();
        r = verify_what(&w, a->what, checks, err);
        if (r >= 0 && checks)
                cli_print_json(checks);
        else
                json_object_put(checks);
        return r;
}

int verb_verify(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = verify(&a, err);
        cli_options_done(&a.cli);
        return r;
}
