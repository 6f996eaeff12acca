/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See record.h. */

#include "digest.h"
#include "record.h"
#include "strv.h"

const char field_allow_empty[] = "";

static const char *type_name(json_object *value)
{
        static const char *const names[] = {
                [json_type_null] = "null",         [json_type_boolean] = "a boolean",
                [json_type_double] = "a fraction", [json_type_int] = "a number",
                [json_type_object] = "an object",  [json_type_array] = "an array",
                [json_type_string] = "a string",
        };

        return names[json_object_get_type(value)];
}

static int wrong_type(const struct json_document *d, json_object *value, const struct field *field,
                      const char *want, struct error *err)
{
        return json_error(d, value, err, -EINVAL, "\"%s\" must be %s, not %s", field->key, want,
                          type_name(value));
}

static const struct field *find_field(const struct record *record, const char *key)
{
        for (const struct field *f = record->fields; f->key; f++)
                if (streq(f->key, key))
                        return f;
        return NULL;
}

static int unknown_key(const struct json_document *d, json_object *value,
                       const struct record *record, const char *key, json_object *member,
                       struct error *err)
{
        _cleanup_buffer_ struct buffer known = {};

        for (const struct field *f = record->fields; f->key; f++)
                buffer_printf(&known, "%s%s", f == record->fields ? "" : ", ", f->key);
        buffer_append(&known, "", 0);
        return json_error(d, member ?: value, err, -EINVAL, "unknown key \"%s\" in %s (known: %s)",
                          key, record->name, known.failed ? "" : known.data);
}

int record_decode(const struct json_document *d, json_object *value, const struct record *record,
                  void *object, struct error *err)
{
        int r;

        if (!json_object_is_type(value, json_type_object))
                return json_error(d, value, err, -EINVAL, "%s must be an object, not %s",
                                  record->name, type_name(value));
        json_object_object_foreach (value, key, member) {
                const struct field *f = find_field(record, key);

                if (!f)
                        return unknown_key(d, value, record, key, member, err);
                if (!member)
                        return json_error(d, value, err, -EINVAL, "\"%s\" must not be null", key);
                r = f->decode(d, member, f, (char *)object + f->offset, err);
                if (r < 0)
                        return r;
        }
        for (const struct field *f = record->fields; f->key; f++)
                if ((f->flags & FIELD_MANDATORY) && !json_object_object_get_ex(value, f->key, NULL))
                        return json_error(d, value, err, -EINVAL, "%s lacks \"%s\"", record->name,
                                          f->key);
        return record->check ? record->check(d, value, object, err) : 0;
}

void record_drop_unknown(json_object *value, const struct record *record)
{
        if (json_object_is_type(value, json_type_array)) /* of field_records */
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        record_drop_unknown(json_object_array_get_idx(value, i), record);
        if (!json_object_is_type(value, json_type_object))
                return;
        json_object_object_foreach (value, key, member) {
                const struct field *f = find_field(record, key);

                if (!f)
                        json_object_object_del(value, key);
                else if (f->decode == field_record || f->decode == field_records)
                        record_drop_unknown(member, f->argument);
        }
}

int record_load(int dir_fd, const char *path, const struct record *record, void *object,
                struct error *err)
{
        _cleanup_json_ struct json_document d = {};
        int r;

        r = json_load_file(dir_fd, path, &d, err);
        if (r < 0)
                return r;
        r = record_decode(&d, d.root, record, object, err);
        if (r < 0) {
                record->done(object);
                memset(object, 0, record->size);
        }
        return r;
}

static int copy_string(json_object *value, char **ret, struct error *err)
{
        char *copy = strdup(json_object_get_string(value));

        if (!copy)
                return error_oom(err);
        free(*ret);
        *ret = copy;
        return 0;
}

/* A C string cannot hold \u0000, and nobody wants an empty one by accident. */
static int check_text(const struct json_document *d, json_object *value, const struct field *field,
                      bool allow_empty, struct error *err)
{
        const char *text = json_object_get_string(value);

        if (strlen(text) != (size_t)json_object_get_string_len(value))
                return json_error(d, value, err, -EINVAL, "\"%s\" contains a NUL character",
                                  field->key);
        if (!allow_empty && !*text)
                return json_error(d, value, err, -EINVAL, "\"%s\" must not be empty", field->key);
        return 0;
}

