/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See findings.h. A value is found by its address in the tree: the path is only needed for the few
 * lines of a report, so walking the whole document for each is cheap enough (and bounded by
 * FINDINGS_MAX). */

#include <stdarg.h>
#include <ctype.h>

#include "findings.h"

void findings_done(struct findings *r)
{
        buffer_done(&r->text);
        r->errors = r->warnings = 0;
}

static bool find(json_object *tree, json_object *value, char ret[WHERE_MAX], size_t length);

static bool find_in_array(json_object *array, json_object *value, char ret[WHERE_MAX],
                          size_t length)
{
        for (size_t i = 0; i < json_object_array_length(array); i++) {
                int n = snprintf(ret + length, WHERE_MAX - length, ".%zu", i);

                if (find(json_object_array_get_idx(array, i), value, ret,
                         MIN(length + (size_t)n, (size_t)WHERE_MAX - 1)))
                        return true;
        }
        return false;
}

/* ret holds the path of tree, length bytes long. */
static bool find(json_object *tree, json_object *value, char ret[WHERE_MAX], size_t length)
{
        if (tree == value)
                return true;
        if (json_object_is_type(tree, json_type_array))
                return find_in_array(tree, value, ret, length);
        if (!json_object_is_type(tree, json_type_object))
                return false;
        json_object_object_foreach (tree, key, child) {
                int n = snprintf(ret + length, WHERE_MAX - length, ".%.*s",
                                 (int)strcspn(key, JSON_DUPLICATE_MARK), key);

                if (child &&
                    find(child, value, ret, MIN(length + (size_t)n, (size_t)WHERE_MAX - 1)))
                        return true;
        }
        return false;
}

void json_path(json_object *root, json_object *value, char ret[WHERE_MAX])
{
        strcpy(ret, "$");
        if (!value || !find(root, value, ret, 1))
                strcpy(ret, "$");
}

/* A key that is there again is marked behind its end. */
static bool at_end(const char *key)
{
        return *key == '\0' || *key == *JSON_DUPLICATE_MARK;
}

/* The next character, folded: two letters outside ASCII fold to one in it. */
static int fold(const char **s)
{
        const char *kelvin, *long_s;

        if ((unsigned char)**s < 0x80)
                return tolower((unsigned char)*(*s)++);
        kelvin = startswith(*s, "\xe2\x84\xaa");
        long_s = startswith(*s, "\xc5\xbf");
        if (!kelvin && !long_s)
                return (unsigned char)*(*s)++;
        *s = kelvin ?: long_s;
        return kelvin ? 'k' : 's';
}

bool key_equal(const char *a, const char *b)
{
        /* Nearly every key is written as it is called. Two that part within a character differ. */
        for (; !at_end(a) && *a == *b; a++)
                b++;
        while (!at_end(a) && !at_end(b))
                if (fold(&a) != fold(&b))
                        return false;
        return at_end(a) && at_end(b);
}

json_object *json_member(json_object *object, const char *key)
{
        json_object *last = NULL;

        if (!json_object_is_type(object, json_type_object))
                return NULL;
        json_object_object_foreach (object, name, value)
                if (key_equal(name, key))
                        last = value;
        return last;
}

json_object *json_at(json_object *root, const char *path)
{
        char key[WHERE_MAX];

        path += *path == '$';
        while (root && *path == '.') {
                size_t n = strcspn(++path, ".");

                if (n >= sizeof(key))
                        return NULL;
                memcpy(key, path, n);
                key[n] = '\0';
                path += n;
                if (json_object_is_type(root, json_type_array))
                        root = json_object_array_get_idx(root, strtoul(key, NULL, 10));
                else
                        root = json_member(root, key);
        }
        return root;
}

/* Objects and lists are placed behind their bracket, as the original does. */
static bool position_of(const struct findings *r, json_object *value, unsigned *line,
                        unsigned *column)
{
        if (!json_position(r->document, value, line, column))
                return false;
        *column += json_object_is_type(value, json_type_object) ||
                   json_object_is_type(value, json_type_array);
        return true;
}

static json_object *child_of(json_object *at, const char *key)
{
        return json_object_is_type(at, json_type_array)
                       ? json_object_array_get_idx(at, strtoul(key, NULL, 10))
                       : json_member(at, key);
}

/* What a finding is about: a value, a member of it, or the key of a member. */
struct subject {
        json_object *at;
        const char *key; /* NULL: the value itself */
        bool is_key;
};

static void put_place(struct findings *r, const struct subject *s)
{
        json_object *member = !s->key     ? NULL
                              : s->is_key ? json_object_object_get(s->at, s->key)
                                          : child_of(s->at, s->key);
        char path[WHERE_MAX];
        unsigned line, column;

        json_path(r->document->root, s->at, path);
        buffer_printf(&r->text, "%s", path);
        if (s->key)
                buffer_printf(&r->text, ".%.*s", (int)strcspn(s->key, JSON_DUPLICATE_MARK), s->key);
        if (s->is_key ? json_key_position(r->document, member, &line, &column) ||
                                position_of(r, s->at, &line, &column)
                      : position_of(r, member ?: s->at, &line, &column))
                buffer_printf(&r->text, ", line %u col %u", line, column);
}

_printf_(4, 0) static void put_line(struct findings *r, enum finding_kind kind,
                                    const struct subject *s, const char *format, va_list ap)
{
        char message[512];

        if (kind == FINDING_ERROR)
                r->errors++;
        else
                r->warnings++;
        if (r->errors + r->warnings > FINDINGS_MAX)
                return;
        vsnprintf(message, sizeof(message), format, ap);
        buffer_puts(&r->text, kind == FINDING_ERROR ? "error at " : "warning at ");
        put_place(r, s);
        buffer_printf(&r->text, ": %s\n", message);
}

void findings_add(struct findings *r, enum finding_kind kind, json_object *at, const char *key,
                  const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        put_line(r, kind, &(struct subject){ at, key, false }, format, ap);
        va_end(ap);
}

void findings_add_key(struct findings *r, json_object *at, const char *key, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        put_line(r, FINDING_WARNING, &(struct subject){ at, key, true }, format, ap);
        va_end(ap);
}
