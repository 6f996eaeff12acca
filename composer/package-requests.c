/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See package-requests.h. */

#include "package-requests.h"
#include "strv.h"

/* The last layer that excludes it; NULL: none does. */
static const struct layer *excluding_layer(const struct manifest *m, const char *name)
{
        for (size_t i = m->n_layers; i-- > 0;)
                if (strv_contains(m->layers[i].exclude, name))
                        return &m->layers[i];
        return NULL;
}

static int add_request(const struct manifest *m, const struct layer *layer, const char *name,
                       char ***names, struct error *err)
{
        const struct layer *excluding = excluding_layer(m, name);

        if (excluding > layer)
                return 0;
        if (excluding)
                return error_set(err, -EINVAL, "layer '%s': package '%s' is excluded by layer '%s'",
                                 layer->name, name, excluding->name);
        if (!strv_contains(*names, name) && strv_extend(names, name) < 0)
                return error_oom(err);
        return 0;
}

int package_requests(const struct manifest *m, char ***ret, struct error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = 0;

        for (size_t i = 0; i < m->n_layers; i++)
                STRV_FOREACH (name, m->layers[i].packages)
                        if (r == 0)
                                r = add_request(m, &m->layers[i], *name, &names, err);
        if (r < 0)
                return r;
        if (names)
                strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}