int field_string(const struct json_document *d, json_object *value, const struct field *field,
                 void *member, struct error *err)
{
        int r;

        if (!json_object_is_type(value, json_type_string))
                return wrong_type(d, value, field, "a string", err);
        r = check_text(d, value, field, field->argument == field_allow_empty, err);
        if (r < 0)
                return r;
        return copy_string(value, member, err);
}

int field_bool(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        if (!json_object_is_type(value, json_type_boolean))
                return wrong_type(d, value, field, "true or false", err);
        *(bool *)member = json_object_get_boolean(value);
        return 0;
}

static int in_range(const struct json_document *d, json_object *value, const struct field *field,
                    uint64_t number, struct error *err)
{
        const struct field_range *range = field->argument;

        if (range && (number < range->min || number > range->max))
                return json_error(d, value, err, -ERANGE, "\"%s\" must be between %ju and %ju",
                                  field->key, (uintmax_t)range->min, (uintmax_t)range->max);
        return 0;
}

int field_uint(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        uint64_t number;
        int r;

        if (!json_object_is_type(value, json_type_int))
                return wrong_type(d, value, field, "a whole number", err);
        if (json_object_get_int64(value) < 0)
                return json_error(d, value, err, -ERANGE, "\"%s\" must not be negative",
                                  field->key);
        number = json_object_get_uint64(value);
        r = in_range(d, value, field, number, err);
        if (r < 0)
                return r;
        *(uint64_t *)member = number;
        return 0;
}

/* "512M" → bytes; false when it is not a size or does not fit. */
static bool parse_size(const char *text, uint64_t *ret)
{
        static const char units[] = "KMGT";
        const char *unit;
        unsigned shift = 0;
        uint64_t number;
        char *end;

        if (*text < '0' || *text > '9')
                return false;
        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno != 0)
                return false;
        if (*end) {
                unit = strchr(units, *end);
                if (!unit || end[1])
                        return false;
                shift = 10 * (unsigned)(unit - units + 1);
        }
        if (number > UINT64_MAX >> shift)
                return false;
        *ret = number << shift;
        return true;
}

int field_size(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        uint64_t number;
        int r;

        if (json_object_is_type(value, json_type_int))
                return field_uint(d, value, field, member, err);
        if (!json_object_is_type(value, json_type_string))
                return wrong_type(d, value, field, "a size such as \"512M\"", err);
        if (!parse_size(json_object_get_string(value), &number))
                return json_error(d, value, err, -EINVAL,
                                  "\"%s\" must be a size such as \"512M\", not \"%s\"", field->key,
                                  json_object_get_string(value));
        r = in_range(d, value, field, number, err);
        if (r < 0)
                return r;
        *(uint64_t *)member = number;
        return 0;
}

int field_mode(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        const char *text;

        if (!json_object_is_type(value, json_type_string))
                return wrong_type(d, value, field, "an octal mode such as \"0755\"", err);
        text = json_object_get_string(value);
        if (strlen(text) < 3 || strlen(text) > 4 || strspn(text, "01234567") != strlen(text))
                return json_error(d, value, err, -EINVAL,
                                  "\"%s\" must be an octal mode such as \"0755\"", field->key);
        *(uint32_t *)member = (uint32_t)strtoul(text, NULL, 8);
        return 0;
}

int field_strings(const struct json_document *d, json_object *value, const struct field *field,
                  void *member, struct error *err)
{
        _cleanup_strv_ char **list = calloc(1, sizeof(char *));
        int r;

        if (!list)
                return error_oom(err);
        if (!json_object_is_type(value, json_type_array))
                return wrong_type(d, value, field, "an array of strings", err);
        for (size_t i = 0; i < json_object_array_length(value); i++) {
                json_object *item = json_object_array_get_idx(value, i);

                if (!json_object_is_type(item, json_type_string))
                        return json_error(d, item ?: value, err, -EINVAL,
                                          "\"%s\" must contain strings, not %s", field->key,
                                          type_name(item));
                r = check_text(d, item, field, false, err);
                if (r < 0)
                        return r;
                if (strv_extend(&list, json_object_get_string(item)) < 0)
                        return error_oom(err);
        }
        strv_free(*(char ***)member);
        *(char ***)member = TAKE_PTR(list);
        return 0;
}

