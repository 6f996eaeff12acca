/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway keygen NAME: a pair of keys for signing releases; with --secure-boot a directory of those
 * that a chain of trust begins with. */

#include "cli.h"
#include "key-file.h"
#include "trust-keys.h"

enum { KEY_SECURE_BOOT = 0x200 };

struct arguments {
        const char *name;
        bool secure_boot;
};

static const struct argp_option options[] = {
        { "secure-boot", KEY_SECURE_BOOT, NULL, 0,
          "Make a directory with the keys of Secure Boot, root hashes and PCR policies instead",
          0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case KEY_SECURE_BOOT: a->secure_boot = true; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->name, "key");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which name?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,
                                  parse_option,
                                  "NAME|DIR",
                                  "Makes an ed25519 key: NAME.secret, which signs releases, and "
                                  "NAME.ed25519, which images verify them with.",
                                  NULL,
                                  NULL,
                                  NULL };

static int make_release_key(const char *name, struct error *err)
{
        char text[ED25519_PUBLIC_TEXT_SIZE];
        struct ed25519_public public;
        int r = key_generate(name, &public, err);

        if (r >= 0)
                puts(ed25519_public_text(&public, text));
        return r;
}

int verb_keygen(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        return a.secure_boot ? trust_keys_generate(a.name, err) : make_release_key(a.name, err);
}
