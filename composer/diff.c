/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See diff.h. Both trees are walked together in their common order, so a difference is found where
 * it is. A file is the same when its OSTree object is: content, owner, mode and xattrs. Packages
 * and kernel options are name → value lists, compared the same way after sorting. */

#include <inttypes.h>

#include "diff.h"
#include "json.h"
#include "strv.h"

enum { LIST_SIZE_MAX = 4 * 1024 * 1024 };

#define PACKAGES_PATH "/usr/share/slipway/packages.json"

static int add_change(struct change_list *list, enum change_kind kind, const char *name,
                      const char *before, const char *after, int64_t delta, struct error *err)
{
        struct change *c;

        if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*c)) < 0)
                return error_oom(err);
        c = &list->items[list->count++];
        *c = (struct change){ kind, strdup(name), before ? strdup(before) : NULL,
                              after ? strdup(after) : NULL, delta };
        if (!c->name || (before && !c->before) || (after && !c->after))
                return error_oom(err);
        return 0;
}

/* ---- name → value lists ---- */

struct pair {
        char *name, *value;
};

struct pairs {
        struct pair *items;
        size_t count, capacity;
};

static void pairs_done(struct pairs *p)
{
        for (size_t i = 0; i < p->count; i++) {
                free(p->items[i].name);
                free(p->items[i].value);
        }
        free(p->items);
}

static int add_pair(struct pairs *p, const char *name, size_t length, const char *value,
                    struct error *err)
{
        struct pair *pair;

        if (array_reserve(&p->items, &p->capacity, p->count + 1, sizeof(*pair)) < 0)
                return error_oom(err);
        pair = &p->items[p->count++];
        *pair = (struct pair){ strndup(name, length), strdup(value) };
        return pair->name && pair->value ? 0 : error_oom(err);
}

