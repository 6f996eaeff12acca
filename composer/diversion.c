/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Diversions, read from maintainer scripts as text. A package that diverts says so in a line like
 *
 *   dpkg-divert --package bash --add --rename --divert /bin/sh.distrib /bin/sh
 *
 * Only lasting diversions count. Not lasting are those in another package's name and those that the
 * same package removes again (both are steps of an upgrade), and those to a name that ends in
 * ".usr-is-merged" (which protect a path from its own alias while dpkg knows no usr-merge). Lines
 * whose paths are computed by the script cannot be read this way; scripts.c reports them. */

#include "strv.h"
#include "text.h"
#include "script.h"
#include "union.h"

enum { DIVERSIONS_MAX = 4096 };

static void diversion_done(struct diversion *d)
{
        free(d->package);
        free(d->path);
        free(d->target);
}

void diversions_done(struct diversions *d)
{
        for (size_t i = 0; i < d->count; i++)
                diversion_done(&d->items[i]);
        free(d->items);
        memset(d, 0, sizeof(*d));
}

static int diversions_add(struct diversions *d, const char *package, const char *path,
                          const char *target, struct error *err)
{
        char buffer[TREE_PATH_MAX];
        struct diversion *item;

        if (d->count >= DIVERSIONS_MAX)
                return error_set(err, -E2BIG, "more than %d diversions", DIVERSIONS_MAX);
        if (array_reserve(&d->items, &d->capacity, d->count + 1, sizeof(*item)) < 0)
                return error_oom(err);
        item = &d->items[d->count++];
        *item = (struct diversion){ strdup(package), strdup(image_path(path, buffer)), NULL };
        item->target = strdup(image_path(target, buffer));
        return item->package && item->path && item->target ? 0 : error_oom(err);
}

static bool is_static_path(const char *s)
{
        return s && s[0] == '/' && s[1] != '\0' && !strpbrk(s, "$`*?");
}

static void diversions_remove(struct diversions *d, const char *package, const char *path)
{
        char buffer[TREE_PATH_MAX];

        image_path(path, buffer);
        for (size_t i = d->count; i-- > 0;)
                if (streq(d->items[i].path, buffer) && streq(d->items[i].package, package)) {
                        diversion_done(&d->items[i]);
                        d->items[i] = d->items[--d->count];
                }
}

/* What one call says. */
struct call {
        const char *package, *path, *target;
        bool removes, looks;
};

static void read_call(char *const *words, struct call *ret)
{
        for (; *words && !strpbrk(*words, ";|&<>"); words++) {
                if (streq(*words, "--package") && words[1])
                        ret->package = *++words;
                else if (streq(*words, "--divert") && words[1])
                        ret->target = *++words;
                else if (streq(*words, "--remove"))
                        ret->removes = true;
                else if (streq(*words, "--list") || streq(*words, "--truename") ||
                         streq(*words, "--listpackage"))
                        ret->looks = true;
                else if (*words[0] == '/')
                        ret->path = *words;
        }
}

/* The words behind "dpkg-divert" of one line. */
static int read_divert(struct diversions *d, const char *package, char *const *words,
                       struct error *err)
{
        struct call call = { .package = package };
        _cleanup_free_ char *distrib = NULL;

        read_call(words, &call);
        if (call.looks || !is_static_path(call.path) || !streq(call.package, package))
                return 0;
        if (call.removes) {
                diversions_remove(d, package, call.path);
                return 0;
        }
        distrib = string_format("%s.distrib", call.path);
        if (!distrib)
                return error_oom(err);
        if (!call.target)
                call.target = distrib;
        if (!is_static_path(call.target) || endswith(call.target, ".usr-is-merged"))
                return 0;
        return diversions_add(d, package, call.path, call.target, err);
}

static int read_script(struct diversions *d, const struct package_tree *p, const char *script,
                       const struct content_store *store, struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        int r = script_load(p, script, store, &lines, err);

        STRV_FOREACH (line, lines) {
                _cleanup_strv_ char **words = NULL;

                if (!strstr(*line, "dpkg-divert"))
                        continue;
                if (text_words(*line, &words, NULL) < 0)
                        continue;
                STRV_FOREACH (word, words)
                        if (streq(*word, "dpkg-divert")) {
                                r = read_divert(d, p->package->name, word + 1, err);
                                if (r < 0)
                                        return r;
                        }
        }
        return r;
}

int diversions_collect(const struct package_tree *packages, size_t count,
                       const struct content_store *store, struct diversions *ret, struct error *err)
{
        static const char *const scripts[] = { "preinst", "postinst" };
        _cleanup_diversions_ struct diversions d = {};

        for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < ARRAY_SIZE(scripts); k++) {
                        int r = read_script(&d, &packages[i], scripts[k], store, err);

                        if (r < 0)
                                return r;
                }
        *ret = TAKE_STRUCT(d);
        return 0;
}
