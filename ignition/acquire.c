/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From provider to cache, and back from the cache. The state file says where each setting was
 * written, so that later stages can name file, line and column. */

#include <fcntl.h>

#include "announce.h"
#include "fetch.h"
#include "origin.h"
#include "resolve.h"
#include "strv.h"

/* ---- what needs the network ---- */

static json_object *remote_resource(const struct resource *r)
{
        return string_is_empty(r->source) || startswith(r->source, "data:") ? NULL : r->at;
}

static json_object *remote_in_list(const struct config_list *list)
{
        json_object *at = NULL;

        CONFIG_FOREACH(struct resource, r, list)
        at = at ?: remote_resource(r);
        return at;
}

static json_object *remote_key(const struct luks *l)
{
        json_object *at = remote_resource(&l->key_file);

        CONFIG_FOREACH(struct tang, t, &l->clevis.tang)
        if (!at && string_is_empty(t->advertisement))
                at = t->at;
        return !at && config_is_true(&l->clevis.custom.needs_network) ? l->clevis.custom.at : at;
}

json_object *config_needs_network(const struct config *c)
{
        const struct config_root *root = &c->root;
        json_object *at = remote_in_list(&root->ignition.security.tls.authorities);

        CONFIG_FOREACH(struct file, f, &root->storage.files)
        {
                at = at ?: remote_resource(&f->contents);
                at = at ?: remote_in_list(&f->append);
        }
        CONFIG_FOREACH(struct luks, l, &root->storage.luks)
        at = at ?: remote_key(l);
        return at;
}

/* ---- acquiring ---- */

static int ask_providers(struct agent *a, const char **ret_name, struct config_text *ret,
                         struct error *err)
{
        const struct provider *const order[] = { &provider_cmdline, &provider_system,
                                                 provider_find(a->options.platform) };

        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
                int r = order[i]->fetch(a, ret, err);

                *ret_name = order[i]->name;
                if (r != PROVIDER_NONE)
                        return r;
                log_line(&a->log, LOG_INFO, "no config provided by %s", order[i]->name);
        }
        return PROVIDER_NONE;
}

static int write_cache(struct agent *a, struct error *err)
{
        const char *path = a->options.config_cache, *slash = strrchr(path, '/');
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;
        int r;

        r = config_translate(&a->config, &text, err);
        if (r >= 0 && parent && *parent)
                r = path_mkdirs(AT_FDCWD, parent, 0755, err);
        return r < 0 ? r : file_write(AT_FDCWD, path, text, strlen(text), 0640, err);
}

static int finish(struct agent *a, struct error *err)
{
        int r = write_cache(a, err);

        if (r < 0)
                return r;
        if (origins_save(&a->state, a->sources, a->tree) < 0)
                return error_oom(err);
        announce_configs(a);
        return 0;
}

int agent_acquire(struct agent *a, bool *ret_need_network, struct error *err)
{
        _cleanup_(config_text_done) struct config_text text = {};
        const char *provider = NULL;
        int r;

        if (state_add_config(&a->state, "base", "system", false) < 0)
                return error_oom(err);
        r = ask_providers(a, &provider, &text, err);
        if (r < 0 && r != PROVIDER_NONE && r != PROVIDER_NEEDS_NETWORK)
                return r;
        if (r >= 0 && text.size > 0) {
                log_line(&a->log, LOG_INFO, "fetched user config from %s", text.source);
                if (state_add_config(&a->state, "user", provider, false) < 0)
                        return error_oom(err);
        }
        if (r != PROVIDER_NEEDS_NETWORK)
                r = agent_resolve(a, &text, err);
        if (r == PROVIDER_NEEDS_NETWORK || r == FETCH_OFFLINE) {
                *ret_need_network = true;
                return 0;
        }
        return r < 0 ? r : finish(a, err);
}

/* ---- what the stages before left ---- */

int agent_load_state(struct agent *a, struct error *err)
{
        return state_load(a->options.state_file, &a->state, err);
}

int agent_load_config(struct agent *a, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, a->options.config_cache, CONFIG_SIZE_MAX, &text, &size, err);
        if (r >= 0)
                r = agent_parse(a, a->options.config_cache, text, size, &a->config, err);
        if (r >= 0)
                r = fetch_configure(a, &a->config, err);
        return error_prefix(err, r, "failed to acquire config");
}