static int compare_pairs(const void *a, const void *b)
{
        return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

static int diff_pairs(struct pairs *before, struct pairs *after, struct change_list *ret,
                      struct error *err)
{
        size_t i = 0, k = 0;
        int r = 0;

        qsort(before->items, before->count, sizeof(struct pair), compare_pairs);
        qsort(after->items, after->count, sizeof(struct pair), compare_pairs);
        while (r >= 0 && (i < before->count || k < after->count)) {
                const struct pair *a = i < before->count ? &before->items[i] : NULL;
                const struct pair *b = k < after->count ? &after->items[k] : NULL;
                int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

                if (order < 0)
                        r = add_change(ret, CHANGE_REMOVED, a->name, a->value, NULL, 0, err);
                else if (order > 0)
                        r = add_change(ret, CHANGE_ADDED, b->name, NULL, b->value, 0, err);
                else if (!streq(a->value, b->value))
                        r = add_change(ret, CHANGE_CHANGED, a->name, a->value, b->value, 0, err);
                i += order <= 0;
                k += order >= 0;
        }
        return r;
}

/* ---- packages ---- */

static int load_packages(const struct tree *tree, const struct content_store *store,
                         struct pairs *ret, struct error *err)
{
        const struct tree_node *node = tree_lookup(tree, PACKAGES_PATH);
        _cleanup_json_ struct json_document d = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (!node)
                return 0;
        r = content_load(node->inode, store, LIST_SIZE_MAX, &text, &size, err);
        if (r >= 0)
                r = json_load(PACKAGES_PATH, text, size, false, &d, err);
        if (r >= 0 && !json_object_is_type(d.root, json_type_array))
                r = error_set(err, -EINVAL, PACKAGES_PATH ": not a list");
        for (size_t i = 0; r >= 0 && i < json_object_array_length(d.root); i++) {
                json_object *p = json_object_array_get_idx(d.root, i);
                const char *name = json_object_get_string(json_object_object_get(p, "name"));
                const char *version = json_object_get_string(json_object_object_get(p, "version"));

                r = add_pair(ret, name ?: "", strlen(name ?: ""), version ?: "", err);
        }
        return r;
}

static int diff_packages(const struct tree *before, const struct tree *after,
                         const struct content_store *store, struct tree_diff *d, struct error *err)
{
        _cleanup_(pairs_done) struct pairs a = {}, b = {};
        int r;

        r = load_packages(before, store, &a, err);
        if (r >= 0)
                r = load_packages(after, store, &b, err);
        return r < 0 ? r : diff_pairs(&a, &b, &d->packages, err);
}

/* ---- kernel options ---- */

static int parse_options(char *text, struct pairs *ret, struct error *err)
{
        char *state = NULL;

        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *equals = strchr(line, '=');
                int r;

                if (!startswith(line, "CONFIG_") || !equals)
                        continue;
                r = add_pair(ret, line, (size_t)(equals - line), equals + 1, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The configuration of the first kernel below /usr/lib/modules. */
static int load_options(const struct tree *tree, const struct content_store *store,
                        struct pairs *ret, struct error *err)
{
        const struct tree_node *modules = tree_lookup(tree, "/usr/lib/modules");

        for (size_t i = 0; modules && i < modules->n_children; i++) {
                const struct tree_node *config = tree_child(modules->children[i], "config");
                _cleanup_free_ char *text = NULL;
                int r;

                if (!config)
                        continue;
                r = content_load(config->inode, store, LIST_SIZE_MAX, &text, NULL, err);
                return r < 0 ? r : parse_options(text, ret, err);
        }
        return 0;
}

static int diff_options(const struct tree *before, const struct tree *after,
                        const struct content_store *store, struct tree_diff *d, struct error *err)
{
        _cleanup_(pairs_done) struct pairs a = {}, b = {};
        int r;

        r = load_options(before, store, &a, err);
        if (r >= 0)
                r = load_options(after, store, &b, err);
        return r < 0 ? r : diff_pairs(&a, &b, &d->options, err);
}

/* ---- files ---- */

static const char *describe(const struct tree_inode *inode, char *buffer, size_t size)
{
        if (S_ISLNK(inode->mode))
                snprintf(buffer, size, "-> %s", inode->target);
        else if (S_ISDIR(inode->mode))
                snprintf(buffer, size, "directory, %04o %u:%u", inode->mode & 07777, inode->uid,
                         inode->gid);
        else
                snprintf(buffer, size, "%" PRIu64 " bytes, %04o %u:%u", inode->size,
                         inode->mode & 07777, inode->uid, inode->gid);
        return buffer;
}

static bool same(const struct tree_inode *a, const struct tree_inode *b)
{
        if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->size != b->size)
                return false;
        if (S_ISLNK(a->mode))
                return streq(a->target, b->target);
        if (S_ISREG(a->mode) && a->size > 0)
                return sha256_equal(&a->object, &b->object);
        return true;
}

static int64_t bytes_of(const struct tree_inode *inode)
{
        return inode && S_ISREG(inode->mode) ? (int64_t)inode->size : 0;
}

static int add_node(struct tree_diff *d, enum change_kind kind, const struct tree_node *before,
                    const struct tree_node *after, struct error *err)
{
        char path[TREE_PATH_MAX], old[TREE_PATH_MAX + 8], new[TREE_PATH_MAX + 8];
        const struct tree_inode *a = before ? before->inode : NULL,
                                *b = after ? after->inode : NULL;
        struct change_list *list;
        int64_t delta = bytes_of(b) - bytes_of(a);

        tree_path(before ?: after, path);
        list = strstr(path, "/systemd/system/") ? &d->units : &d->files;
        d->size_delta += delta;
        return add_change(list, kind, path, a ? describe(a, old, sizeof(old)) : NULL,
                          b ? describe(b, new, sizeof(new)) : NULL, delta, err);
}

static int add_subtree(struct tree_diff *d, enum change_kind kind, struct tree_node *top,
                       struct error *err)
{
        TREE_FOREACH (node, top) {
                int r = add_node(d, kind, kind == CHANGE_REMOVED ? node : NULL,
                                 kind == CHANGE_ADDED ? node : NULL, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int diff_directories(struct tree_diff *d, const struct tree_node *before,
                            const struct tree_node *after, struct error *err);

static int diff_nodes(struct tree_diff *d, const struct tree_node *a, const struct tree_node *b,
                      struct error *err)
{
        int r = 0;

        if (!same(a->inode, b->inode))
                r = add_node(d, CHANGE_CHANGED, a, b, err);
        return r < 0 ? r : diff_directories(d, a, b, err);
}

static int diff_directories(struct tree_diff *d, const struct tree_node *before,
                            const struct tree_node *after, struct error *err)
{
        size_t i = 0, k = 0;
        int r = 0;

        while (r >= 0 && (i < before->n_children || k < after->n_children)) {
                struct tree_node *a = i < before->n_children ? before->children[i] : NULL;
                struct tree_node *b = k < after->n_children ? after->children[k] : NULL;
                int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

                if (order < 0)
                        r = add_subtree(d, CHANGE_REMOVED, a, err);
                else if (order > 0)
                        r = add_subtree(d, CHANGE_ADDED, b, err);
                else
                        r = diff_nodes(d, a, b, err);
                i += order <= 0;
                k += order >= 0;
        }
        return r;
}

int tree_diff(const struct tree *before, const struct tree *after,
              const struct content_store *store, struct tree_diff *ret, struct error *err)
{
        _cleanup_tree_diff_ struct tree_diff d = {};
        int r;

        r = diff_nodes(&d, before->root, after->root, err);
        if (r >= 0)
                r = diff_packages(before, after, store, &d, err);
        if (r >= 0)
                r = diff_options(before, after, store, &d, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(d);
        return 0;
}

static void change_list_done(struct change_list *list)
{
        for (size_t i = 0; i < list->count; i++) {
                free(list->items[i].name);
                free(list->items[i].before);
                free(list->items[i].after);
        }
        free(list->items);
}

void tree_diff_done(struct tree_diff *d)
{
        change_list_done(&d->packages);
        change_list_done(&d->files);
        change_list_done(&d->units);
        change_list_done(&d->options);
        memset(d, 0, sizeof(*d));
}
