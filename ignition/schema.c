/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The JSON Schema (draft 2020-12) of one version of the specification, from the rows that the
 * parser follows. It knows types and names; the rules across settings are ignition-validate's.
 * Unknown keys, which are worth a warning there, are refused: an editor shall point at them. */

#include "fields.h"
#include "verbs.h"

static json_object *schema_of_record(const struct config_record *record, unsigned minor);

static void add_string(json_object *object, const char *key, const char *value)
{
        json_object_object_add(object, key, json_object_new_string(value));
}

/* Null is the same as absent. */
static json_object *schema_of_type(const char *name)
{
        json_object *schema = json_object_new_object(), *types = json_object_new_array();

        json_object_array_add(types, json_object_new_string(name));
        json_object_array_add(types, json_object_new_string("null"));
        json_object_object_add(schema, "type", types);
        return schema;
}

static json_object *schema_of_field(const struct config_field *f, unsigned minor)
{
        static const char *const names[] = {
                [TYPE_STRING] = "string", [TYPE_PLAIN] = "string",  [TYPE_BOOL] = "boolean",
                [TYPE_INT] = "integer",   [TYPE_STRINGS] = "array", [TYPE_LIST] = "array",
        };
        json_object *schema;

        if (f->type == TYPE_OBJECT)
                return schema_of_record(f->record, minor);
        schema = schema_of_type(names[f->type]);
        if (f->type == TYPE_STRINGS)
                json_object_object_add(schema, "items", schema_of_type("string"));
        if (f->type == TYPE_LIST)
                json_object_object_add(schema, "items", schema_of_record(f->record, minor));
        return schema;
}

static json_object *schema_of_record(const struct config_record *record, unsigned minor)
{
        json_object *schema = schema_of_type("object"), *properties = json_object_new_object();

        for (const struct config_field *f = record->fields; f->key; f++)
                if (f->since <= minor)
                        json_object_object_add(properties, f->key, schema_of_field(f, minor));
        json_object_object_add(schema, "properties", properties);
        json_object_object_add(schema, "additionalProperties", json_object_new_boolean(false));
        return schema;
}

static void require(json_object *schema, const char *key)
{
        json_object *required = json_object_new_array();

        json_object_array_add(required, json_object_new_string(key));
        json_object_object_add(schema, "required", required);
        json_object_object_del(schema, "type");
        add_string(schema, "type", "object");
}

void config_version_name(unsigned minor, char ret[CONFIG_VERSION_MAX])
{
        snprintf(ret, CONFIG_VERSION_MAX, "3.%u.0%s", minor,
                 minor == CONFIG_NEWEST_MINOR ? "-experimental" : "");
}

int config_schema(unsigned minor, json_object **ret, struct error *err)
{
        json_object *schema = schema_of_record(&config_record, minor), *ignition, *version;
        char name[CONFIG_VERSION_MAX];

        if (!schema)
                return error_oom(err);
        config_version_name(minor, name);
        ignition = json_at(schema, ".properties.ignition");
        *ret = schema;
        version = json_object_new_object();
        add_string(version, "const", name);
        json_object_object_add(json_member(ignition, "properties"), "version", version);
        require(ignition, "version");
        require(schema, "ignition");
        add_string(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
        add_string(schema, "title", "Ignition configuration");
        return 0;
}

static bool find_minor(const char *version, unsigned *ret)
{
        for (unsigned minor = 0; minor <= CONFIG_NEWEST_MINOR; minor++) {
                char name[CONFIG_VERSION_MAX];

                config_version_name(minor, name);
                if (streq(name, version)) {
                        *ret = minor;
                        return true;
                }
        }
        return false;
}

int verb_schema(struct agent *a _unused_, const char *argument, struct error *err)
{
        json_object *schema;
        unsigned minor;
        int r;

        if (!find_minor(argument ?: CONFIG_STABLE_VERSION, &minor))
                return error_set(err, -EINVAL, "schema: unsupported config version \"%s\"",
                                 argument);
        r = config_schema(minor, &schema, err);
        if (r < 0)
                return r;
        puts(json_object_to_json_string_ext(schema, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(schema);
        return 0;
}
