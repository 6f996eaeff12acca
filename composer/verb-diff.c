/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway diff A B: packages, files, units and kernel options between two commits. A and B are
 * refs, commit checksums, or directories that `slipway build` wrote to. */

#include <fcntl.h>
#include <inttypes.h>

#include "cli.h"
#include "diff.h"
#include "report.h"

struct arguments {
        struct cli_options cli;
        const char *sides[2];
        int count;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case ARGP_KEY_ARG:
                if (a->count == 2)
                        argp_error(state, "two things to compare, not more");
                a->sides[a->count++] = argument;
                return 0;
        case ARGP_KEY_END:
                if (a->count < 2)
                        argp_error(state, "which two things to compare?");
                return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        NULL,         parse_option,
        "A B",        "Compares two commits (refs, checksums) or build directories.",
        cli_children, NULL,
        NULL
};

static const char *const signs[] = {
        [CHANGE_ADDED] = "+", [CHANGE_REMOVED] = "-", [CHANGE_CHANGED] = "~"
};
static const char *const words[] = {
        [CHANGE_ADDED] = "added", [CHANGE_REMOVED] = "removed", [CHANGE_CHANGED] = "changed"
};

static void print_list(const char *title, const struct change_list *list)
{
        if (list->count == 0)
                return;
        printf("%s (%zu)\n", title, list->count);
        for (size_t i = 0; i < list->count; i++) {
                const struct change *c = &list->items[i];

                printf("  %s %s  %s%s%s\n", signs[c->kind], c->name, c->before ?: "",
                       c->before && c->after ? " => " : "", c->after ?: "");
        }
}

static void print_text(const struct tree_diff *d)
{
        print_list("packages", &d->packages);
        print_list("kernel options", &d->options);
        print_list("units", &d->units);
        print_list("files", &d->files);
        printf("size %+" PRId64 " bytes\n", d->size_delta);
}

static void put_list(json_object *root, const char *key, const struct change_list *list)
{
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < list->count; i++) {
                const struct change *c = &list->items[i];
                json_object *item = json_object_new_object();

                json_object_object_add(item, "name", json_object_new_string(c->name));
                json_object_object_add(item, "change", json_object_new_string(words[c->kind]));
                if (c->before)
                        json_object_object_add(item, "before", json_object_new_string(c->before));
                if (c->after)
                        json_object_object_add(item, "after", json_object_new_string(c->after));
                json_object_array_add(array, item);
        }
        json_object_object_add(root, key, array);
}

static void print_json(const struct tree_diff *d)
{
        json_object *root = json_object_new_object();

        put_list(root, "packages", &d->packages);
        put_list(root, "kernelOptions", &d->options);
        put_list(root, "units", &d->units);
        put_list(root, "files", &d->files);
        json_object_object_add(root, "sizeDelta", json_object_new_int64(d->size_delta));
        cli_print_json(root);
}

static int load_side(const struct workdir *w, const char *side, struct tree **ret,
                     struct error *err)
{
        char hex[SHA256_HEX_SIZE];
        struct stat st;
        int r;

        if (stat(side, &st) == 0 && S_ISDIR(st.st_mode)) {
                struct report_summary summary = {};

                r = report_load(side, &summary, err);
                if (r < 0)
                        return r;
                sha256_hex(&summary.commit, hex);
                report_summary_done(&summary);
                side = hex;
        }
        return repo_load_tree(w->repo, side, ret, err);
}

static int diff(const struct arguments *a, struct error *err)
{
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        _cleanup_tree_ struct tree *before = NULL, *after = NULL;
        _cleanup_tree_diff_ struct tree_diff d = {};
        struct content_store store;
        int r;

        r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = load_side(&w, a->sides[0], &before, err);
        if (r >= 0)
                r = load_side(&w, a->sides[1], &after, err);
        if (r < 0)
                return r;
        store = repo_contents(w.repo);
        r = tree_diff(before, after, &store, &d, err);
        if (r < 0)
                return r;
        if (a->cli.json)
                print_json(&d);
        else
                print_text(&d);
        return 0;
}

int verb_diff(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = diff(&a, err);
        cli_options_done(&a.cli);
        return r;
}
