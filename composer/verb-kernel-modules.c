/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway kernel modules IMAGE.json: which kernel modules the image needs, and what the others
 * weigh. The image is merged as a build would, and nothing is written but the cache. */

#include <stdlib.h>

#include "compose.h"
#include "initrd.h"
#include "module-use.h"
#include "strv.h"
#include "verb-kernel.h"

enum { KEY_LOCKED = 0x200, KEY_NAMES, GROUP_MAX = 64 };

struct arguments {
        struct cli_options cli;
        const char *manifest;
        struct compose_options compose;
        bool names;
};

static const struct argp_option options[] = {
        { "locked", KEY_LOCKED, NULL, 0, "Use exactly the lock file's packages", 0 },
        { "names", KEY_NAMES, NULL, 0, "List the files, one a line: 'keep' or 'drop', size, path",
          0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_LOCKED: a->compose.locked = true; return 0;
        case KEY_NAMES: a->names = true; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->manifest, "manifest");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which manifest?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = { options,
                                  parse_option,
                                  "IMAGE.json",
                                  "Shows which kernel modules and firmware the image needs, and "
                                  "how many bytes could be dropped.",
                                  cli_children,
                                  NULL,
                                  NULL };

/* ---- sums ---- */

struct sum {
        uint64_t files, bytes;
};

/* The files of one directory: two components below modules/VERSION or firmware. */
struct group {
        char name[GROUP_MAX];
        struct sum needed, rest;
};

struct groups {
        struct group *items;
        size_t count;
        struct group total;
};

static void add(struct group *g, const struct module_file *f)
{
        struct sum *s = f->needed ? &g->needed : &g->rest;

        s->files++;
        s->bytes += f->node->inode->size;
}

/* "kernel/drivers/net/veth.ko.xz" → "drivers/net". */
static void group_name(const struct module_file *f, const char *version, char *ret)
{
        char buffer[TREE_PATH_MAX];
        const char *path = tree_path(f->node, buffer), *end;
        size_t depth = 2;

        path = startswith(path, "/usr/lib/modules/") ?: path + strlen("/usr/lib/");
        path = startswith(path, version) ?: path;
        path += *path == '/';
        path = startswith(path, "kernel/") ?: path;
        for (end = path; *end != '\0'; end++)
                if (*end == '/' && --depth == 0)
                        break;
        if (*end == '\0')
                end = strrchr(path, '/') ?: end;
        snprintf(ret, GROUP_MAX, "%.*s", (int)(end - path), path);
}

/* Files of a directory stand together, but for those that lie between its directories. */
static struct group *find_group(struct groups *g, const char *name)
{
        struct group *items;

        for (size_t i = 0; i < g->count; i++)
                if (streq(g->items[i].name, name))
                        return &g->items[i];
        items = reallocarray(g->items, g->count + 1, sizeof(*items));
        if (!items)
                return NULL;
        g->items = items;
        items[g->count] = (struct group){};
        snprintf(items[g->count].name, GROUP_MAX, "%s", name);
        return &items[g->count++];
}

/* What could be dropped first. */
static int compare_groups(const void *a, const void *b)
{
        const struct group *x = a, *y = b;

        if (x->rest.bytes != y->rest.bytes)
                return x->rest.bytes < y->rest.bytes ? 1 : -1;
        return strcmp(x->name, y->name);
}

static int sum_up(const struct module_use *u, const char *version, struct groups *ret,
                  struct error *err)
{
        for (size_t i = 0; i < u->count; i++) {
                char name[GROUP_MAX];
                struct group *g;

                group_name(&u->items[i], version, name);
                g = find_group(ret, name);
                if (!g)
                        return error_oom(err);
                add(g, &u->items[i]);
                add(&ret->total, &u->items[i]);
        }
        if (ret->count > 0)
                qsort(ret->items, ret->count, sizeof(*ret->items), compare_groups);
        return 0;
}

/* ---- output ---- */

static void print_group(const struct group *g)
{
        printf("%-28s %6ju %12ju  %6ju %12ju\n", *g->name ? g->name : "total",
               (uintmax_t)g->needed.files, (uintmax_t)g->needed.bytes, (uintmax_t)g->rest.files,
               (uintmax_t)g->rest.bytes);
}

static void print_text(const char *version, const struct groups *g)
{
        printf("%-28s %6s %12s  %6s %12s\n", version, "needed", "bytes", "rest", "bytes");
        for (size_t i = 0; i < g->count; i++)
                print_group(&g->items[i]);
        print_group(&g->total);
}

static void print_names(const struct module_use *u)
{
        for (size_t i = 0; i < u->count; i++) {
                char path[TREE_PATH_MAX];

                printf("%s %9ju %s\n", u->items[i].needed ? "keep" : "drop",
                       (uintmax_t)u->items[i].node->inode->size, tree_path(u->items[i].node, path));
        }
}

static void add_sum(json_object *o, const char *key, const struct sum *s)
{
        json_object *value = json_object_new_object();

        json_object_object_add(value, "files", json_object_new_uint64(s->files));
        json_object_object_add(value, "bytes", json_object_new_uint64(s->bytes));
        json_object_object_add(o, key, value);
}

static json_object *group_json(const struct group *g)
{
        json_object *o = json_object_new_object();

        if (g->name[0] != '\0')
                json_object_object_add(o, "directory", json_object_new_string(g->name));
        add_sum(o, "needed", &g->needed);
        add_sum(o, "droppable", &g->rest);
        return o;
}

static json_object *files_json(const struct module_use *u, bool needed)
{
        json_object *list = json_object_new_array();
        char path[TREE_PATH_MAX];

        for (size_t i = 0; i < u->count; i++)
                if (u->items[i].needed == needed)
                        json_object_array_add(
                                list, json_object_new_string(tree_path(u->items[i].node, path)));
        return list;
}

static void print_json(const struct module_use *u, const char *version, const struct groups *g)
{
        json_object *root = group_json(&g->total), *list = json_object_new_array();

        json_object_object_add(root, "version", json_object_new_string(version));
        for (size_t i = 0; i < g->count; i++)
                json_object_array_add(list, group_json(&g->items[i]));
        json_object_object_add(root, "directories", list);
        json_object_object_add(root, "keep", files_json(u, true));
        json_object_object_add(root, "drop", files_json(u, false));
        cli_print_json(root);
}

static int print(const struct arguments *a, const struct module_use *u, const char *version,
                 struct error *err)
{
        struct groups g = {};
        int r = sum_up(u, version, &g, err);

        if (r >= 0 && a->cli.json)
                print_json(u, version, &g);
        else if (r >= 0 && a->names)
                print_names(u);
        else if (r >= 0)
                print_text(version, &g);
        free(g.items);
        return r;
}

static int find_and_print(const struct arguments *a, const struct workdir *w,
                          const struct manifest *m, const struct tree *tree, struct error *err)
{
        _cleanup_module_use_ struct module_use use = {};
        _cleanup_free_ char *version = NULL;
        char path[TREE_PATH_MAX];
        int r = kernel_version(tree, &version, err);

        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/usr/lib/modules/%s", version);
        r = module_use_find(w, m, tree, tree_lookup(tree, path), NULL, 0, &use, err);
        return r < 0 ? r : print(a, &use, version, err);
}

static int modules(const struct arguments *a, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        _cleanup_composition_ struct composition c = {};
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        int r;

        r = manifest_load(a->manifest, &m, err);
        if (r >= 0)
                r = cli_workdir(&a->cli, NULL, &w, err);
        if (r >= 0)
                r = compose(&w, &m, &a->compose, &c, err);
        return r < 0 ? r : find_and_print(a, &w, &m, c.merge.tree, err);
}

int verb_kernel_modules(int argc, char *argv[], struct error *err)
{
        struct arguments a = { .compose.until = STEP_MERGE };
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = cli_epoch(&a.compose.epoch, err);
        if (r >= 0)
                r = modules(&a, err);
        cli_options_done(&a.cli);
        return r;
}
