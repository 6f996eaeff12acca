/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compose-internal.h. Asking the servers whether there is anything new takes longer than all
 * else a build does whose packages are known. So they are asked on a thread, and the first steps
 * go on meanwhile with what they said last time, as far as the cache has all of it. When they do
 * say something else, these steps are done again; what was imported for nothing stays in the
 * repository and harms nobody. No image is made, and none is called unchanged, before they have
 * spoken. */

#include "commit.h"
#include "compose-internal.h"
#include "inputs.h"
#include "strv.h"

/* ---- the servers ---- */

static int ask(void *job, struct error *err)
{
        struct run *run = job;

        return packages_resolve(&run->asking, run->m, &run->news, err);
}

static int ask_servers(struct run *run, struct error *err)
{
        int r = background_new(&run->servers, err);

        run->asking = *run->w;
        run->asking.progress = NULL;
        return r < 0 ? r : background_start(run->servers, ask, run, err);
}

void artifacts_done(struct artifacts *a)
{
        for (size_t i = 0; i < a->count; i++)
                free(a->items[i].name);
        free(a->items);
        *a = (struct artifacts){};
}

/* What was made of other packages is none of this build's. */
static void take_news(struct run *run)
{
        package_trees_done(&run->trees);
        merge_result_done(&run->c->merge);
        package_set_done(&run->c->packages);
        artifacts_done(&run->c->artifacts);
        run->c->packages = TAKE_STRUCT(run->news);
        run->c->unchanged = false;
}

int compose_hear_servers(struct run *run, struct error *err)
{
        int r;

        if (!run->servers)
                return 0;
        r = background_wait(run->servers, err);
        background_free(TAKE_PTR(run->servers));
        if (r < 0)
                return r;
        if (package_set_equal(&run->news, &run->c->packages))
                return 0;
        take_news(run);
        return 1;
}

void compose_ignore_servers(struct run *run)
{
        background_free(TAKE_PTR(run->servers));
        package_set_done(&run->news);
}

/* ---- the steps ---- */

static int load_lock(struct run *run, struct error *err)
{
        const struct compose_options *o = run->options;
        _cleanup_free_ char *path = o->lock ? strdup(o->lock) : lock_path(run->m->path);

        if (!path)
                return error_oom(err);
        return o->locked || access(path, F_OK) == 0 ? lock_load(path, &run->lock, err) : 0;
}

static int find_packages(struct run *run, struct error *err)
{
        struct package_set *packages = &run->c->packages;
        int r = load_lock(run, err);

        if (r < 0)
                return r;
        if (run->options->locked)
                return *packages = TAKE_STRUCT(run->lock.packages), 0;
        if (run->w->offline)
                return packages_resolve(run->w, run->m, packages, err);
        r = ask_servers(run, err);
        if (r >= 0 && !packages_recall(run->w, run->m, packages))
                r = compose_hear_servers(run, err);
        return MIN(r, 0);
}

int compose_step_resolve(struct run *run, struct error *err)
{
        struct composition *c = run->c;
        int r = 0;

        if (!run->found)
                r = find_packages(run, err);
        run->found = true;
        c->epoch = run->options->epoch ?: c->packages.newest;
        if (r >= 0 && run->options->base)
                r = base_commit_find(run->w, run->options->base, &run->base, err);
        if (r >= 0)
                r = inputs_key(run->w, run->m, &c->packages, &run->lock, c->epoch, &run->base,
                               &run->signers, &c->key, err);
        if (r < 0 || run->w->output_fd < 0 || run->options->until != STEP_OUTPUT ||
            run->options->requests)
                return r;
        return receipt_check(run->w->output_fd, c, err);
}

int compose_step_fetch(struct run *run, struct error *err)
{
        return packages_fetch(run->w, &run->c->packages, err);
}

/* The transaction lasts until the image's tree is committed as well: then the disk is waited for
 * once, beside the next steps. */
int compose_step_import(struct run *run, struct error *err)
{
        int r = run->transaction ? 0 : repo_begin(run->w->repo, err);

        if (r < 0)
                return r;
        r = packages_import(run->w, &run->c->packages, &run->trees, err);
        if (r < 0)
                repo_abort(run->w->repo);
        run->transaction = r >= 0;
        return r;
}
