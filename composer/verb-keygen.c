/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway keygen NAME: a pair of keys for signing releases. */

#include "cli.h"
#include "key-file.h"

struct arguments {
        const char *name;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->name, "key");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which name?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { NULL,
                                  parse_option,
                                  "NAME",
                                  "Makes an ed25519 key: NAME.secret, which signs releases, and "
                                  "NAME.ed25519, which images verify them with.",
                                  NULL,
                                  NULL,
                                  NULL };

int verb_keygen(int argc, char *argv[], struct error *err)
{
        char text[ED25519_PUBLIC_TEXT_SIZE];
        struct ed25519_public public;
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = key_generate(a.name, &public, err);
        if (r >= 0)
                puts(ed25519_public_text(&public, text));
        return r;
}
