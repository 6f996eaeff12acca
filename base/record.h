/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON objects ↔ structs by table. A row is the whole truth about a setting: key, decoder,
 * destination, flags, help. The same rows give the parser, the list of unknown and missing keys,
 * the JSON Schema and the manual's option list, so these cannot drift apart. */

#include "json.h"

struct field;

/* Decodes value into member. On failure returns json_error(…) at the value's position. */
typedef int (*field_decoder)(const struct json_document *d, json_object *value,
                             const struct field *field, void *member, struct error *err);

enum field_flags {
        FIELD_MANDATORY = 1 << 0,
};

struct field {
        const char *key;
        field_decoder decode;
        size_t offset; /* of the member in the struct */
        unsigned flags;
        const char *help;     /* one sentence */
        const void *argument; /* what the decoder wants: nested record, enum names, limits */
};

/* A struct type: its fields end with a row whose key is NULL. */
struct record {
        const char *name; /* for messages and the schema: "layer" */
        size_t size;      /* sizeof the struct, for arrays of it */
        const struct field *fields;
        void (*done)(void *object); /* frees the members */
        /* Checks across fields; may be NULL. value is the object, for positions. */
        int (*check)(const struct json_document *d, json_object *value, void *object,
                     struct error *err);
};

/* Decodes the object at value into the zeroed struct. On failure the struct holds what was decoded
 * so far; the caller's done() frees it. */
int record_decode(const struct json_document *d, json_object *value, const struct record *record,
                  void *object, struct error *err) _must_check_;

/* Removes the keys that the record and those in it do not know from the value, if it is an object,
 * or from the objects of an array: for texts that may be newer than their reader. */
void record_drop_unknown(json_object *value, const struct record *record);

/* Loads, decodes and checks a file; *object must be zeroed, and is again on failure. */
int record_load(int dir_fd, const char *path, const struct record *record, void *object,
                struct error *err) _must_check_;

/* JSON Schema (draft 2020-12) of the record; nested records become $defs. Caller puts it. */
int record_schema(const struct record *record, json_object **ret, struct error *err) _must_check_;

/* Member types of the decoders:
 *   field_string        char *            non-empty unless argument is &field_allow_empty
 *   field_bool          bool
 *   field_uint          uint64_t          argument: struct field_range or NULL
 *   field_size          uint64_t          bytes: a number, or "512M" (K, M, G, T: powers of 1024)
 *   field_mode          uint32_t          octal string "0755" up to "7777"
 *   field_strings       char **           array of non-empty strings
 *   field_digest        struct sha256     64 hex digits
 *   field_enum          int               argument: NULL-terminated names; the index
 *   field_path          char *            absolute, no empty, "." or ".." component
 *   field_record        the struct        argument: struct record
 *   field_records       struct field_array argument: struct record
 */
struct field_range {
        uint64_t min, max;
};

struct field_array {
        void *items;
        size_t count;
};

extern const char field_allow_empty[];

int field_string(const struct json_document *d, json_object *value, const struct field *field,
                 void *member, struct error *err);
int field_bool(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_uint(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_size(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_mode(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_strings(const struct json_document *d, json_object *value, const struct field *field,
                  void *member, struct error *err);
int field_digest(const struct json_document *d, json_object *value, const struct field *field,
                 void *member, struct error *err);
int field_enum(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_path(const struct json_document *d, json_object *value, const struct field *field,
               void *member, struct error *err);
int field_record(const struct json_document *d, json_object *value, const struct field *field,
                 void *member, struct error *err);
int field_records(const struct json_document *d, json_object *value, const struct field *field,
                  void *member, struct error *err);

/* Frees the items of an array with the record's done(), and the array. */
void field_array_done(struct field_array *array, const struct record *record);
