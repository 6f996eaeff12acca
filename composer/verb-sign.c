/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway sign --attach DIR OUTPUT: the second half of `slipway build --unsigned-artifacts DIR`.
 * Every answer is checked before anything is done. Then the build is made once more, from the same
 * packages by the list in DIR, and takes its signatures from there: so what is published is made
 * and written in one way only, and all of it at once. */

#include "cli.h"
#include "compose.h"
#include "sign-request.h"
#include "strv.h"

enum { KEY_ATTACH = 0x200, KEY_KEYS };

struct arguments {
        struct cli_options cli;
        const char *directory, *keys, *output;
};

static const struct argp_option options[] = {
        { "attach", KEY_ATTACH, "DIR", 0, "Where the requests are, and now the signatures", 0 },
        { "keys", KEY_KEYS, "DIR", 0, "Certificates and public keys that they must be by", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_ATTACH: a->directory = argument; return 0;
        case KEY_KEYS: a->keys = argument; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->output, "output directory");
        case ARGP_KEY_END:
                if (!a->directory || !a->keys || !a->output)
                        argp_error(state, "--attach, --keys and an output directory are needed");
                return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,
        parse_option,
        "OUTPUT",
        "Finishes what `slipway build --unsigned-artifacts DIR` began, with "
        "signatures that were made elsewhere.",
        cli_children,
        NULL,
        NULL
};

/* The manifest that the list names, when it still is of that image. */
static int load_manifest(const struct sign_origin *origin, struct manifest *ret, struct error *err)
{
        int r = manifest_load(origin->manifest, ret, err);

        if (r >= 0)
                r = manifest_set_architecture(ret, origin->architecture, err);
        if (r < 0)
                return r;
        if (!streq(ret->name, origin->image) || !streq(ret->version, origin->version))
                return error_set(err, -ESTALE, "%s is of another image now", origin->manifest);
        return 0;
}

static int verify_answers(const struct arguments *a, const struct manifest *m,
                          struct sign_requests *q, const struct sign_origin *origin,
                          struct error *err)
{
        _cleanup_signers_ struct signers signers = {};
        int r = signers_open_public(a->keys, &m->trust, q, &signers, err);

        return r < 0 ? r : sign_origin_verify(q, origin, &signers, err);
}

static int build(const struct arguments *a, const struct manifest *m,
                 const struct sign_origin *origin, struct error *err)
{
        _cleanup_free_ char *lock = string_format("%s/%s", a->directory, SIGN_LOCK_FILE);
        const struct compose_options compose_options = {
                .locked = true,
                .lock = lock,
                .until = STEP_OUTPUT,
                .epoch = origin->epoch,
                .keys = a->keys,
                .requests = a->directory,
                .base = origin->base,
        };
        _cleanup_composition_ struct composition c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        char size[16];
        int r;

        if (!lock)
                return error_oom(err);
        r = cli_workdir(&a->cli, a->output, &w, err);
        if (r >= 0)
                r = compose(&w, m, &compose_options, &c, err);
        if (r < 0)
                return r;
        if (c.unsigned_count > 0)
                return error_set(
                        err, -ENODATA,
                        "one more round: %zu signatures of %s/signing.json are missing, of "
                        "what holds the others",
                        c.unsigned_count, a->directory);
        for (size_t i = 0; i < c.artifacts.count; i++)
                printf("%s/%s  %s\n", w.output_path, c.artifacts.items[i].name,
                       cli_size(c.artifacts.items[i].size, size));
        return 0;
}

static int attach(const struct arguments *a, struct error *err)
{
        _cleanup_sign_requests_ struct sign_requests q = {};
        _cleanup_sign_origin_ struct sign_origin origin = {};
        _cleanup_manifest_ struct manifest m = {};
        int r;

        r = sign_requests_open(a->directory, &q, err);
        if (r >= 0)
                r = sign_origin_load(&q, &origin, err);
        if (r >= 0)
                r = load_manifest(&origin, &m, err);
        if (r >= 0)
                r = verify_answers(a, &m, &q, &origin, err);
        if (r < 0)
                return error_prefix(err, r, "%s", a->directory);
        return build(a, &m, &origin, err);
}

int verb_sign(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = attach(&a, err);
        cli_options_done(&a.cli);
        return r;
}
