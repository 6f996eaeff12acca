/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Merging one configuration over another by the field tables. A scalar is the child's when it has
 * it; objects merge member by member; lists whose entries have no key are joined. In all other
 * lists an entry of the parent is merged with the child's of the same key in place, gives way to
 * one in a list that shares the key space (a file replaces a link), or stays; then come the child's
 * other entries. A header of the child without value takes the parent's away. */

#include <assert.h>

#include "fields.h"
#include "origin.h"

enum { KEY_MAX = 256 }; /* of keys that are put together; others are borrowed */

/* Trees are never changed once they are made, so the result shares whatever stays as it was. */
static json_object *merge_object(const struct config_record *record, json_object *parent,
                                 json_object *child);

static json_object *member(json_object *object, const char *key)
{
        json_object *value = NULL;

        if (object)
                json_object_object_get_ex(object, key, &value);
        return value;
}

/* ---- keys ---- */

/* What config.c would decode of the members that make a key. */
static void fill(const struct config_record *record, json_object *item, void *object)
{
        for (const struct config_field *f = record->fields; f->key; f++) {
                json_object *value = member(item, f->key);
                void *to = (char *)object + f->offset;

                if (value && (f->type == TYPE_STRING || f->type == TYPE_PLAIN))
                        *(const char **)to = json_object_get_string(value);
                if (value && f->type == TYPE_INT)
                        *(struct config_int *)to =
                                (struct config_int){ true, json_object_get_int64(value) };
        }
}

static const char *key_of_record(const struct config_record *record, json_object *item,
                                 char buffer[KEY_MAX])
{
        _cleanup_free_ void *object = NULL;
        const char *key;

        if (!record->identify) {
                for (const struct config_field *f = record->fields; f->key; f++)
                        if (f->offset == record->identity) {
                                key = json_object_get_string(member(item, f->key));
                                return key ?: "";
                        }
                return "";
        }
        object = calloc(1, record->size);
        if (!object)
                return NULL;
        fill(record, item, object);
        record->identify(object, buffer, KEY_MAX);
        return buffer;
}

/* NULL: out of memory. */
static const char *key_of(const struct config_field *f, json_object *item, char buffer[KEY_MAX])
{
        return f->type == TYPE_STRINGS ? json_object_get_string(item)
                                       : key_of_record(f->record, item, buffer);
}

/* Key → item of a list, as a json-c object. */
static json_object *index_list(const struct config_field *f, json_object *list)
{
        json_object *index = json_object_new_object();

        for (size_t i = 0; index && list && i < json_object_array_length(list); i++) {
                json_object *item = json_object_array_get_idx(list, i);
                char buffer[KEY_MAX];
                const char *key = key_of(f, item, buffer);

                if (!key || json_object_object_add(index, key, json_object_get(item)) < 0) {
                        json_object_put(index);
                        return NULL;
                }
        }
        return index;
}

static bool has_key(json_object *index, const char *key)
{
        return json_object_object_get_ex(index, key, NULL);
}

/* ---- lists ---- */

static int push(json_object *list, json_object *item)
{
        if (item && json_object_array_add(list, item) == 0)
                return 0;
        json_object_put(item);
        return -ENOMEM;
}

static int push_all(json_object *list, json_object *from)
{
        for (size_t i = 0; from && i < json_object_array_length(from); i++)
                if (push(list, json_object_get(json_object_array_get_idx(from, i))) < 0)
                        return -ENOMEM;
        return 0;
}

/* The lists that share a key space: rows of one record, and the child's keys in each. */
enum { GROUP_MAX = 3 };
struct group_keys {
        const struct config_field *fields[GROUP_MAX];
        json_object *child[GROUP_MAX];
        size_t count;
};

static void group_keys_done(struct group_keys *g)
{
        for (size_t i = 0; i < g->count; i++)
                json_object_put(g->child[i]);
}

static bool in_sibling(const struct group_keys *g, const struct config_field *own, const char *key)
{
        for (size_t i = 0; i < g->count; i++)
                if (g->fields[i] != own && has_key(g->child[i], key))
                        return true;
        return false;
}

static json_object *child_of(const struct group_keys *g, const struct config_field *own,
                             const char *key)
{
        for (size_t i = 0; i < g->count; i++)
                if (g->fields[i] == own)
                        return member(g->child[i], key);
        return NULL;
}

static bool deletes(const struct config_field *f, json_object *child)
{
        return (f->flags & CONFIG_NULL_DELETES) && !member(child, "value");
}

