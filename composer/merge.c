/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The step "merge" of the pipeline, see merge.h: loads the package trees (in parallel, they are
 * many small reads), unites them, puts the layers on top and runs the fix-ups. Everything after the
 * loading is one thread over data in memory. */

#include "fixup.h"
#include "parallel.h"
#include "script.h"
#include "strv.h"

void merge_result_done(struct merge_result *r)
{
        tree_free(r->tree);
        for (size_t i = 0; i < r->users.count; i++)
                free(r->users.items[i].name);
        for (size_t i = 0; i < r->groups.count; i++)
                free(r->groups.items[i].name);
        for (size_t i = 0; i < r->findings.count; i++) {
                free(r->findings.items[i].subject);
                free(r->findings.items[i].reason);
        }
        free(r->users.items);
        free(r->groups.items);
        free(r->findings.items);
        memset(r, 0, sizeof(*r));
}

struct loaded {
        const struct workdir *w;
        struct package_tree *items;
        size_t count;
};

static void loaded_done(struct loaded *l)
{
        for (size_t i = 0; l->items && i < l->count; i++)
                tree_free(l->items[i].tree);
        free(l->items);
}

static int load_one(void *context, size_t index, struct error *err)
{
        struct loaded *l = context;
        _cleanup_free_ char *ref = package_ref(l->items[index].package);
        int r;

        if (!ref)
                return error_oom(err);
        r = repo_load_tree(l->w->repo, ref, &l->items[index].tree, err);
        return error_prefix(err, r, "package '%s'", l->items[index].package->name);
}

static int load_packages(struct loaded *l, const struct package_set *set, struct error *err)
{
        l->items = calloc(set->count + 1, sizeof(*l->items));
        if (!l->items)
                return error_oom(err);
        l->count = set->count;
        for (size_t i = 0; i < set->count; i++)
                l->items[i].package = &set->items[i];
        return parallel_for(l->count, l->w->threads, load_one, l, err);
}

static int add_layers(const struct fixup_context *c, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->m->n_layers; i++)
                r = layer_files(&c->m->layers[i], c->tree, err);
        for (size_t i = 0; r == 0 && i < c->m->n_layers; i++)
                r = layer_programs(&c->m->layers[i], c->w->libexec_path, c->tree, err);
        return r;
}

static int merge_into(struct fixup_context *c, struct error *err)
{
        _cleanup_diversions_ struct diversions diversions = {};
        int r = diversions_collect(c->packages, c->count, c->store, &diversions, err);

        if (r == 0)
                r = tree_union(c->packages, c->count, &diversions, c->store, c->tree, err);
        if (r == 0)
                r = add_layers(c, err);
        if (r == 0)
                r = scripts_review(c->packages, c->count, c->store, c->tree, c->result, err);
        if (r == 0)
                r = fixups_run(c, err);
        accounts_done(&c->accounts);
        return r;
}

int tree_merge(const struct workdir *w, const struct manifest *m, const struct package_set *set,
               const struct lock *lock, struct merge_result *ret, struct error *err)
{
        _cleanup_merge_result_ struct merge_result result = {};
        _cleanup_(loaded_done) struct loaded loaded = { .w = w };
        struct content_store store = repo_contents(w->repo);
        struct fixup_context c = {
                .w = w, .m = m, .store = &store, .lock = lock, .result = &result
        };
        int r = load_packages(&loaded, set, err);

        if (r == 0)
                r = tree_new(&result.tree, err);
        if (r < 0)
                return r;
        c.packages = loaded.items;
        c.count = loaded.count;
        c.tree = result.tree;
        r = merge_into(&c, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(result);
        return 0;
}
