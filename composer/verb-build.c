/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway build IMAGE.json: the whole pipeline. */

#include "cli.h"
#include "compose.h"
#include "strv.h"

enum { KEY_LOCKED = 0x200, KEY_UNTIL, KEY_BASE, KEY_KEYS, KEY_UNSIGNED };

struct arguments {
        struct cli_options cli;
        const char *manifest, *output, *architecture;
        struct compose_options compose;
};

static const struct argp_option options[] = {
        { "output", 'o', "DIR", 0, "Where artifacts go (default: out)", 0 },
        { "arch", 'a', "ARCH", 0, "Architecture instead of the manifest's", 0 },
        { "locked", KEY_LOCKED, NULL, 0, "Use exactly the lock file's packages", 0 },
        { "base", KEY_BASE, "COMMIT|IMAGE", 0,
          "Lay the image out like an earlier one: updates from there fetch little", 0 },
        { "keys", KEY_KEYS, "DIR", 0, "Sign what the manifest's \"trust\" wants with these keys",
          0 },
        { "unsigned-artifacts", KEY_UNSIGNED, "DIR", 0,
          "Sign nothing here: leave in DIR what wants a signature, take from there what has one",
          0 },
        { "until", KEY_UNTIL, "STEP", 0,
          "Stop after a step: resolve, fetch, import, merge, commit, erofs, verity, initrd, uki, "
          "disk, output",
          0 },
        {},
};

static int find_step(const char *name)
{
        for (int step = 0; step < _STEP_MAX; step++)
                if (streq(step_name(step), name))
                        return step;
        return -1;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case 'o': a->output = argument; return 0;
        case 'a': a->architecture = argument; return 0;
        case KEY_LOCKED: a->compose.locked = true; return 0;
        case KEY_BASE: a->compose.base = argument; return 0;
        case KEY_KEYS: a->compose.keys = argument; return 0;
        case KEY_UNSIGNED: a->compose.requests = argument; return 0;
        case KEY_UNTIL:
                if (find_step(argument) < 0)
                        argp_error(state, "unknown step '%s'", argument);
                a->compose.until = (enum step)find_step(argument);
                return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->manifest, "manifest");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which manifest?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,      parse_option,
                                  "IMAGE.json", "Composes the image that a manifest describes.",
                                  cli_children, NULL,
                                  NULL };

static void print_json(const struct composition *c, const struct workdir *w)
{
        json_object *root = json_object_new_object(), *steps = json_object_new_object();
        json_object *files = json_object_new_array();
        char hex[SHA256_HEX_SIZE];

        json_object_object_add(root, "output", json_object_new_string(w->output_path));
        json_object_object_add(root, "unchanged", json_object_new_boolean(c->unchanged));
        json_object_object_add(root, "repacked", json_object_new_boolean(c->repacked));
        json_object_object_add(root, "commit", json_object_new_string(sha256_hex(&c->commit, hex)));
        json_object_object_add(root, "rootHash",
                               json_object_new_string(sha256_hex(&c->root_hash, hex)));
        for (int step = 0; step < _STEP_MAX; step++)
                json_object_object_add(steps, step_name(step),
                                       json_object_new_double(c->seconds[step]));
        json_object_object_add(root, "seconds", steps);
        for (size_t i = 0; i < c->artifacts.count; i++)
                json_object_array_add(files, json_object_new_string(c->artifacts.items[i].name));
        json_object_object_add(root, "artifacts", files);
        json_object_object_add(root, "unsigned", json_object_new_uint64(c->unsigned_count));
        cli_print_json(root);
}

static void print_text(const struct composition *c, const struct workdir *w,
                       const struct compose_options *o)
{
        char hex[SHA256_HEX_SIZE], size[16];

        STRV_FOREACH (warning, c->packages.warnings)
                fprintf(stderr, "warning: %s\n", *warning);
        if (c->repacked)
                fputs("warning: the image does not lie like the base: too much of it would lie "
                      "idle\n",
                      stderr);
        if (c->unchanged)
                puts("unchanged");
        if (c->unsigned_count > 0)
                printf("%zu signatures are missing, nothing is published yet: %s/signing.json lists "
                       "them, then: slipway sign --attach %s %s\n",
                       c->unsigned_count, o->requests, o->requests, w->output_path);
        for (size_t i = 0; i < c->artifacts.count; i++)
                printf("%s/%s  %s\n", w->output_path, c->artifacts.items[i].name,
                       cli_size(c->artifacts.items[i].size, size));
        if (c->artifacts.count > 0)
                printf("root hash %s\n", sha256_hex(&c->root_hash, hex));
        if (c->merge.findings.count > 0)
                printf("%zu packages with scripts that are not fully covered: see the report\n",
                       c->merge.findings.count);
}

static int build(const struct arguments *a, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        _cleanup_composition_ struct composition c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        int r;

        r = manifest_load(a->manifest, &m, err);
        if (r >= 0 && a->architecture)
                r = manifest_set_architecture(&m, a->architecture, err);
        if (r >= 0)
                r = cli_workdir(&a->cli, a->output, &w, err);
        if (r >= 0)
                r = compose(&w, &m, &a->compose, &c, err);
        if (r < 0)
                return r;
        if (a->cli.json)
                print_json(&c, &w);
        else
                print_text(&c, &w, &a->compose);
        return 0;
}

int verb_build(int argc, char *argv[], struct error *err)
{
        struct arguments a = { .output = "out", .compose.until = STEP_OUTPUT };
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = cli_epoch(&a.compose.epoch, err);
        if (r >= 0)
                r = build(&a, err);
        cli_options_done(&a.cli);
        return r;
}