/* An entry of the parent: merged, deleted, dropped or kept. */
static int push_parents(json_object *list, const struct group_keys *g, const struct config_field *f,
                        json_object *item)
{
        char buffer[KEY_MAX];
        const char *key = key_of(f, item, buffer);
        json_object *child = key ? child_of(g, f, key) : NULL;

        if (!key)
                return -ENOMEM;
        if (!child)
                return in_sibling(g, f, key) ? 0 : push(list, json_object_get(item));
        if (f->type == TYPE_STRINGS)
                return push(list, json_object_get(child));
        return deletes(f, child) ? 0 : push(list, merge_object(f->record, item, child));
}

static int push_new(json_object *list, const struct config_field *f, json_object *parents,
                    json_object *child)
{
        for (size_t i = 0; child && i < json_object_array_length(child); i++) {
                json_object *item = json_object_array_get_idx(child, i);
                char buffer[KEY_MAX];
                const char *key = key_of(f, item, buffer);

                if (!key || (!has_key(parents, key) && push(list, json_object_get(item)) < 0))
                        return -ENOMEM;
        }
        return 0;
}

static int fill_keyed(json_object *list, const struct group_keys *g, const struct config_field *f,
                      json_object *parent, json_object *child)
{
        json_object *parents = index_list(f, parent);
        int r = parents ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && parent && i < json_object_array_length(parent); i++)
                r = push_parents(list, g, f, json_object_array_get_idx(parent, i));
        if (r == 0)
                r = push_new(list, f, parents, child);
        json_object_put(parents);
        return r;
}

static json_object *merge_list(const struct group_keys *g, const struct config_field *f,
                               json_object *parent, json_object *child)
{
        json_object *list = json_object_new_array();
        int r;

        if (!list)
                return NULL;
        origin_set(list, origin_get(child ?: parent));
        if (f->flags & CONFIG_DUPLICATES_ALLOWED) {
                r = push_all(list, parent);
                r = r < 0 ? r : push_all(list, child);
        } else
                r = fill_keyed(list, g, f, parent, child);
        if (r == 0)
                return list;
        json_object_put(list);
        return NULL;
}

/* ---- objects ---- */

/* The keys of the group of lists that begins at f. */
static int open_group(const struct config_field *f, json_object *child, struct group_keys *g)
{
        do {
                assert(g->count < GROUP_MAX);
                g->fields[g->count] = f;
                g->child[g->count] = index_list(f, member(child, f->key));
                if (!g->child[g->count++])
                        return -ENOMEM;
                f++;
        } while (f->key && (f->flags & CONFIG_SHARES_KEYS));
        return 0;
}

static bool is_list(const struct config_field *f)
{
        return f->type == TYPE_LIST || f->type == TYPE_STRINGS;
}

/* NULL in *ret: neither has it. */
static int merge_member(const struct group_keys *g, const struct config_field *f,
                        json_object *parent, json_object *child, json_object **ret)
{
        if (!parent && !child)
                *ret = NULL;
        else if (f->type == TYPE_OBJECT)
                *ret = merge_object(f->record, parent, child);
        else if (is_list(f))
                *ret = merge_list(g, f, parent, child);
        else
                *ret = json_object_get(child ?: parent);
        return *ret || (!parent && !child) ? 0 : -ENOMEM;
}

static int merge_members(const struct config_record *record, json_object *parent,
                         json_object *child, json_object *into)
{
        _cleanup_(group_keys_done) struct group_keys g = {};
        int r = 0;

        for (const struct config_field *f = record->fields; f->key && r == 0; f++) {
                json_object *value = NULL;

                if (is_list(f) && !(f->flags & CONFIG_SHARES_KEYS)) {
                        group_keys_done(&g);
                        g = (struct group_keys){};
                        r = open_group(f, child, &g);
                }
                if (r == 0)
                        r = merge_member(&g, f, member(parent, f->key), member(child, f->key),
                                         &value);
                if (value && json_object_object_add(into, f->key, value) < 0)
                        r = -ENOMEM;
        }
        return r;
}

static json_object *merge_object(const struct config_record *record, json_object *parent,
                                 json_object *child)
{
        json_object *merged;

        if (!parent || !child)
                return json_object_get(parent ?: child);
        merged = json_object_new_object();
        if (!merged)
                return NULL;
        origin_set(merged, origin_get(child));
        if (merge_members(record, parent, child, merged) == 0)
                return merged;
        json_object_put(merged);
        return NULL;
}

int config_merge(json_object *parent, json_object *child, json_object **ret, struct error *err)
{
        json_object *merged = merge_object(&config_record, parent, child);

        if (!merged)
                return error_oom(err);
        *ret = merged;
        return 0;
}
