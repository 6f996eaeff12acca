/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has to be fetched, and by which stage. What stands in the configuration itself (data:) is no
 * fetch; references to other configurations are listed while they are followed (plan.c). */

#include "data-url.h"
#include "plan.h"
#include "url.h"

static void add(struct plan *p, const struct resource *r, const char *what)
{
        char scheme[URL_SCHEME_MAX], text[URL_TEXT_MAX];
        const char *hash = r->verification.hash;

        if (string_is_empty(r->source) || url_scheme(r->source, scheme) < 0 ||
            streq(scheme, "data"))
                return;
        plan_add(p, "fetch", url_text(r->source, text), "%s%s%.16s%s", what,
                 hash ? ", verified by " : ", not verified", hash ?: "", hash ? "…" : "");
}

static void add_list(struct plan *p, const struct config_list *list, const char *what)
{
        CONFIG_FOREACH(struct resource, r, list)
        add(p, r, what);
}

void plan_fetch(struct plan *p)
{
        const struct config_root *root = &p->agent->config.root;

        add_list(p, &root->ignition.security.tls.authorities, "certificate authority");
        CONFIG_FOREACH(struct luks, l, &root->storage.luks)
        {
                add(p, &l->key_file, "key file, by the disks stage");
                CONFIG_FOREACH(struct tang, t, &l->clevis.tang)
                plan_add(p, "fetch", t->url ?: "", "tang server, by the disks stage");
        }
        CONFIG_FOREACH(struct file, f, &root->storage.files)
        {
                add(p, &f->contents, f->node.path);
                add_list(p, &f->append, f->node.path);
        }
}
