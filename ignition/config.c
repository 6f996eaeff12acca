/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See config.h and fields.h. The JSON rules are those of the original's decoder: keys match without
 * regard to case (Unicode's simple folding, so the Kelvin sign is a k), null means absent, unknown
 * keys are only worth a warning, and a number for an integer has neither fraction nor exponent. A
 * duplicate key is decoded over what the one before left: scalars are replaced, objects merged, and
 * lists merged item by item up to the new length. Type errors are collected, not just the first,
 * and name key and expected type. */

#include <ctype.h>

#include "fields.h"

struct reader {
        struct config *config;
        struct findings *findings;
        unsigned minor;
};

static int decode_object(const struct reader *r, json_object *value,
                         const struct config_record *record, void *object);

static const char *type_name(json_object *value)
{
        static const char *const names[] = {
                [json_type_null] = "null",
                [json_type_boolean] = "a boolean",
                [json_type_double] = "a fraction or exponent",
                [json_type_int] = "a number",
                [json_type_object] = "an object",
                [json_type_array] = "a list",
                [json_type_string] = "a string",
        };

        return names[json_object_get_type(value)];
}

static int wrong_type(const struct reader *r, json_object *value, const char *want)
{
        findings_add(r->findings, FINDING_ERROR, value, NULL, "must be %s, not %s", want,
                     type_name(value));
        return 0;
}

/* What was "\u0000" is "\u0001" in the tree, see base/json-lenient.c. The original accepts it, and
 * fails when it uses it; the agent says so at once. */
static void note_nul(const struct reader *r, json_object *value)
{
        const char *text = json_literal(&r->config->document, value);

        for (const char *s = text ? text + 1 : ""; *s && *s != '"'; s += *s == '\\' ? 2 : 1) {
                if (!startswith(s, "\\u0000"))
                        continue;
                findings_add(r->findings, FINDING_WARNING, value, NULL, "contains a NUL character");
                r->config->has_nul = true;
                return;
        }
}

static int decode_string(const struct reader *r, json_object *value, const char **ret)
{
        if (!json_object_is_type(value, json_type_string))
                return wrong_type(r, value, "a string");
        *ret = json_object_get_string(value);
        if (strchr(*ret, '\x01'))
                note_nul(r, value);
        return 0;
}

static int decode_bool(const struct reader *r, json_object *value, struct config_bool *ret)
{
        if (!json_object_is_type(value, json_type_boolean))
                return wrong_type(r, value, "true or false");
        *ret = (struct config_bool){ true, json_object_get_boolean(value) };
        return 0;
}

/* The text decides: json-c rounds what does not fit, and takes -0 for a fraction. */
static int decode_int(const struct reader *r, json_object *value, struct config_int *ret)
{
        const char *text = json_literal(&r->config->document, value);
        int64_t number;
        char *end;

        if (!text || (*text != '-' && !isdigit((unsigned char)*text)))
                return wrong_type(r, value, "a whole number");
        errno = 0;
        number = strtoll(text, &end, 10);
        if (*end == '.' || *end == 'e' || *end == 'E')
                return wrong_type(r, value, "a whole number");
        if (errno == ERANGE)
                findings_add(r->findings, FINDING_ERROR, value, NULL, "does not fit in 64 bits");
        *ret = (struct config_int){ true, number };
        return 0;
}

/* Room for n items of a list that may hold some: those from `count` on are zeroed. */
static int resize(void *items, size_t count, size_t n, size_t size)
{
        void **p = items, *larger = reallocarray(*p, n + 1, size);

        if (!larger)
                return -ENOMEM;
        *p = larger;
        if (n + 1 > count)
                memset((char *)larger + count * size, 0, (n + 1 - count) * size);
        return 0;
}

static int decode_strings(const struct reader *r, json_object *value, struct config_strings *ret)
{
        size_t n;

        if (!json_object_is_type(value, json_type_array))
                return wrong_type(r, value, "a list of strings");
        n = json_object_array_length(value);
        if (resize(&ret->items, ret->count, n, sizeof(char *)) < 0)
                return -ENOMEM;
        ret->count = n;
        for (size_t i = 0; i < n; i++) {
                json_object *item = json_object_array_get_idx(value, i);

                ret->items[i] = ret->items[i] ?: "";
                if (item)
                        decode_string(r, item, &ret->items[i]);
        }
        return 0;
}

static void record_done(const struct config_record *record, void *object);

static void list_cut(struct config_list *list, const struct config_record *record, size_t n)
{
        for (size_t i = n; i < list->count; i++)
                record_done(record, (char *)list->items + i * record->size);
        list->count = MIN(list->count, n);
}

static void list_done(struct config_list *list, const struct config_record *record)
{
        list_cut(list, record, 0);
        free(list->items);
        *list = (struct config_list){};
}

/* An entry that is null is an empty object. It stands in the tree, so that findings can name it, at
 * the list's position. */
static json_object *fill_null(json_object *list, size_t i)
{
        json_object *empty = json_object_new_object();

        if (!empty || json_object_array_put_idx(list, i, empty) < 0) {
                json_object_put(empty);
                return NULL;
        }
        json_object_set_serializer(empty, NULL, json_object_get_userdata(list), NULL);
        return empty;
}

static int decode_list(const struct reader *r, json_object *value,
                       const struct config_record *record, struct config_list *ret)
{
        size_t n;

        if (!json_object_is_type(value, json_type_array))
                return wrong_type(r, value, "a list of objects");
        n = json_object_array_length(value);
        list_cut(ret, record, n);
        if (resize(&ret->items, ret->count, n, record->size) < 0)
                return -ENOMEM;
        ret->count = n;
        for (size_t i = 0; i < n; i++) {
                json_object *item = json_object_array_get_idx(value, i) ?: fill_null(value, i);
                int code;

                if (!item)
                        return -ENOMEM;
                code = decode_object(r, item, record, (char *)ret->items + i * record->size);
                if (code < 0)
                        return code;
        }
        return 0;
}

static int decode_member(const struct reader *r, json_object *value, const struct config_field *f,
                         void *member)
{
        switch (f->type) {
        case TYPE_STRING:
        case TYPE_PLAIN: return decode_string(r, value, member);
        case TYPE_BOOL: return decode_bool(r, value, member);
        case TYPE_INT: return decode_int(r, value, member);
        case TYPE_STRINGS: return decode_strings(r, value, member);
        case TYPE_OBJECT: return decode_object(r, value, f->record, member);
        case TYPE_LIST: return decode_list(r, value, f->record, member);
        }
        return 0;
}

static void record_done(const struct config_record *record, void *object);

/* A null after a value (duplicate key) takes it back. */
static void clear_member(const struct config_field *f, void *member)
{
        static const size_t sizes[] = { [TYPE_STRING] = sizeof(char *),
                                        [TYPE_BOOL] = sizeof(struct config_bool),
                                        [TYPE_INT] = sizeof(struct config_int),
                                        [TYPE_STRINGS] = sizeof(struct config_strings),
                                        [TYPE_LIST] = sizeof(struct config_list) };

        if (f->type == TYPE_OBJECT) {
                record_done(f->record, member);
                memset(member, 0, f->record->size);
                return;
        }
        if (f->type == TYPE_LIST)
                list_done(member, f->record);
        if (f->type == TYPE_STRINGS)
                free(((struct config_strings *)member)->items);
        memset(member, 0, sizes[f->type]);
}

static int decode_object(const struct reader *r, json_object *value,
                         const struct config_record *record, void *object)
{
        if (!json_object_is_type(value, json_type_object))
                return wrong_type(r, value, "an object");
        *(json_object **)object = value;
        json_object_object_foreach (value, key, child) {
                const struct config_field *f = config_field_find(record, key, r->minor);
                int code;

                if (f && !child && config_null_clears(f, r->minor))
                        clear_member(f, (char *)object + f->offset);
                if (!f || !child)
                        continue;
                code = decode_member(r, child, f, (char *)object + f->offset);
                if (code < 0)
                        return code;
        }
        return 0;
}

static void record_done(const struct config_record *record, void *object)
{
        for (const struct config_field *f = record->fields; f->key; f++) {
                void *member = (char *)object + f->offset;

                if (f->type == TYPE_LIST)
                        list_done(member, f->record);
                else if (f->type == TYPE_OBJECT)
                        record_done(f->record, member);
                else if (f->type == TYPE_STRINGS)
                        free(((struct config_strings *)member)->items);
        }
}

void config_done(struct config *c)
{
        record_done(&config_record, &c->root);
        json_document_done(&c->document);
        memset(c, 0, sizeof(*c));
}

/* ---- what is checked after decoding ---- */

static void validate_object(const struct check *c, const struct config_record *record,
                            const void *object)
{
        if (record->validate)
                record->validate(c, object);
        for (const struct config_field *f = record->fields; f->key; f++) {
                const void *member = (const char *)object + f->offset;
                const struct config_list *list = member;

                if (f->type == TYPE_OBJECT)
                        validate_object(c, f->record, member);
                for (size_t i = 0; f->type == TYPE_LIST && i < list->count; i++)
                        validate_object(c, f->record,
                                        (const char *)list->items + i * f->record->size);
        }
}

/* A null is no object to json-c: then the key has no position of its own either. */
static void warn_unused(const struct reader *r, json_object *value,
                        const struct config_record *record)
{
        json_object_object_foreach (value, key, child) {
                const struct config_field *f = config_field_find(record, key, r->minor);

                size_t n = strcspn(key, JSON_DUPLICATE_MARK);

                if (!f || strlen(f->key) != n || strncmp(f->key, key, n) != 0)
                        findings_add_key(r->findings, value, key, "unused key %.*s", (int)n, key);
                if (!f || !child)
                        continue;
                if (f->type == TYPE_OBJECT && json_object_is_type(child, json_type_object))
                        warn_unused(r, child, f->record);
                if (f->type != TYPE_LIST || !json_object_is_type(child, json_type_array))
                        continue;
                for (size_t i = 0; i < json_object_array_length(child); i++)
                        if (json_object_array_get_idx(child, i))
                                warn_unused(r, json_object_array_get_idx(child, i), f->record);
        }
}

/* Three numbers, then perhaps -prerelease or +metadata. */
static bool parse_version(const char *text, unsigned long number[3], const char **ret_rest)
{
        for (int i = 0; i < 3; i++) {
                char *end;

                if (*text < '0' || *text > '9')
                        return false;
                number[i] = strtoul(text, &end, 10);
                if (i < 2 && *end++ != '.')
                        return false;
                text = end;
        }
        *ret_rest = text;
        return *text == '\0' || *text == '-' || *text == '+';
}

/* Reads the version out of one of the members called "ignition". */
static void scan_version(struct findings *findings, json_object *ignition, const char **ret)
{
        json_object_object_foreach (ignition, key, value) {
                if (!value || !key_equal(key, "version"))
                        continue;
                if (json_object_is_type(value, json_type_string))
                        *ret = json_object_get_string(value);
                else
                        findings_add(findings, FINDING_ERROR, value, NULL,
                                     "must be a string, not %s", type_name(value));
        }
}

static const char *find_version(json_object *root, struct findings *findings)
{
        const char *version = "";

        json_object_object_foreach (root, key, value) {
                if (!value || !key_equal(key, "ignition"))
                        continue;
                if (json_object_is_type(value, json_type_object))
                        scan_version(findings, value, &version);
                else
                        findings_add(findings, FINDING_ERROR, value, NULL,
                                     "must be an object, not %s", type_name(value));
        }
        return version;
}

/* An empty prerelease or metadata is none: the original's library takes "3.3.0-+". */
static bool is_known(const unsigned long number[3], const char *rest)
{
        size_t n = strlen(rest);

        if (n > 0 && strchr(rest, '+') == rest + n - 1)
                n--;
        if (number[0] != 3 || number[2] != 0 || number[1] > CONFIG_NEWEST_MINOR)
                return false;
        if (number[1] == CONFIG_NEWEST_MINOR)
                return n == strlen("-experimental") && startswith(rest, "-experimental");
        return n == 0 || (n == 1 && *rest == '-');
}

static int choose_version(struct config *c, struct findings *findings, struct error *err)
{
        const char *version, *rest;
        unsigned long number[3];

        if (!json_object_is_type(c->document.root, json_type_object) && c->document.root)
                return error_set(err, -EINVAL, "config is not an object");
        version = c->document.root ? find_version(c->document.root, findings) : "";
        if (findings->errors > 0)
                return error_set(err, -EINVAL, "config is not valid");
        if (!parse_version(version, number, &rest))
                return error_set(err, -EINVAL, "invalid config version (couldn't parse)");
        if (!is_known(number, rest))
                return error_set(err, -EINVAL, "unsupported config version");
        c->minor = (unsigned)number[1];
        return 0;
}

static int decode_and_check(struct config *c, struct findings *findings, struct error *err)
{
        struct reader reader = { c, findings, c->minor };
        struct check check = { c, findings, c->minor };

        if (decode_object(&reader, c->document.root, &config_record, &c->root) < 0)
                return error_oom(err);
        if (findings->errors == 0) {
                validate_object(&check, &config_record, &c->root);
                if (validate_duplicates(&check, &config_record, &c->root) < 0)
                        return error_oom(err);
                warn_unused(&reader, c->document.root, &config_record);
        }
        return findings->errors ? error_set(err, -EINVAL, "config is not valid") : 0;
}

/* json_load() says "<name>:<line>:<column>: <what>"; a report says it in its own words. */
static int syntax_error(const char *name, struct findings *findings, struct error *err)
{
        const char *rest = startswith(err->message, name);
        unsigned line, column;
        int n = 0;

        if (rest && sscanf(rest, ":%u:%u: %n", &line, &column, &n) == 2 && n > 0) {
                buffer_printf(&findings->text, "error at line %u col %u: %s\n", line, column,
                              rest + n);
                findings->errors++;
        }
        return err->code;
}

int config_load(const char *name, const char *text, size_t size, struct config *ret,
                struct findings *findings, struct error *err)
{
        int r;

        *ret = (struct config){};
        if (size == 0)
                return error_set(err, -EINVAL, "not a config (empty)");
        if (size > CONFIG_SIZE_MAX)
                return error_set(err, -EFBIG, "config is larger than %d bytes", CONFIG_SIZE_MAX);
        r = json_load(name, text, size, true, &ret->document, err);
        if (r < 0)
                return syntax_error(name, findings, err);
        findings->document = &ret->document;
        r = choose_version(ret, findings, err);
        return r < 0 ? r : decode_and_check(ret, findings, err);
}
