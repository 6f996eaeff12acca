/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An Ignition configuration in memory: always the newest specification, whatever
 * version it was written for. The structs follow the JSON one to one. Strings are borrowed from the
 * JSON tree, which lives as long as the struct config; NULL means absent. Each struct starts with
 * the JSON object it came from, for error messages (NULL for an object that was not there). */

#include "findings.h"

enum { CONFIG_NEWEST_MINOR = 7, CONFIG_SIZE_MAX = 16 * 1024 * 1024 };
#define CONFIG_NEWEST_VERSION "3.7.0-experimental"
#define CONFIG_STABLE_VERSION "3.6.0"

struct config_bool {
        bool set, value;
};

struct config_int {
        bool set;
        int64_t value;
};

struct config_strings {
        const char **items; /* an item that was null is "" */
        size_t count;
};

/* Array of the record's structs. */
struct config_list {
        void *items;
        size_t count;
};
#define CONFIG_FOREACH(type, it, list)                                                             \
        for (const type *it = (list)->items;                                                       \
             it && it < (const type *)(list)->items + (list)->count; it++)

struct http_header {
        json_object *at;
        const char *name, *value;
};

struct verification {
        json_object *at;
        const char *hash;
};

struct resource {
        json_object *at;
        const char *source, *compression;
        struct config_list headers; /* struct http_header */
        struct verification verification;
};

struct owner {
        json_object *at;
        struct config_int id;
        const char *name;
};

/* What files, directories and links have in common; their structs start with it. */
struct node {
        json_object *at;
        const char *path;
        struct config_bool overwrite;
        struct owner user, group;
};

struct file {
        struct node node;
        struct config_int mode;
        struct resource contents;
        struct config_list append; /* struct resource */
};

struct directory {
        struct node node;
        struct config_int mode;
};

struct link {
        struct node node;
        const char *target;
        struct config_bool hard;
};

struct partition {
        json_object *at;
        const char *label, *type_guid, *guid;
        struct config_int number, size_mib, start_mib;
        struct config_bool wipe_entry, should_exist, resize;
};

struct disk {
        json_object *at;
        const char *device;
        struct config_bool wipe_table;
        struct config_list partitions; /* struct partition */
};

struct raid {
        json_object *at;
        const char *name, *level;
        struct config_int spares;
        struct config_strings devices, options;
};

struct filesystem {
        json_object *at;
        const char *device, *format, *path, *label, *uuid;
        struct config_bool wipe;
        struct config_strings options, mount_options;
};

struct tang {
        json_object *at;
        const char *url, *thumbprint, *advertisement;
};

struct clevis_custom {
        json_object *at;
        const char *pin, *config;
        struct config_bool needs_network;
};

struct clevis {
        json_object *at;
        struct config_list tang; /* struct tang */
        struct config_bool tpm2;
        struct config_int threshold;
        struct clevis_custom custom;
};

struct cex {
        json_object *at;
        struct config_bool enabled;
};

struct luks {
        json_object *at;
        const char *name, *device, *label, *uuid;
        struct resource key_file;
        struct config_bool wipe, discard;
        struct config_strings options, open_options;
        struct clevis clevis;
        struct cex cex;
};

struct dropin {
        json_object *at;
        const char *name, *contents;
};

struct unit {
        json_object *at;
        const char *name, *contents;
        struct config_bool enabled, mask;
        struct config_list dropins; /* struct dropin */
};

struct user {
        json_object *at;
        const char *name, *password_hash, *gecos, *home_dir, *primary_group, *shell;
        struct config_int uid;
        struct config_strings keys, groups;
        struct config_bool no_create_home, no_user_group, no_log_init, system, should_exist;
};

struct group {
        json_object *at;
        const char *name, *password_hash;
        struct config_int gid;
        struct config_bool system, should_exist;
};

struct config_tree { /* the members of "ignition" */
        json_object *at;
        struct {
                json_object *at;
                struct config_list merge; /* struct resource */
                struct resource replace;
        } config;
        struct {
                json_object *at;
                struct config_int response_headers, total;
        } timeouts;
        struct {
                json_object *at;
                struct {
                        json_object *at;
                        struct config_list authorities; /* struct resource */
                } tls;
        } security;
        struct {
                json_object *at;
                const char *http, *https;
                struct config_strings no_proxy;
        } proxy;
        const char *version;
};

struct storage {
        json_object *at;
        struct config_list disks, raid, filesystems, luks, files, directories, links;
};

struct config_root {
        json_object *at;
        struct config_tree ignition;
        struct storage storage;
        struct {
                json_object *at;
                struct config_list units; /* struct unit */
        } systemd;
        struct {
                json_object *at;
                struct config_list users, groups;
        } passwd;
        struct {
                json_object *at;
                struct config_strings should_exist, should_not_exist;
        } kernel_arguments;
};

struct config {
        struct json_document document;
        struct config_root root;
        unsigned minor; /* the version it was written for: 3.<minor>.0 */
        bool has_nul;   /* somewhere in a string: valid, but nothing can be done with it */
};

/* Parses and validates. Findings about settings go into the report (whose document is set to the
 * config's); a failure means that there is no usable configuration: message "unsupported config
 * version" and the like, or "config is not valid" when the report tells why. */
int config_load(const char *name, const char *text, size_t size, struct config *ret,
                struct findings *findings, struct error *err) _must_check_;
void config_done(struct config *c);
#define _cleanup_config_ _cleanup_(config_done)

/* The configuration as JSON of the newest version: canonical keys, no nulls, no unknown keys. The
 * values are new ones whose origin (see origin.h) is their place in this document, which counts as
 * the given source. config_translate() is the same as a text. */
int config_tree(const struct config *c, unsigned source, json_object **ret,
                struct error *err) _must_check_;
int config_translate(const struct config *c, char **ret, struct error *err) _must_check_;

/* Both of the newest version; the child has the last word. The result shares values with them. */
int config_merge(json_object *parent, json_object *child, json_object **ret,
                 struct error *err) _must_check_;

/* Takes from a configuration in the newest version what must not outlive its use: contents, keys,
 * password hashes. It stays valid. */
int config_wipe(json_object *tree, struct error *err) _must_check_;

/* JSON Schema of version 3.<minor>.0. */
enum { CONFIG_VERSION_MAX = 32 };
void config_version_name(unsigned minor, char ret[CONFIG_VERSION_MAX]);
int config_schema(unsigned minor, json_object **ret, struct error *err) _must_check_;

static inline bool config_is_true(const struct config_bool *b)
{
        return b->set && b->value;
}

static inline bool config_is_false(const struct config_bool *b)
{
        return b->set && !b->value;
}

static inline bool string_is_empty(const char *s)
{
        return !s || !*s;
}
