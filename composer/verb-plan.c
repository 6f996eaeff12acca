/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway plan IMAGE.json: partitions, sizes, space left. */

#include "cli.h"
#include "plan.h"
#include "strv.h"

enum { KEY_LOCKED = 0x200 };

struct arguments {
        struct cli_options cli;
        const char *manifest;
        struct compose_options compose;
};

static const struct argp_option options[] = {
        { "locked", KEY_LOCKED, NULL, 0, "Use exactly the lock file's packages", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_LOCKED: a->compose.locked = true; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->manifest, "manifest");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which manifest?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,
                                  parse_option,
                                  "IMAGE.json",
                                  "Shows partitions, sizes and the space that is left, and "
                                  "writes no artifact.",
                                  cli_children,
                                  NULL,
                                  NULL };

static void print_json(const struct composition *c)
{
        json_object *root = json_object_new_object();

        json_object_object_add(root, "packages", json_object_new_uint64(c->packages.count));
        json_object_object_add(root, "usrSize", json_object_new_uint64(c->usr_size));
        json_object_object_add(root, "hashTreeSize", json_object_new_uint64(c->tree_size));
        json_object_object_add(root, "initrdSize", json_object_new_uint64(c->initrd_size));
        json_object_object_add(root, "ukiSize", json_object_new_uint64(c->uki_size));
        json_object_object_add(root, "layout", layout_json(&c->layout));
        cli_print_json(root);
}

static int print_text(const struct manifest *m, const struct composition *c, struct error *err)
{
        _cleanup_buffer_ struct buffer table = {};
        char initrd[16], uki[16];

        layout_print(&c->layout, &table);
        if (table.failed)
                return error_oom(err);
        printf("%s %s (%s), %zu packages, initrd %s, UKI %s\n\n%s", m->name, m->version,
               m->architecture, c->packages.count, cli_size(c->initrd_size, initrd),
               cli_size(c->uki_size, uki), table.data);
        return 0;
}

static int plan(const struct arguments *a, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        _cleanup_composition_ struct composition c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        int r;

        r = manifest_load(a->manifest, &m, err);
        if (r >= 0)
                r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = compose_plan(&w, &m, &a->compose, &c, err);
        if (r < 0)
                return r;
        if (!a->cli.json)
                return print_text(&m, &c, err);
        print_json(&c);
        return 0;
}

int verb_plan(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = cli_epoch(&a.compose.epoch, err);
        if (r >= 0)
                r = plan(&a, err);
        cli_options_done(&a.cli);
        return r;
}
