/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a configuration says about fetching: timeouts, proxies, certificate authorities. The
 * authorities are fetched once: in the configuration's tree each source becomes the data: URL of
 * what was there, which then goes into the cache for the stages that follow. */

#include <strings.h>

#include "base64.h"
#include "fetch-internal.h"
#include "resource.h"

static void delete_member(json_object *object, const char *name)
{
        const char *found;

        do {
                found = NULL;
                json_object_object_foreach (object, key, value) {
                        (void)value;
                        if (strcasecmp(key, name) == 0)
                                found = key;
                }
                if (found)
                        json_object_object_del(object, found);
        } while (found);
}

/* The resource and its object in the tree stand for these bytes now. */
static int make_data_resource(struct resource *r, const char *data, size_t size, struct error *err)
{
        static const char *const names[] = { "source", "compression", "httpHeaders" };
        _cleanup_free_ char *base64 = base64_encode(data, size), *url = NULL;
        json_object *source;

        url = base64 ? string_format("data:;base64,%s", base64) : NULL;
        source = url ? json_object_new_string(url) : NULL;
        if (!source)
                return error_oom(err);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                delete_member(r->at, names[i]);
        json_object_object_add(r->at, "source", source);
        r->source = json_object_get_string(source);
        r->compression = NULL;
        r->headers.count = 0;
        return 0;
}

static int load_authority(struct agent *a, struct resource *r, struct authorities **list,
                          struct error *err)
{
        _cleanup_free_ char *pem = NULL;
        size_t size = 0;
        int code;

        code = resource_text(a, r, &pem, &size, err);
        if (code >= 0 && size > 0)
                code = authorities_add(list, pem, size, err);
        if (code >= 0 && !(startswith(r->source, "data:") && string_is_empty(r->compression)))
                code = make_data_resource(r, pem, size, err);
        return error_prefix(err, code, "certificate authority");
}

static int load_authorities(struct agent *a, const struct config_list *from,
                            struct authorities **ret, struct error *err)
{
        _cleanup_(authorities_free_p) struct authorities *list = NULL;
        struct resource *items = from->items;

        for (size_t i = 0; i < from->count; i++) {
                int r = 0;

                if (!string_is_empty(items[i].source))
                        r = load_authority(a, &items[i], &list, err);
                if (r < 0)
                        return agent_setting(a, items[i].at, "source", r);
        }
        *ret = TAKE_PTR(list);
        return 0;
}

static int copy_proxies(const struct config_tree *ignition, struct proxies *ret, struct error *err)
{
        const struct config_strings *bypass = &ignition->proxy.no_proxy;

        ret->http = strdup(ignition->proxy.http ?: "");
        ret->https = strdup(ignition->proxy.https ?: "");
        if (!ret->http || !ret->https)
                return error_oom(err);
        for (size_t i = 0; i < bypass->count; i++)
                if (strv_extend(&ret->bypass, bypass->items[i]) < 0)
                        return error_oom(err);
        return 0;
}

/* Seconds; not given or not positive: the default, as in the original 0 is without limit. */
static uint64_t seconds(const struct config_int *value, uint64_t default_ms)
{
        return !value->set        ? default_ms
               : value->value < 0 ? 0
                                  : MIN((uint64_t)value->value, UINT64_MAX / 1000) * 1000;
}

int fetch_configure(struct agent *a, struct config *c, struct error *err)
{
        const struct config_tree *ignition = &c->root.ignition;
        _cleanup_(authorities_free_p) struct authorities *list = NULL;
        _cleanup_(proxies_done) struct proxies proxies = {};
        struct fetcher *f;
        int r;

        r = fetcher_get(a, &f, err);
        if (r >= 0)
                r = copy_proxies(ignition, &proxies, err);
        if (r >= 0)
                r = load_authorities(a, &ignition->security.tls.authorities, &list, err);
        if (r < 0)
                return r;
        authorities_free(f->authorities);
        f->authorities = TAKE_PTR(list);
        proxies_done(&f->proxies);
        f->proxies = TAKE_STRUCT(proxies);
        f->headers_ms = seconds(&ignition->timeouts.response_headers, FETCH_HEADERS_MS);
        f->total_ms = seconds(&ignition->timeouts.total, 0);
        f->configured = true;
        return 0;
}
