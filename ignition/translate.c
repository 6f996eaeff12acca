/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration as JSON of the newest version. Later versions only added keys, so translating
 * is: canonical spelling, no nulls, nothing the written version does not know, and one rule with
 * effect: before 3.6 special mode bits were ignored. A duplicate key lies over the one before, as
 * config.c reads it. */

#include "fields.h"
#include "origin.h"

struct translation {
        const struct json_document *document;
        struct lines lines;
        unsigned minor, source;
};

static void translate_object(const struct translation *t, json_object *value,
                             const struct config_record *record, json_object *into);

static json_object *mark(const struct translation *t, json_object *made, json_object *from)
{
        origin_from(made, t->document, &t->lines, from, t->source);
        return made;
}

static json_object *translate_scalar(const struct translation *t, json_object *value,
                                     const struct config_field *f)
{
        json_object *copy;
        int64_t number;

        if (json_object_is_type(value, json_type_string))
                copy = json_object_new_string_len(json_object_get_string(value),
                                                  json_object_get_string_len(value));
        else if (json_object_is_type(value, json_type_boolean))
                copy = json_object_new_boolean(json_object_get_boolean(value));
        else {
                number = json_object_get_int64(value);
                if ((f->flags & CONFIG_MODE) && t->minor < 6)
                        number &= ~07000;
                copy = json_object_new_int64(number);
        }
        return mark(t, copy, value);
}

/* What a null leaves, or an object begins with: the item that was there before. */
static json_object *start_item(json_object *before, const struct config_field *f)
{
        return before                    ? json_object_get(before)
               : f->type == TYPE_STRINGS ? json_object_new_string("")
                                         : json_object_new_object();
}

static json_object *translate_item(const struct translation *t, json_object *item,
                                   json_object *before, const struct config_field *f)
{
        json_object *made;

        if (item && f->type == TYPE_STRINGS)
                return translate_scalar(t, item, f);
        made = start_item(before, f);
        if (item)
                translate_object(t, item, f->record, mark(t, made, item));
        return made;
}

static json_object *translate_array(const struct translation *t, json_object *array,
                                    json_object *before, const struct config_field *f)
{
        size_t n = json_object_array_length(array);
        size_t had = before ? json_object_array_length(before) : 0;
        json_object *copy = json_object_new_array_ext((int)n);

        for (size_t i = 0; i < n; i++)
                json_object_array_add(
                        copy,
                        translate_item(t, json_object_array_get_idx(array, i),
                                       i < had ? json_object_array_get_idx(before, i) : NULL, f));
        return mark(t, copy, array);
}

static json_object *translate_member(const struct translation *t, json_object *value,
                                     json_object *before, const struct config_field *f)
{
        if (f->type == TYPE_OBJECT)
                return translate_item(t, value, before, f);
        if (f->type == TYPE_LIST || f->type == TYPE_STRINGS)
                return translate_array(t, value, before, f);
        return translate_scalar(t, value, f);
}

static void translate_object(const struct translation *t, json_object *value,
                             const struct config_record *record, json_object *into)
{
        json_object_object_foreach (value, key, child) {
                const struct config_field *f = config_field_find(record, key, t->minor);
                json_object *before = NULL;

                if (!f)
                        continue;
                json_object_object_get_ex(into, f->key, &before);
                if (child)
                        json_object_object_add(into, f->key, translate_member(t, child, before, f));
                else if (config_null_clears(f, t->minor))
                        json_object_object_del(into, f->key);
        }
}

static void set_version(json_object *tree)
{
        json_object *ignition = NULL, *version = json_object_new_string(CONFIG_NEWEST_VERSION);
        struct origin origin;

        json_object_object_get_ex(tree, "ignition", &ignition);
        origin = origin_get(json_member(ignition, "version"));
        if (origin.line)
                origin_set(version, origin);
        json_object_object_add(ignition, "version", version);
}

int config_tree(const struct config *c, unsigned source, json_object **ret, struct error *err)
{
        struct translation t = { .document = &c->document, .minor = c->minor, .source = source };
        json_object *tree = json_object_new_object();
        int r = lines_find(c->document.text, c->document.size, &t.lines);

        if (tree && r >= 0) {
                translate_object(&t, c->document.root, &config_record,
                                 mark(&t, tree, c->document.root));
                set_version(tree);
        }
        lines_done(&t.lines);
        if (!tree || r < 0) {
                json_object_put(tree);
                return error_oom(err);
        }
        *ret = tree;
        return 0;
}

int config_translate(const struct config *c, char **ret, struct error *err)
{
        json_object *tree;
        const char *text;
        int r;

        r = config_tree(c, 0, &tree, err);
        if (r < 0)
                return r;
        text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
        *ret = text ? strdup(text) : NULL;
        json_object_put(tree);
        return *ret ? 0 : error_oom(err);
}
