/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See extension-index.h. Names and versions become parts of file names. Unknown keys are passed
 * over: the machine that reads may be older than the site. */

#include "extension-index.h"
#include "strv.h"
#include "version.h"

#define NAME_CHARACTERS  "abcdefghijklmnopqrstuvwxyz0123456789-._+"
#define MATCH_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-._"

enum { NAME_MAX_LENGTH = 64, MATCH_MAX_LENGTH = 64 };

/* ---- texts ---- */

struct text_rule {
        size_t max;
        const char *characters;
};

static const struct text_rule rule_name = { NAME_MAX_LENGTH, NAME_CHARACTERS },
                              rule_version = { VERSION_MAX, VERSION_CHARACTERS },
                              rule_match = { MATCH_MAX_LENGTH, MATCH_CHARACTERS };

static int decode_text(const struct json_document *d, json_object *value, const struct field *field,
                       void *member, struct error *err)
{
        const struct text_rule *rule = field->argument;
        int r = field_string(d, value, &(struct field){ .key = field->key }, member, err);
        const char *text = r < 0 ? NULL : *(char **)member;

        if (r < 0)
                return r;
        if (*text == '.' || *text == '-' || strlen(text) > rule->max ||
            text[strspn(text, rule->characters)] != '\0')
                return json_error(d, value, err, -EINVAL, "\"%s\" is not valid", field->key);
        return 0;
}

/* ---- the tables ---- */

static const struct field_range range_format = { EXTENSION_INDEX_FORMAT, EXTENSION_INDEX_FORMAT },
                                range_size = { 1, EXTENSION_FILE_MAX };

void extension_entry_done(struct extension_entry *e)
{
        free(e->name);
        free(e->version);
        free(e->match.id);
        free(e->match.level);
        free(e->match.version_id);
        *e = (struct extension_entry){};
}

static void entry_done(void *object)
{
        extension_entry_done(object);
}

#define ENTRY(key, decode, member, flags, help, argument)                                          \
        {                                                                                          \
                key, decode, offsetof(struct extension_entry, member), flags, help, argument       \
        }

static const struct record entry_record = {
        "extension",
        sizeof(struct extension_entry),
        (const struct field[]){
                ENTRY("name", decode_text, name, FIELD_MANDATORY, "Of the extension.", &rule_name),
                ENTRY("version", decode_text, version, FIELD_MANDATORY, "Of it.", &rule_version),
                ENTRY("id", decode_text, match.id, 0, "ID of its hosts.", &rule_match),
                ENTRY("level", decode_text, match.level, 0, "Their SYSEXT_LEVEL.", &rule_match),
                ENTRY("versionId", decode_text, match.version_id, 0, "Their VERSION_ID.",
                      &rule_match),
                ENTRY("sha256", field_digest, sha256, FIELD_MANDATORY, "Of the file.", NULL),
                ENTRY("size", field_uint, size, FIELD_MANDATORY, "Bytes of it.", &range_size),
                {},
        },
        entry_done,
        NULL,
};

static void done(void *object)
{
        extension_index_done(object);
}

static int compare(const struct extension_entry *a, const struct extension_entry *b)
{
        return strcmp(a->name, b->name) ?: version_compare(a->version, b->version);
}

static int check(const struct json_document *d, json_object *value, void *object, struct error *err)
{
        const struct extension_index *index = object;

        if (index->entries.count > EXTENSION_ENTRIES_MAX)
                return json_error(d, value, err, -EINVAL, "more than %d extensions",
                                  EXTENSION_ENTRIES_MAX);
        for (size_t i = 1; i < index->entries.count; i++)
                if (compare(&extension_entries(index)[i - 1], &extension_entries(index)[i]) >= 0)
                        return json_error(d, value, err, -EINVAL,
                                          "extensions are not sorted, or stand twice");
        return 0;
}

#define INDEX(key, decode, member, help, argument)                                                 \
        {                                                                                          \
                key, decode, offsetof(struct extension_index, member), FIELD_MANDATORY, help,      \
                        argument                                                                   \
        }

static const struct record index_record = {
        "extensions",
        sizeof(struct extension_index),
        (const struct field[]){
                INDEX("format", field_uint, format, "Of this object.", &range_format),
                INDEX("image", decode_text, image, "The manifest's name.", &rule_name),
                INDEX("architecture", decode_text, architecture, "As Debian names it.", &rule_name),
                INDEX("channel", decode_text, channel, "Of the site.", &rule_name),
                INDEX("extensions", field_records, entries, "By name and version.", &entry_record),
                {},
        },
        done,
        check,
};

void extension_index_done(struct extension_index *index)
{
        free(index->image);
        free(index->architecture);
        free(index->channel);
        field_array_done(&index->entries, &entry_record);
        *index = (struct extension_index){};
}

/* ---- text ↔ index ---- */

