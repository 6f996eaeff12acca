/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway kernel check KERNEL: whether a kernel has the options that fragments ask for. What a
 * kernel is named by decides where its configuration comes from: a file, a directory with a file
 * system, a build's output directory, a manifest or a commit. */

#include <sys/stat.h>

#include "kernel-check.h"
#include "kernel-config.h"
#include "kernel-fragments.h"
#include "report.h"
#include "verb-kernel.h"

struct arguments {
        struct cli_options cli;
        const char *kernel;
        char **fragments;
        bool all;
};

enum { KEY_FRAGMENTS = 0x200, KEY_ALL };

static const struct argp_option options[] = {
        { "fragments", KEY_FRAGMENTS, "NAME|FILE,...", 0,
          "What to ask for (default: base,verity,container; of a manifest, what its layers name)",
          0 },
        { "all", KEY_ALL, NULL, 0, "List the options that are as they should be, too", 0 },
        {},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
        struct arguments *a = state->input;

        switch (key) {
        case ARGP_KEY_INIT: state->child_inputs[0] = &a->cli; return 0;
        case KEY_FRAGMENTS:
                strv_free(TAKE_PTR(a->fragments));
                return strv_split(argument, ",", &a->fragments) < 0 ? ENOMEM : 0;
        case KEY_ALL: a->all = true; return 0;
        case ARGP_KEY_ARG: return cli_one_argument(state, argument, &a->kernel, "kernel");
        case ARGP_KEY_NO_ARGS: argp_error(state, "which kernel?"); return 0;
        default: return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp argp = {
        options,
        parse_option,
        "CONFIG|KERNEL|DIRECTORY|IMAGE.json|COMMIT",
        "Checks a kernel's configuration against fragments.",
        cli_children,
        NULL,
        NULL,
};

/* ---- the configuration ---- */

static int load_commit(const struct arguments *a, const char *commit, struct kconfig *ret,
                       struct error *err)
{
        _cleanup_workdir_ struct workdir w = { .cache_fd = -1, .output_fd = -1 };
        _cleanup_tree_ struct tree *tree = NULL;
        struct content_store store;
        int r = cli_workdir(&a->cli, NULL, &w, err);

        if (r >= 0)
                r = repo_load_tree(w.repo, commit, &tree, err);
        if (r < 0)
                return r;
        store = repo_contents(w.repo);
        return kernel_config_tree(tree, &store, ret, err);
}

static int load_build(const struct arguments *a, struct kconfig *ret, struct error *err)
{
        _cleanup_report_summary_ struct report_summary summary = {};
        char hex[SHA256_HEX_SIZE];
        int r = report_load(a->kernel, &summary, err);

        return r < 0 ? r : load_commit(a, sha256_hex(&summary.commit, hex), ret, err);
}

/* The last image that was built of it. */
static int load_manifest(const struct arguments *a, const struct manifest *m, struct kconfig *ret,
                         struct error *err)
{
        _cleanup_free_ char *ref = string_format("image/%s/%s", m->name, m->architecture);

        return ref ? load_commit(a, ref, ret, err) : error_oom(err);
}

static int load_directory(const struct arguments *a, struct kconfig *ret, struct error *err)
{
        struct error no_tree = {};
        int r = kernel_config_directory(a->kernel, ret, &no_tree);

        if (r == -ENOENT)
                return load_build(a, ret, err);
        if (r < 0)
                return error_set(err, r, "%s", no_tree.message);
        return r;
}

static int load_kernel(const struct arguments *a, const struct manifest *m, struct kconfig *ret,
                       struct error *err)
{
        struct stat st;

        if (m->name)
                return load_manifest(a, m, ret, err);
        if (stat(a->kernel, &st) < 0)
                return error_prefix(err, load_commit(a, a->kernel, ret, err),
                                    "'%s' is no file; as a commit", a->kernel);
        return S_ISDIR(st.st_mode) ? load_directory(a, ret, err)
                                   : kernel_config_file(a->kernel, ret, err);
}

/* ---- the fragments ---- */

static int load_demands(const struct arguments *a, const struct manifest *m,
                        struct kernel_demands *ret, struct error *err)
{
        static const char *const defaults[] = { "base", "verity", "container", NULL };

        if (!a->fragments && m->name)
                return kernel_fragments_of_image(m, ret, err);
        return kernel_fragments_load(NULL, a->fragments ?: (char **)defaults, ret, err);
}

/* ---- the answer ---- */

/* How many demands got which verdict. */
struct tally {
        unsigned required[_KERNEL_VERDICT_MAX], recommended[_KERNEL_VERDICT_MAX];
};

static unsigned bad(const unsigned *counts)
{
        unsigned n = 0;

        for (int v = 0; v < _KERNEL_VERDICT_MAX; v++)
                if (!kernel_verdict_good((enum kernel_verdict)v))
                        n += counts[v];
        return n;
}

static void count(struct tally *t, const struct kernel_demand *d, enum kernel_verdict verdict)
{
        (d->required ? t->required : t->recommended)[verdict]++;
}

static const char *level(const struct kernel_demand *d)
{
        return d->required ? "required" : "recommended";
}

static void print_row(const struct kernel_demand *d, const struct kconfig_option *found,
                      enum kernel_verdict verdict)
{
        printf("%-25s %-11s %s: wants %s, has %s\n", kernel_verdict_names[verdict], level(d),
               d->option->name, kernel_wanted(d), found ? found->value : "nothing");
        printf("%-25s %-11s %s:%u: %s\n", "", "", basename(d->fragment->name), d->option->line,
               d->reason);
}

static int print_conflicts(const struct kernel_demands *d, struct error *err)
{
        for (size_t i = 0; i < d->n_conflicts; i++) {
                _cleanup_free_ char *text = kernel_conflict_text(&d->conflicts[i]);

                if (!text)
                        return error_oom(err);
                printf("%-25s %-11s %s\n", "contradictory", "", text);
        }
        return 0;
}

/* What is wrong and required first: it is what has to be looked at. */
static int print_text(const struct arguments *a, const struct kconfig *config,
                      const struct kernel_demands *d, const struct tally *t, struct error *err)
{
        int r = print_conflicts(d, err);

        for (int required = 1; r >= 0 && required >= 0; required--)
                for (size_t i = 0; i < d->count; i++) {
                        const struct kconfig_option *found;
                        enum kernel_verdict v = kernel_judge(config, &d->items[i], &found);

                        if (d->items[i].required == required && (a->all || !kernel_verdict_good(v)))
                                print_row(&d->items[i], found, v);
                }
        printf("%s: %zu fragments; required: %u as they must be, %u not; recommended: %u as they "
               "should be, %u not\n",
               config->name, d->n_fragments, t->required[KERNEL_OK], bad(t->required),
               t->recommended[KERNEL_OK], bad(t->recommended));
        return r;
}

static void put_text(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static json_object *demand_json(const struct kernel_demand *d)
{
        json_object *item = json_object_new_object();

        put_text(item, "option", d->option->name);
        put_text(item, "wanted", d->option->value);
        put_text(item, "level", level(d));
        put_text(item, "fragment", d->fragment->name);
        json_object_object_add(item, "line", json_object_new_int((int)d->option->line));
        put_text(item, "reason", d->reason);
        return item;
}

static void print_json(const struct kconfig *config, const struct kernel_demands *d, bool good)
{
        json_object *root = json_object_new_object(), *options_json = json_object_new_array(),
                    *conflicts = json_object_new_array();

        put_text(root, "kernel", config->name);
        put_text(root, "architecture", kernel_architecture(config));
        json_object_object_add(root, "good", json_object_new_boolean(good));
        for (size_t i = 0; i < d->count; i++) {
                const struct kconfig_option *found;
                enum kernel_verdict v = kernel_judge(config, &d->items[i], &found);
                json_object *item = demand_json(&d->items[i]);

                put_text(item, "verdict", kernel_verdict_names[v]);
                put_text(item, "found", found ? found->value : NULL);
                json_object_array_add(options_json, item);
        }
        for (size_t i = 0; i < d->n_conflicts; i++) {
                json_object *pair = json_object_new_array();

                json_object_array_add(pair, demand_json(&d->conflicts[i].a));
                json_object_array_add(pair, demand_json(&d->conflicts[i].b));
                json_object_array_add(conflicts, pair);
        }
        json_object_object_add(root, "options", options_json);
        json_object_object_add(root, "conflicts", conflicts);
        cli_print_json(root);
}

static int answer(const struct arguments *a, const struct kconfig *config,
                  const struct kernel_demands *d, struct error *err)
{
        struct tally t = {};
        bool good;
        int r = 0;

        for (size_t i = 0; i < d->count; i++)
                count(&t, &d->items[i], kernel_judge(config, &d->items[i], NULL));
        good = d->n_conflicts == 0 && bad(t.required) == 0;
        if (a->cli.json)
                print_json(config, d, good);
        else
                r = print_text(a, config, d, &t, err);
        return r < 0 ? r : good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check(const struct arguments *a, struct error *err)
{
        _cleanup_manifest_ struct manifest m = {};
        _cleanup_kernel_demands_ struct kernel_demands d = {};
        _cleanup_kconfig_ struct kconfig config = {};
        int r = 0;

        if (endswith(a->kernel, ".json"))
                r = manifest_load(a->kernel, &m, err);
        if (r >= 0)
                r = load_demands(a, &m, &d, err);
        if (r >= 0)
                r = load_kernel(a, &m, &config, err);
        return r < 0 ? r : answer(a, &config, &d, err);
}

int verb_kernel_check(int argc, char *argv[], struct error *err)
{
        struct arguments a = {};
        int r;

        argp_parse(&argp, argc, argv, 0, NULL, &a);
        r = check(&a, err);
        cli_options_done(&a.cli);
        strv_free(a.fragments);
        return r;
}
