/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The specification as tables. A row says since which 3.x version a key exists, its type and where
 * its value goes; the table of version 3.N is the rows with since <= N. Parser, translation,
 * unknown keys, duplicate check and merge follow the same rows. */

#include "config.h"

enum field_type {
        TYPE_STRING,  /* const char *; null or missing: NULL */
        TYPE_PLAIN,   /* const char *; null changes nothing (in the original: not a pointer) */
        TYPE_BOOL,    /* struct config_bool */
        TYPE_INT,     /* struct config_int */
        TYPE_STRINGS, /* struct config_strings */
        TYPE_OBJECT,  /* the record's struct */
        TYPE_LIST,    /* struct config_list of the record's struct */
};

enum config_field_flags {
        CONFIG_DUPLICATES_ALLOWED = 1 << 0, /* no duplicate check; merging appends */
        CONFIG_SHARES_KEYS = 1 << 1,        /* one key space with the row before */
        CONFIG_MODE = 1 << 2,               /* special mode bits are dropped before 3.6 */
        CONFIG_NULL_DELETES = 1 << 5,       /* merging: a child without "value" takes away */
        CONFIG_SECRET = 1 << 3,             /* removed when the machine is provisioned */
        CONFIG_SECRET_URL = 1 << 4,         /* likewise, but a URL has to stay: an empty one */
        CONFIG_ABSENT_IN_2 = 1 << 6, /* an object that in 3.2 may be absent, not only empty */
        CONFIG_PLAIN = 1 << 7,       /* null changes nothing, as of TYPE_PLAIN */
        CONFIG_PLAIN_IN_2 = 1 << 8,  /* likewise, up to 3.2 */
        CONFIG_PLAIN_IN_0 = 1 << 9,  /* likewise, in 3.0 */
};

struct config_field {
        const char *key;
        unsigned since;
        enum field_type type;
        size_t offset;
        const struct config_record *record; /* of TYPE_OBJECT and TYPE_LIST */
        unsigned flags;
};

struct check {
        const struct config *config;
        struct findings *findings;
        unsigned minor;
};

struct config_record {
        size_t size;
        const struct config_field *fields; /* ends with a row without key */
        /* What tells list items apart, as text in ret; NULL: the first string of the struct. */
        void (*identify)(const void *object, char *ret, size_t size);
        size_t identity; /* offset of the const char * that is the key, when identify is NULL */
        /* Rules across and about the fields; may be NULL. */
        void (*validate)(const struct check *c, const void *object);
};

extern const struct config_record config_record;

/* The row of version 3.<minor> for a key of a configuration; NULL: unknown there. */
const struct config_field *config_field_find(const struct config_record *record, const char *key,
                                             unsigned minor);

/* Whether null for a repeated key takes back what stood there before. */
bool config_null_clears(const struct config_field *f, unsigned minor);

/* Entries with one key twice, over the lists that share a key space. 0 or -ENOMEM. */
int validate_duplicates(const struct check *c, const struct config_record *record,
                        const void *object) _must_check_;

/* Absolute, and as path.Clean() would leave it. */
bool path_is_simple(const char *path);
void validate_path(const struct check *c, json_object *at, const char *key, const char *path,
                   const char *missing);

/* No source is valid. */
bool source_valid(const struct check *c, const struct resource *r);

/* The rules, see validate*.c. */
void validate_resource(const struct check *c, const void *object);
void validate_reference(const struct check *c, const void *object);
void validate_merged_reference(const struct check *c, const void *object);
void validate_authority(const struct check *c, const void *object);
void validate_header(const struct check *c, const void *object);
void validate_verification(const struct check *c, const void *object);
void validate_proxy(const struct check *c, const void *object);
void validate_owner(const struct check *c, const void *object);
void validate_file(const struct check *c, const void *object);
void validate_directory(const struct check *c, const void *object);
void validate_link(const struct check *c, const void *object);
void validate_root(const struct check *c, const void *object);
void validate_unit(const struct check *c, const void *object);
void validate_dropin(const struct check *c, const void *object);
void validate_systemd(const struct check *c, const void *object);
void validate_storage(const struct check *c, const void *object);
void validate_disk(const struct check *c, const void *object);
void validate_partition(const struct check *c, const void *object);
void validate_raid(const struct check *c, const void *object);
void validate_filesystem(const struct check *c, const void *object);
void validate_luks(const struct check *c, const void *object);
void validate_clevis(const struct check *c, const void *object);
void validate_tang(const struct check *c, const void *object);
void partition_identify(const void *object, char *ret, size_t size);
