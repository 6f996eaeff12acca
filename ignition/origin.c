/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See origin.h. Source, line and column are packed into the user data of a json-c value, a pointer
 * that json-c only hands back. */

#include <assert.h>

#include "origin.h"
#include "strv.h"

enum { LINE_SHIFT = 28, SOURCE_SHIFT = 56 };
static_assert(sizeof(uintptr_t) == 8, "a place fits in a pointer");
static_assert(CONFIG_SIZE_MAX <= 1 << LINE_SHIFT, "a column fits in its bits");

int lines_find(const char *text, size_t size, struct lines *ret)
{
        size_t capacity = 0;

        for (size_t at = 0; at <= size;) {
                const char *end = memchr(text + at, '\n', size - at);

                if (array_reserve(&ret->starts, &capacity, ret->count + 1, sizeof(size_t)) < 0)
                        return -ENOMEM;
                ret->starts[ret->count++] = at;
                if (!end)
                        return 0;
                at = (size_t)(end - text) + 1;
        }
        return 0;
}

void lines_done(struct lines *l)
{
        free(l->starts);
        *l = (struct lines){};
}

void origin_set(json_object *value, struct origin o)
{
        uintptr_t packed =
                (uintptr_t)o.source << SOURCE_SHIFT | (uintptr_t)o.line << LINE_SHIFT | o.column;

        json_object_set_serializer(value, NULL, (void *)packed, NULL);
}

struct origin origin_get(json_object *value)
{
        uintptr_t packed = value ? (uintptr_t)json_object_get_userdata(value) : 0;

        return (struct origin){ .source = (unsigned)(packed >> SOURCE_SHIFT),
                                .line = packed >> LINE_SHIFT & (ORIGIN_LINE_MAX - 1),
                                .column = packed & (ORIGIN_COLUMN_MAX - 1) };
}

void origin_from(json_object *value, const struct json_document *d, const struct lines *lines,
                 json_object *from, unsigned source)
{
        const char *text = json_literal(d, from);
        size_t offset = text ? (size_t)(text - d->text) : 0, low = 0, high = lines->count;

        if (!text || !value)
                return;
        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (lines->starts[middle] <= offset)
                        low = middle;
                else
                        high = middle;
        }
        origin_set(value, (struct origin){ source, (unsigned)low + 1,
                                           (unsigned)(offset - lines->starts[low]) + 1 });
}

/* Calls visit() for the values in order until it returns true. */
static bool walk(json_object *value, bool (*visit)(json_object *value, void *context),
                 void *context)
{
        if (!value)
                return false;
        if (visit(value, context))
                return true;
        for (size_t i = 0;
             json_object_is_type(value, json_type_array) && i < json_object_array_length(value);
             i++)
                if (walk(json_object_array_get_idx(value, i), visit, context))
                        return true;
        if (!json_object_is_type(value, json_type_object))
                return false;
        json_object_object_foreach (value, key, child) {
                (void)key;
                if (walk(child, visit, context))
                        return true;
        }
        return false;
}

static bool print(json_object *value, void *context)
{
        struct origin o = origin_get(value);
        struct buffer *text = context;

        buffer_printf(text, "%s%u:%u:%u", text->size ? " " : "", o.source, o.line, o.column);
        return false;
}

char *origins_text(json_object *tree)
{
        _cleanup_buffer_ struct buffer text = {};
        char *taken;

        walk(tree, print, &text);
        return buffer_take(&text, &taken, NULL) < 0 ? NULL : taken;
}

struct search {
        json_object *value;
        const char *text;
};

static bool step(json_object *value, void *context)
{
        struct search *s = context;
        const char *blank;

        if (value == s->value)
                return true;
        blank = strchr(s->text, ' ');
        s->text = blank ? blank + 1 : "";
        return false;
}

bool origins_find(const char *text, json_object *tree, json_object *value, struct origin *ret)
{
        struct search s = { value, text };
        struct origin o = {};

        if (!value || !walk(tree, step, &s) ||
            sscanf(s.text, "%u:%u:%u", &o.source, &o.line, &o.column) != 3 || o.line == 0)
                return false;
        *ret = o;
        return true;
}

/* ---- in the state ---- */

int origins_save(struct state *s, char *const *sources, json_object *tree)
{
        _cleanup_free_ char *text = origins_text(tree);
        json_object *positions = json_object_new_object(), *names = json_object_new_array();
        int r = text && positions && names ? 0 : -ENOMEM;

        for (; r == 0 && sources && *sources; sources++)
                r = json_object_array_add(names, json_object_new_string(*sources));
        if (r == 0)
                r = json_object_object_add(positions, "sources", json_object_get(names));
        if (r == 0)
                r = json_object_object_add(positions, "values", json_object_new_string(text));
        json_object_put(names);
        if (r == 0)
                return state_set(s, "positions", positions);
        json_object_put(positions);
        return -ENOMEM;
}

bool origins_load(const struct state *s, json_object *tree, json_object *value, struct origin *ret)
{
        json_object *positions = state_get(s, "positions", json_type_object);
        const char *text = json_object_get_string(json_member(positions, "values"));

        return text && origins_find(text, tree, value, ret);
}

const char *origins_name(const struct state *s, char *const *sources, unsigned number)
{
        json_object *names = json_member(state_get(s, "positions", json_type_object), "sources");
        const char *name;

        if (sources && number < strv_length(sources))
                return sources[number];
        name = json_object_is_type(names, json_type_array)
                       ? json_object_get_string(json_object_array_get_idx(names, number))
                       : NULL;
        return name ?: "?";
}