int field_digest(const struct json_document *d, json_object *value, const struct field *field,
                 void *member, struct error *err)
{
        if (!json_object_is_type(value, json_type_string) ||
            hex_decode(json_object_get_string(value), member, SHA256_SIZE) < 0)
                return json_error(d, value, err, -EINVAL, "\"%s\" must be 64 hex digits",
                                  field->key);
        return 0;
}

int field_enum(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        _cleanup_buffer_ struct buffer choices = {};
        const char *const *names = field->argument;

        if (!json_object_is_type(value, json_type_string))
                return wrong_type(d, value, field, "a string", err);
        for (int i = 0; names[i]; i++) {
                if (streq(names[i], json_object_get_string(value))) {
                        *(int *)member = i;
                        return 0;
                }
                buffer_printf(&choices, "%s\"%s\"", i ? ", " : "", names[i]);
        }
        buffer_append(&choices, "", 0);
        return json_error(d, value, err, -EINVAL, "\"%s\" must be one of %s, not \"%s\"",
                          field->key, choices.failed ? "" : choices.data,
                          json_object_get_string(value));
}

static bool path_is_clean(const char *path)
{
        if (*path != '/')
                return false;
        while (*path) {
                size_t n;

                n = strcspn(++path, "/");
                if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && strncmp(path, "..", 2) == 0))
                        return false;
                path += n;
        }
        return true;
}

int field_path(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err)
{
        int r;

        if (!json_object_is_type(value, json_type_string))
                return wrong_type(d, value, field, "an absolute path", err);
        r = check_text(d, value, field, false, err);
        if (r < 0)
                return r;
        if (!path_is_clean(json_object_get_string(value)))
                return json_error(d, value, err, -EINVAL,
                                  "\"%s\" must be an absolute path without '.' or '..', not \"%s\"",
                                  field->key, json_object_get_string(value));
        return copy_string(value, member, err);
}

int field_record(const struct json_document *d, json_object *value, const struct field *field,
                 void *member, struct error *err)
{
        return record_decode(d, value, field->argument, member, err);
}

