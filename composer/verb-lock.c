/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway lock IMAGE.json: resolves, and merges once to allocate users and groups, then writes
 * IMAGE.lock.json beside the manifest. Ids that the old lock file holds are kept. */

#include "cli.h"
#include "compose.h"

struct arguments {
        struct cli_options cli;
        const char *manifest;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->manifest, "manifest");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which manifest?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { NULL,
                                  parse_option,
                                  "IMAGE.json",
                                  "Writes exact package versions and user ids to "
                                  "IMAGE.lock.json.",
                                  cli_children,
                                  NULL,
                                  NULL };

static void print_result(const struct arguments *a, const char *path, const struct lock *lock)
{
        json_object *root;

        if (!a->cli.json) {
                printf("%s: %zu packages, %zu users, %zu groups\n", path, lock->packages.count,
                       lock->users.count, lock->groups.count);
                return;
        }
        root = json_object_new_object();
        json_object_object_add(root, "path", json_object_new_string(path));
        json_object_object_add(root, "packages", json_object_new_uint64(lock->packages.count));
        json_object_object_add(root, "users", json_object_new_uint64(lock->users.count));
        json_object_object_add(root, "groups", json_object_new_uint64(lock->groups.count));
        cli_print_json(root);
}

static int save(const struct arguments *a, const struct manifest *m, struct composition *c,
                struct error *err)
{
        _cleanup_free_ char *path = lock_path(m->path);
        struct lock lock = { .packages = c->packages };
        int r;

        if (!path)
                return error_oom(err);
        /* Borrowed for writing; the composition keeps them. */
        lock.users.items = c->merge.users.items;
        lock.users.count = c->merge.users.count;
        lock.groups.items = c->merge.groups.items;
        lock.groups.count = c->merge.groups.count;
        r = lock_save(path, &lock, err);
        if (r >= 0)
                print_result(a, path, &lock);
        return r;
}

static int make_lock(const struct arguments *a, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        _cleanup_composition_ struct composition c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        int r;

        r = manifest_load(a->manifest, &m, err);
        if (r >= 0)
                r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = compose(&w, &m, &(struct compose_options){ .until = STEP_MERGE }, &c, err);
        return r < 0 ? r : save(a, &m, &c, err);
}

int verb_lock(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = make_lock(&a, err);
        cli_options_done(&a.cli);
        return r;
}