int extension_index_parse(const char *name, const char *text, size_t size,
                          struct extension_index *ret, struct error *err)
{
        _cleanup_extension_index_ struct extension_index index = {};
        _cleanup_json_ struct json_document d = {};
        int r;

        if (size > EXTENSION_INDEX_MAX)
                return error_set(err, -EFBIG, "%s: larger than %d bytes", name,
                                 EXTENSION_INDEX_MAX);
        r = json_load(name, text, size, false, &d, err);
        if (r < 0)
                return r;
        record_drop_unknown(d.root, &index_record);
        r = record_decode(&d, d.root, &index_record, &index, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(index);
        return 0;
}

static void put_string(json_object *object, const char *key, const char *value)
{
        if (value)
                json_object_object_add(object, key, json_object_new_string(value));
}

static json_object *entry_json(const struct extension_entry *e)
{
        json_object *object = json_object_new_object();
        char hex[SHA256_HEX_SIZE];

        put_string(object, "name", e->name);
        put_string(object, "version", e->version);
        put_string(object, "id", e->match.id);
        put_string(object, "level", e->match.level);
        put_string(object, "versionId", e->match.version_id);
        put_string(object, "sha256", sha256_hex(&e->sha256, hex));
        json_object_object_add(object, "size", json_object_new_uint64(e->size));
        return object;
}

int extension_index_text(const struct extension_index *index, char **ret, struct error *err)
{
        json_object *root = json_object_new_object(), *list = json_object_new_array();
        const char *text;

        json_object_object_add(root, "format", json_object_new_uint64(EXTENSION_INDEX_FORMAT));
        put_string(root, "image", index->image);
        put_string(root, "architecture", index->architecture);
        put_string(root, "channel", index->channel);
        for (size_t i = 0; i < index->entries.count; i++)
                json_object_array_add(list, entry_json(&extension_entries(index)[i]));
        json_object_object_add(root, "extensions", list);
        text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
        *ret = text ? string_format("%s\n", text) : NULL;
        json_object_put(root);
        return *ret ? 0 : error_oom(err);
}

/* ---- entries ---- */

void extension_index_remove(struct extension_index *index, size_t i)
{
        struct extension_entry *entries = extension_entries(index);

        entry_done(&entries[i]);
        memmove(&entries[i], &entries[i + 1], (--index->entries.count - i) * sizeof(*entries));
}

int extension_index_add(struct extension_index *index, struct extension_entry *entry,
                        struct error *err)
{
        struct extension_entry *grown;
        size_t i = 0;

        while (i < index->entries.count && compare(&extension_entries(index)[i], entry) < 0)
                i++;
        if (i < index->entries.count && compare(&extension_entries(index)[i], entry) == 0)
                extension_index_remove(index, i);
        if (index->entries.count >= EXTENSION_ENTRIES_MAX)
                return error_set(err, -E2BIG, "more than %d extensions", EXTENSION_ENTRIES_MAX);
        grown = reallocarray(index->entries.items, index->entries.count + 1, sizeof(*grown));
        if (!grown)
                return error_oom(err);
        index->entries.items = grown;
        memmove(&grown[i + 1], &grown[i], (index->entries.count++ - i) * sizeof(*grown));
        grown[i] = TAKE_STRUCT(*entry);
        return 0;
}

/* ---- does it fit ---- */

static bool is_version_of(const struct extension_host *host, const char *version_id)
{
        for (size_t i = 0; i < ARRAY_SIZE(host->version_ids); i++)
                if (host->version_ids[i] && streq(host->version_ids[i], version_id))
                        return true;
        return false;
}

int extension_fits(const struct extension_match *match, const struct extension_host *host,
                   char **ret_reason, struct error *err)
{
        *ret_reason = NULL;
        if (match->id && streq(match->id, "_any"))
                return 0;
        if (match->id && host->id && !streq(match->id, host->id))
                *ret_reason = string_format("is for ID=%s", match->id);
        else if (match->level && !strv_contains(host->levels, match->level))
                *ret_reason = string_format(
                        "is for SYSEXT_LEVEL=%s, which the release does not have", match->level);
        else if (!match->level && match->version_id && !is_version_of(host, match->version_id))
                *ret_reason = string_format("is for VERSION_ID=%s", match->version_id);
        else
                return 0;
        return *ret_reason ? 0 : error_oom(err);
}

int extension_index_find(const struct extension_index *index, const char *name,
                         const struct extension_host *host, struct extension_entry **ret,
                         struct error *err)
{
        *ret = NULL;
        for (size_t i = 0; i < index->entries.count; i++) {
                struct extension_entry *e = &extension_entries(index)[i];
                _cleanup_free_ char *reason = NULL;
                int r = streq(e->name, name) ? extension_fits(&e->match, host, &reason, err)
                                             : -ENOENT;

                if (r < 0 && r != -ENOENT)
                        return r;
                if (r >= 0 && !reason)
                        *ret = e;
        }
        return 0;
}