int field_records(const struct json_document *d, json_object *value, const struct field *field,
                  void *member, struct error *err)
{
        const struct record *record = field->argument;
        struct field_array *array = member;
        size_t n;
        int r;

        if (!json_object_is_type(value, json_type_array))
                return wrong_type(d, value, field, "an array of objects", err);
        n = json_object_array_length(value);
        field_array_done(array, record);
        array->items = calloc(MAX(n, (size_t)1), record->size);
        if (!array->items)
                return error_oom(err);
        for (size_t i = 0; i < n; i++) {
                json_object *item = json_object_array_get_idx(value, i);

                if (!item)
                        return json_error(d, value, err, -EINVAL,
                                          "\"%s\" must contain objects, not null", field->key);
                array->count = i + 1;
                r = record_decode(d, item, record, (char *)array->items + i * record->size, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

void field_array_done(struct field_array *array, const struct record *record)
{
        for (size_t i = 0; i < array->count; i++)
                record->done((char *)array->items + i * record->size);
        free(array->items);
        array->items = NULL;
        array->count = 0;
}

/* ---- schema ---- */

static json_object *schema_of_record(const struct record *record, json_object *definitions);

static json_object *reference_to(const struct record *record, json_object *definitions)
{
        _cleanup_free_ char *pointer = NULL;
        json_object *reference = json_object_new_object();

        if (!json_object_object_get_ex(definitions, record->name, NULL)) {
                json_object_object_add(definitions, record->name, NULL);
                json_object_object_add(definitions, record->name,
                                       schema_of_record(record, definitions));
        }
        if (asprintf(&pointer, "#/$defs/%s", record->name) < 0)
                pointer = NULL;
        json_object_object_add(reference, "$ref", json_object_new_string(pointer ?: ""));
        return reference;
}

static void add_string(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, json_object_new_string(value));
}

static void describe_uint(const struct field *f, json_object *schema)
{
        const struct field_range *range = f->argument;

        json_object_object_add(schema, "minimum", json_object_new_uint64(range ? range->min : 0));
        if (range)
                json_object_object_add(schema, "maximum", json_object_new_uint64(range->max));
}

static void describe_enum(const struct field *f, json_object *schema)
{
        json_object *values = json_object_new_array();

        for (const char *const *name = f->argument; *name; name++)
                json_object_array_add(values, json_object_new_string(*name));
        json_object_object_add(schema, "enum", values);
}

static void describe_strings(const struct field *f _unused_, json_object *schema)
{
        json_object *items = json_object_new_object();

        add_string(items, "type", "string");
        json_object_object_add(items, "minLength", json_object_new_int(1));
        json_object_object_add(schema, "items", items);
}

/* Decoder → JSON Schema type, pattern and further keywords. */
static const struct {
        field_decoder decode;
        const char *type, *pattern;
        void (*describe)(const struct field *f, json_object *schema);
} schema_types[] = {
        { field_string, "string", NULL, NULL },
        { field_bool, "boolean", NULL, NULL },
        { field_uint, "integer", NULL, describe_uint },
        { field_size, NULL, NULL, NULL },
        { field_mode, "string", "^[0-7]{3,4}$", NULL },
        { field_strings, "array", NULL, describe_strings },
        { field_digest, "string", "^[0-9a-fA-F]{64}$", NULL },
        { field_enum, "string", NULL, describe_enum },
        { field_path, "string", "^/", NULL },
};

static void describe_size(json_object *schema)
{
        json_object *types = json_object_new_array();

        json_object_array_add(types, json_object_new_string("integer"));
        json_object_array_add(types, json_object_new_string("string"));
        json_object_object_add(schema, "type", types);
        json_object_object_add(schema, "minimum", json_object_new_int(0));
        add_string(schema, "pattern", "^[0-9]+[KMGT]?$");
}

static json_object *schema_of_field(const struct field *f, json_object *definitions)
{
        json_object *schema = f->decode == field_record ? reference_to(f->argument, definitions)
                                                        : json_object_new_object();

        if (f->decode == field_records) {
                add_string(schema, "type", "array");
                json_object_object_add(schema, "items", reference_to(f->argument, definitions));
        }
        if (f->decode == field_size)
                describe_size(schema);
        for (size_t i = 0; i < ARRAY_SIZE(schema_types); i++) {
                if (schema_types[i].decode != f->decode)
                        continue;
                if (schema_types[i].type)
                        add_string(schema, "type", schema_types[i].type);
                if (schema_types[i].pattern)
                        add_string(schema, "pattern", schema_types[i].pattern);
                if (schema_types[i].describe)
                        schema_types[i].describe(f, schema);
        }
        add_string(schema, "description", f->help);
        return schema;
}

static json_object *schema_of_record(const struct record *record, json_object *definitions)
{
        json_object *schema = json_object_new_object();
        json_object *properties = json_object_new_object(), *required = json_object_new_array();

        add_string(schema, "type", "object");
        for (const struct field *f = record->fields; f->key; f++) {
                json_object_object_add(properties, f->key, schema_of_field(f, definitions));
                if (f->flags & FIELD_MANDATORY)
                        json_object_array_add(required, json_object_new_string(f->key));
        }
        json_object_object_add(schema, "properties", properties);
        json_object_object_add(schema, "required", required);
        json_object_object_add(schema, "additionalProperties", json_object_new_boolean(false));
        return schema;
}

int record_schema(const struct record *record, json_object **ret, struct error *err)
{
        json_object *definitions = json_object_new_object();
        json_object *schema = schema_of_record(record, definitions);

        if (!schema || !definitions)
                return error_oom(err);
        add_string(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
        add_string(schema, "title", record->name);
        json_object_object_add(schema, "$defs", definitions);
        *ret = schema;
        return 0;
}
