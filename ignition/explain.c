/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `ignition explain CONFIG`: the configuration as the stages would see it, one setting a line, with
 * the file or URL, line and column that it came from. Settings that the configuration itself brings
 * (the version after translation) have the place of what they replace. */

#include "origin.h"
#include "resolve.h"
#include "strv.h"
#include "verbs.h"

enum { VALUE_MAX = 60 }; /* of the text form; a data: URL may be megabytes */

struct explanation {
        struct agent *agent;
        json_object *rows; /* NULL: text */
};

static void print_text(const struct explanation *e, const char *path, json_object *value)
{
        const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
        struct origin o = origin_get(value);

        printf("%s = %.*s%s", path, VALUE_MAX, text ?: "",
               text && strlen(text) > VALUE_MAX ? "…" : "");
        if (o.line)
                printf("  # %s:%u:%u", origins_name(&e->agent->state, e->agent->sources, o.source),
                       o.line, o.column);
        putchar('\n');
}

static json_object *make_row(const struct explanation *e, const char *path, json_object *value)
{
        json_object *row = json_object_new_object();
        struct origin o = origin_get(value);
        const char *name = origins_name(&e->agent->state, e->agent->sources, o.source);

        json_object_object_add(row, "setting", json_object_new_string(path));
        json_object_object_add(row, "value", json_object_get(value));
        if (o.line) {
                json_object_object_add(row, "source", json_object_new_string(name));
                json_object_object_add(row, "line", json_object_new_int64(o.line));
                json_object_object_add(row, "column", json_object_new_int64(o.column));
        }
        return row;
}

static int explain_value(const struct explanation *e, const char *path, json_object *value);

static int explain_item(const struct explanation *e, const char *path, const char *key,
                        json_object *value)
{
        _cleanup_free_ char *longer = string_format("%s.%s", path, key);

        return longer ? explain_value(e, longer, value) : -ENOMEM;
}

static int explain_list(const struct explanation *e, const char *path, json_object *list)
{
        int r = 0;

        for (size_t i = 0; i < json_object_array_length(list) && r == 0; i++) {
                char key[24];

                snprintf(key, sizeof(key), "%zu", i);
                r = explain_item(e, path, key, json_object_array_get_idx(list, i));
        }
        return r;
}

static int explain_value(const struct explanation *e, const char *path, json_object *value)
{
        int r = 0;

        if (json_object_is_type(value, json_type_array))
                return explain_list(e, path, value);
        if (json_object_is_type(value, json_type_object)) {
                json_object_object_foreach (value, key, child)
                        r = r < 0 ? r : explain_item(e, path, key, child);
                return r;
        }
        if (!e->rows) {
                print_text(e, path, value);
                return 0;
        }
        return json_object_array_add(e->rows, make_row(e, path, value)) < 0 ? -ENOMEM : 0;
}

static int explain(struct agent *a, struct error *err)
{
        struct explanation e = { a, a->options.json ? json_object_new_array() : NULL };
        int r = explain_value(&e, "$", a->tree);

        if (r >= 0 && e.rows)
                puts(json_object_to_json_string_ext(
                        e.rows, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(e.rows);
        return r < 0 ? error_oom(err) : 0;
}

int verb_explain(struct agent *a, const char *argument, struct error *err)
{
        _cleanup_(config_text_done) struct config_text text = {};
        int r;

        if (!argument)
                return error_set(err, -EINVAL, "explain: which configuration?");
        a->log.quiet = true;
        r = config_text_read(
                (const char *const[]){ streq(argument, "-") ? "/dev/stdin" : argument, NULL },
                &text, err);
        if (r == PROVIDER_NONE)
                return error_set(err, -ENOENT, "%s: no such file", argument);
        if (r >= 0)
                r = agent_resolve(a, &text, err);
        if (r < 0 && *a->setting)
                return error_prefix(err, r, "%s", a->setting);
        return r < 0 ? r : explain(a, err);
}
