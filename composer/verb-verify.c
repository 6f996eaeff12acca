/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway verify DISK|DIRECTORY|COMMIT: says what it checked, link by link, and fails at the first
 * one that does not hold. */

#include <sys/stat.h>

#include "cli.h"
#include "verify.h"

enum { KEY_CERTIFICATE = 0x100, KEY_KEYS };

struct arguments {
        struct cli_options cli;
        const char *what;
        struct verify_trust trust;
        struct error *err; /* where an option that cannot be taken says why */
        int code;
};

static const struct argp_option options[] = {
        { "certificate", KEY_CERTIFICATE, "[KIND:]FILE", 0,
          "Everything must be signed with this certificate's key; KIND: boot or root-hash alone",
          0 },
        { "keys", KEY_KEYS, "DIR", 0, "The same with the certificates of a directory of keys", 0 },
        {},
};

static int add_certificate(struct arguments *a, const char *text)
{
        static const struct {
                const char *prefix;
                enum verify_kind kind;
        } kinds[] = {
                { "boot:", VERIFY_BOOT },
                { "root-hash:", VERIFY_ROOT_HASH },
                { "", _VERIFY_KIND_MAX },
        };
        size_t i = 0;

        while (!startswith(text, kinds[i].prefix))
                i++;
        return verify_trust_add(&a->trust, kinds[i].kind, startswith(text, kinds[i].prefix),
                                a->err);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_CERTIFICATE:
                if (a->code == 0)
                        a->code = add_certificate(a, argument);
                return 0;
        case KEY_KEYS:
                if (a->code == 0)
                        a->code = verify_trust_add_keys(&a->trust, argument, a->err);
                return 0;
        case ARGP_KEY_ARG:
                return cli_one_argument(state, argument, &a->what, "disk, build or commit");
        case ARGP_KEY_NO_ARGS:
                argp_error(state, "which disk, build directory or commit?");
                return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,
                                  parse_option,
                                  "DISK|DIRECTORY|COMMIT",
                                  "Checks the chain of trust of a raw disk or of a build's output "
                                  "directory, link by link, or derives a commit's root hash again "
                                  "and compares.",
                                  cli_children,
                                  NULL,
                                  NULL };

static const struct {
        const char *mark, *name;
} states[_VERIFY_STATE_MAX] = {
        [VERIFY_HOLDS] = { "ok", "holds" },
        [VERIFY_UNSIGNED] = { "--", "unsigned" },
        [VERIFY_UNCHECKED] = { "??", "unchecked" },
        [VERIFY_BROKEN] = { "!!", "broken" },
};

static void print_check(void *userdata, const char *link, enum verify_state state, const char *what)
{
        json_object *checks = userdata, *check;

        if (!checks) {
                printf("%s  %s: %s\n", states[state].mark, link, what);
                return;
        }
        check = json_object_new_object();
        json_object_object_add(check, "link", json_object_new_string(link));
        json_object_object_add(check, "state", json_object_new_string(states[state].name));
        json_object_object_add(check, "what", json_object_new_string(what));
        json_object_array_add(checks, check);
}

static int verify_what(const struct arguments *a, json_object *checks, struct error *err)
{
        const struct verify_options o = { &a->trust, print_check, checks };
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        struct stat st;
        bool is_path = stat(a->what, &st) == 0;
        int r;

        if (is_path && !S_ISDIR(st.st_mode))
                return verify_disk(a->what, &o, err);
        r = cli_workdir(&a->cli, NULL, &w, err);
        if (r < 0)
                return r;
        return is_path ? verify_build(&w, a->what, &o, err) : verify_commit(&w, a->what, &o, err);
}

/* What broke is among the checks, too. */
static int verify(const struct arguments *a, struct error *err)
{
        json_object *checks = a->cli.json ? json_object_new_array() : NULL;
        int r = verify_what(a, checks, err);

        if (checks)
                cli_print_json(checks);
        return r;
}

int verb_verify(int argc, char *argv[], struct error *err)
{
        struct arguments a = { .err = err };
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = a.code < 0 ? a.code : verify(&a, err);
        verify_trust_done(&a.trust);
        cli_options_done(&a.cli);
        return r;
}
