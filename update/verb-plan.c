/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-update plan: what applying the offered release would take, and what to look at before. */

#include "strv.h"
#include "verbs.h"

struct plan {
        struct upgrade upgrade;
        char **etc;
        char fits[ERROR_MESSAGE_MAX]; /* why it does not; "" */
};

static void plan_done(struct plan *p)
{
        upgrade_done(&p->upgrade);
        strv_free(p->etc);
}

static const char *const object_names[_STAGE_OBJECT_MAX] = {
        [STAGE_TREE] = "hashTree",
        [STAGE_USR] = "usr",
        [STAGE_UKI] = "uki",
};

static uint64_t sum(const struct plan *p, size_t member)
{
        uint64_t all = 0;

        for (size_t i = 0; i < _STAGE_OBJECT_MAX; i++)
                all += *(const uint64_t *)((const char *)&p->upgrade.counts[i] + member);
        return all;
}
#define SUM(plan, member) sum(plan, offsetof(struct stage_count, member))

static json_object *count_json(const struct stage_count *c)
{
        json_object *object = json_object_new_object();

        add_number(object, "blocks", c->blocks);
        add_number(object, "present", c->present);
        add_number(object, "zero", c->zero);
        add_number(object, "reused", c->reused);
        add_number(object, "patched", c->patched);
        add_number(object, "missing", c->missing);
        add_number(object, "requests", c->ranges);
        add_number(object, "fetchBytes", c->fetch_bytes);
        return object;
}

static json_object *extensions_json(const struct extension_plan *p)
{
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < p->problems.count; i++) {
                json_object *item = json_object_new_object();

                add_text(item, "name", p->problems.items[i].name);
                add_text(item, "reason", p->problems.items[i].reason);
                if (p->replacements[i])
                        add_text(item, "replacement", p->replacements[i]->version);
                json_object_array_add(array, item);
        }
        return array;
}

static void print_plan_json(const struct plan *p)
{
        const struct release *r = &p->upgrade.offer.release;
        json_object *root = json_object_new_object(), *etc = json_object_new_array();

        add_text(root, "state", upgrade_verdict_names[p->upgrade.verdict]);
        add_text(root, "running", p->upgrade.host.release.version);
        add_text(root, "version", r->version);
        add_number(root, "fetchBytes", SUM(p, fetch_bytes));
        add_number(root, "requests", SUM(p, ranges));
        add_number(root, "reusedBlocks", SUM(p, reused) + SUM(p, present) + SUM(p, zero));
        for (size_t i = 0; i < _STAGE_OBJECT_MAX; i++)
                json_object_object_add(root, object_names[i], count_json(&p->upgrade.counts[i]));
        json_object_object_add(root, "fits", json_object_new_boolean(!*p->fits));
        if (*p->fits)
                add_text(root, "reason", p->fits);
        STRV_FOREACH (path, p->etc)
                json_object_array_add(etc, json_object_new_string(*path));
        json_object_object_add(root, "etc", etc);
        json_object_object_add(root, "extensions", extensions_json(&p->upgrade.extensions));
        print_json(root);
}

static void print_extensions(const struct extension_plan *p)
{
        for (size_t i = 0; i < p->problems.count; i++) {
                const struct extension_entry *e = p->replacements[i];

                printf("extension '%s' %s: ", p->problems.items[i].name,
                       p->problems.items[i].reason);
                if (e)
                        printf("%s takes its place\n", e->version);
                else
                        puts("the site has none that fits");
        }
}

static void print_plan(const struct plan *p)
{
        const struct release *r = &p->upgrade.offer.release;

        printf("release %s, %s; %s runs\n", r->version, upgrade_verdict_names[p->upgrade.verdict],
               p->upgrade.host.release.version);
        printf("to fetch: %.1f of %.1f MiB, in %ju requests\n",
               (double)SUM(p, fetch_bytes) / (double)MIB,
               (double)(r->usr_size + r->tree_size + r->uki_size) / (double)MIB,
               (uintmax_t)SUM(p, ranges));
        printf("blocks: %ju here already, %ju from patches, %ju to fetch\n",
               (uintmax_t)(SUM(p, reused) + SUM(p, present) + SUM(p, zero)),
               (uintmax_t)SUM(p, patched), (uintmax_t)SUM(p, missing));
        printf("fits: %s\n", *p->fits ? p->fits : "yes");
        STRV_FOREACH (path, p->etc)
                printf("changed here and in the release: /etc/%s\n", *path);
        print_extensions(&p->upgrade.extensions);
}

static int make_plan(struct plan *p, struct error *err)
{
        struct upgrade *u = &p->upgrade;
        const struct host_places *places = &u->options->places;
        _cleanup_free_ char *repo = host_path(places, STATE_DIRECTORY "/repo");
        struct error fits = {};
        int r = repo ? upgrade_fits(u, &fits) : error_oom(err);

        if (r == -ENOSPC)
                snprintf(p->fits, sizeof(p->fits), "%s", fits.message);
        else if (r < 0)
                return error_set(err, r, "%s", fits.message);
        else
                r = upgrade_plan(u, err);
        if (r >= 0 || r == -ENOSPC)
                r = upgrade_extensions(u, err);
        if (r >= 0)
                r = site_etc_conflicts(u->config.site, repo, &u->offer.commit, places->root,
                                       &p->etc, err);
        return r;
}

int verb_plan(const struct arguments *a, struct error *err)
{
        _cleanup_(plan_done) struct plan p = { .upgrade = UPGRADE_NULL };
        int r = upgrade_open(&a->options, &p.upgrade, err);

        if (r >= 0)
                r = upgrade_check(&p.upgrade, err);
        if (r >= 0)
                r = make_plan(&p, err);
        if (r >= 0)
                a->json ? print_plan_json(&p) : print_plan(&p);
        return r;
}
