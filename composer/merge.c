/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The step "merge" of the pipeline, see merge.h: unites the package trees, puts the layers on top
 * and runs the fix-ups: one thread over data in memory. */

#include "fixup.h"
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

static int add_layers(const struct fixup_context *c, struct error *err)
{
        bool is_signed = c->m->trust.root_hash != ROOT_HASH_UNSIGNED;
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->m->n_layers; i++)
                r = layer_files(&c->m->layers[i], is_signed, c->tree, err);
        for (size_t i = 0; r == 0 && i < c->m->n_layers; i++)
                r = layer_kernel(&c->m->layers[i], c->w->cache_path, c->tree, err);
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

int tree_merge(const struct workdir *w, const struct manifest *m,
               const struct package_trees *packages, const struct merge_inputs *inputs,
               struct merge_result *ret, struct error *err)
{
        _cleanup_merge_result_ struct merge_result result = {};
        struct content_store store = repo_contents(w->repo);
        struct fixup_context c = { .w = w,
                                   .m = m,
                                   .store = &store,
                                   .lock = inputs->lock,
                                   .epoch = inputs->epoch,
                                   .certificate = inputs->certificate,
                                   .result = &result,
                                   .packages = packages->items,
                                   .count = packages->count };
        int r = tree_new(&result.tree, err);

        if (r < 0)
                return r;
        c.tree = result.tree;
        r = merge_into(&c, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(result);
        return 0;
}
