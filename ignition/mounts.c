/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See mounts.h. */

#include "mounts.h"

static bool is_mounted(const struct filesystem *f)
{
        return !string_is_empty(f->path) && !string_is_empty(f->format) &&
               !streq(f->format, "none") && !streq(f->format, "swap");
}

static unsigned depth(const char *path)
{
        unsigned n = 0;

        for (; *path; path++)
                n += *path == '/' && path[1];
        return n;
}

/* By depth, then by name so that the order is always the same. */
static int compare(const void *a, const void *b)
{
        const struct filesystem *const *x = a, *const *y = b;
        unsigned dx = depth((*x)->path), dy = depth((*y)->path);

        return dx != dy ? (dx > dy ? 1 : -1) : strcmp((*x)->path, (*y)->path);
}

int mounts_list(const struct config *c, struct mounts *ret, struct error *err)
{
        const struct config_list *list = &c->root.storage.filesystems;

        ret->count = 0;
        ret->items = calloc(list->count + 1, sizeof(*ret->items));
        if (!ret->items)
                return error_oom(err);
        CONFIG_FOREACH(struct filesystem, f, list)
        if (is_mounted(f))
                ret->items[ret->count++] = f;
        qsort(ret->items, ret->count, sizeof(*ret->items), compare);
        return 0;
}

void mounts_done(struct mounts *m)
{
        free(TAKE_PTR(m->items));
}
