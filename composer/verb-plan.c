/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway plan IMAGE.json: partitions, sizes, space left; with --for, whether a platform takes it.
 */

#include "cli.h"
#include "fit.h"
#include "plan.h"
#include "strv.h"

enum { KEY_LOCKED = 0x200, KEY_FOR };

struct arguments {
        struct cli_options cli;
        const char *manifest;
        const struct fit_platform *platform; /* NULL: none */
        struct compose_options compose;
};

static const struct argp_option options[] = {
        { "locked", KEY_LOCKED, NULL, 0, "Use exactly the lock file's packages", 0 },
        { "for", KEY_FOR, "PLATFORM", 0, "Check what that platform (azure) would refuse", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_LOCKED: a->compose.locked = true; return 0;
        case KEY_FOR:
                a->platform = fit_platform(argument);
                if (!a->platform)
                        argp_error(state, "no platform '%s'; there is: azure", argument);
                return 0;
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

/* How often each state was found. */
struct tally {
        unsigned of[_FIT_STATE_MAX];
};

static void print_finding(const struct fit_check *check, enum fit_state state, const char *text,
                          json_object *list)
{
        json_object *item;

        if (!list) {
                printf("%-8s %-20s %s\n", fit_state_names[state], check->name, text);
                return;
        }
        item = json_object_new_object();
        json_object_object_add(item, "check", json_object_new_string(check->name));
        json_object_object_add(item, "state", json_object_new_string(fit_state_names[state]));
        json_object_object_add(item, "text", json_object_new_string(text));
        json_object_array_add(list, item);
}

/* Into the list, or (NULL) printed. */
static int judge(const struct fit_platform *platform, const struct fit_subject *s,
                 json_object *list, struct tally *tally, struct error *err)
{
        for (const struct fit_check *check = platform->checks; check->name; check++) {
                _cleanup_free_ char *text = NULL;
                enum fit_state state;
                int r = fit_judge(check, s, &state, &text, err);

                if (r < 0)
                        return error_prefix(err, r, "%s", platform->name);
                print_finding(check, state, text, list);
                tally->of[state]++;
        }
        return 0;
}

static json_object *plan_json(const struct composition *c)
{
        json_object *root = json_object_new_object();

        json_object_object_add(root, "packages", json_object_new_uint64(c->packages.count));
        json_object_object_add(root, "usrSize", json_object_new_uint64(c->usr_size));
        json_object_object_add(root, "hashTreeSize", json_object_new_uint64(c->tree_size));
        json_object_object_add(root, "initrdSize", json_object_new_uint64(c->initrd_size));
        json_object_object_add(root, "ukiSize", json_object_new_uint64(c->uki_size));
        json_object_object_add(root, "layout", layout_json(&c->layout));
        return root;
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

static int status(const struct tally *tally)
{
        return tally->of[FIT_REFUSED] > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int answer_text(const struct arguments *a, const struct fit_subject *s, struct error *err)
{
        struct tally t = {};
        int r = print_text(s->m, s->c, err);

        if (r < 0 || !a->platform)
                return r;
        putchar('\n');
        r = judge(a->platform, s, NULL, &t, err);
        if (r < 0)
                return r;
        printf("%s: %u ok, warnings: %u, refused: %u\n", a->platform->name, t.of[FIT_HOLDS],
               t.of[FIT_WARNING], t.of[FIT_REFUSED]);
        return status(&t);
}

static int answer_json(const struct arguments *a, const struct fit_subject *s, struct error *err)
{
        json_object *root = plan_json(s->c), *list;
        struct tally t = {};
        int r = 0;

        if (a->platform) {
                list = json_object_new_array();
                json_object_object_add(root, "platform", json_object_new_string(a->platform->name));
                json_object_object_add(root, "checks", list);
                r = judge(a->platform, s, list, &t, err);
        }
        if (r < 0) {
                json_object_put(root);
                return r;
        }
        cli_print_json(root);
        return status(&t);
}

static int plan(const struct arguments *a, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        _cleanup_composition_ struct composition c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        struct fit_subject s = { .m = &m, .c = &c };
        int r;

        r = manifest_load(a->manifest, &m, err);
        if (r >= 0)
                r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = compose_plan(&w, &m, &a->compose, &c, err);
        if (r < 0)
                return r;
        s.store = repo_contents(w.repo);
        return a->cli.json ? answer_json(a, &s, err) : answer_text(a, &s, err);
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
