/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See fields.h. One table per JSON object, in the order of the specification. A key that came later
 * than its object carries the minor version that brought it. */

#include "fields.h"

#define ROW(type_, key_, since_, kind_, member_)                                                   \
        {                                                                                          \
                .key = key_, .since = since_, .type = kind_,                                       \
                .offset = offsetof(struct type_, member_)                                          \
        }
#define NEST(type_, key_, since_, kind_, member_, record_, ...)                                    \
        {                                                                                          \
                .key = key_, .since = since_, .type = kind_,                                       \
                .offset = offsetof(struct type_, member_), .record = &record_, __VA_ARGS__         \
        }
#define FLAG(type_, key_, since_, kind_, member_, flags_)                                          \
        {                                                                                          \
                .key = key_, .since = since_, .type = kind_,                                       \
                .offset = offsetof(struct type_, member_), .flags = flags_                         \
        }
#define RECORD(type_, ...)                                                                         \
        {                                                                                          \
                .size = sizeof(struct type_), __VA_ARGS__                                          \
        }
#define KEYED(type_, key_, ...)                                                                    \
        {                                                                                          \
                .size = sizeof(struct type_), .identity = offsetof(struct type_, key_),            \
                __VA_ARGS__                                                                        \
        }

static const struct config_field header_fields[] = {
        ROW(http_header, "name", 0, TYPE_PLAIN, name),
        ROW(http_header, "value", 0, TYPE_STRING, value),
        {},
};
static const struct config_record header_record =
        KEYED(http_header, name, .fields = header_fields, .validate = validate_header);

static const struct config_field verification_fields[] = {
        ROW(verification, "hash", 0, TYPE_STRING, hash),
        {},
};
static const struct config_record verification_record =
        RECORD(verification, .fields = verification_fields, .validate = validate_verification);

/* Compression came to files first, to everything else later. */
#define RESOURCE_FIELDS(compression_since, headers_flags, source_flags)                            \
        NEST(resource, "httpHeaders", 1, TYPE_LIST, headers, header_record,                        \
             .flags = CONFIG_NULL_DELETES | headers_flags),                                        \
                ROW(resource, "compression", compression_since, TYPE_STRING, compression),         \
                FLAG(resource, "source", 0, TYPE_STRING, source, source_flags),                    \
                NEST(resource, "verification", 0, TYPE_OBJECT, verification, verification_record)

static const struct config_field resource_fields[] = { RESOURCE_FIELDS(1, 0, 0), {} };
static const struct config_field authority_fields[] = { RESOURCE_FIELDS(1, 0, CONFIG_PLAIN_IN_0),
                                                        {} };
static const struct config_field key_file_fields[] = {
        RESOURCE_FIELDS(1, CONFIG_SECRET, CONFIG_SECRET_URL), {}
};
static const struct config_field contents_fields[] = {
        RESOURCE_FIELDS(0, CONFIG_SECRET, CONFIG_SECRET_URL), {}
};
static const struct config_record reference_record =
        KEYED(resource, source, .fields = resource_fields, .validate = validate_reference);
static const struct config_record key_file_record =
        KEYED(resource, source, .fields = key_file_fields, .validate = validate_resource);
static const struct config_record merged_record =
        KEYED(resource, source, .fields = resource_fields, .validate = validate_merged_reference);
static const struct config_record authority_record =
        KEYED(resource, source, .fields = authority_fields, .validate = validate_authority);
static const struct config_record contents_record =
        KEYED(resource, source, .fields = contents_fields, .validate = validate_resource);

static const struct config_field owner_fields[] = {
        ROW(owner, "id", 0, TYPE_INT, id),
        ROW(owner, "name", 0, TYPE_STRING, name),
        {},
};
static const struct config_record owner_record =
        RECORD(owner, .fields = owner_fields, .validate = validate_owner);

#define NODE_FIELDS                                                                                \
        ROW(node, "path", 0, TYPE_PLAIN, path), ROW(node, "overwrite", 0, TYPE_BOOL, overwrite),   \
                NEST(node, "user", 0, TYPE_OBJECT, user, owner_record),                            \
                NEST(node, "group", 0, TYPE_OBJECT, group, owner_record)

static const struct config_field file_fields[] = {
        NODE_FIELDS,
        FLAG(file, "mode", 0, TYPE_INT, mode, CONFIG_MODE),
        NEST(file, "contents", 0, TYPE_OBJECT, contents, contents_record),
        NEST(file, "append", 0, TYPE_LIST, append, contents_record,
             .flags = CONFIG_DUPLICATES_ALLOWED),
        {},
};
static const struct config_record file_record =
        KEYED(file, node.path, .fields = file_fields, .validate = validate_file);

static const struct config_field directory_fields[] = {
        NODE_FIELDS,
        FLAG(directory, "mode", 0, TYPE_INT, mode, CONFIG_MODE),
        {},
};
static const struct config_record directory_record =
        KEYED(directory, node.path, .fields = directory_fields, .validate = validate_directory);

static const struct config_field link_fields[] = {
        NODE_FIELDS,
        FLAG(link, "target", 0, TYPE_STRING, target, CONFIG_PLAIN_IN_2),
        ROW(link, "hard", 0, TYPE_BOOL, hard),
        {},
};
static const struct config_record link_record =
        KEYED(link, node.path, .fields = link_fields, .validate = validate_link);

static const struct config_field partition_fields[] = {
        ROW(partition, "guid", 0, TYPE_STRING, guid),
        ROW(partition, "label", 0, TYPE_STRING, label),
        FLAG(partition, "number", 0, TYPE_INT, number, CONFIG_PLAIN),
        ROW(partition, "resize", 2, TYPE_BOOL, resize),
        ROW(partition, "shouldExist", 0, TYPE_BOOL, should_exist),
        ROW(partition, "sizeMiB", 0, TYPE_INT, size_mib),
        ROW(partition, "startMiB", 0, TYPE_INT, start_mib),
        ROW(partition, "typeGuid", 0, TYPE_STRING, type_guid),
        ROW(partition, "wipePartitionEntry", 0, TYPE_BOOL, wipe_entry),
        {},
};
static const struct config_record partition_record =
        RECORD(partition, .fields = partition_fields, .identify = partition_identify,
               .validate = validate_partition);

static const struct config_field disk_fields[] = {
        ROW(disk, "device", 0, TYPE_PLAIN, device),
        NEST(disk, "partitions", 0, TYPE_LIST, partitions, partition_record),
        ROW(disk, "wipeTable", 0, TYPE_BOOL, wipe_table),
        {},
};
static const struct config_record disk_record =
        KEYED(disk, device, .fields = disk_fields, .validate = validate_disk);

static const struct config_field raid_fields[] = {
        ROW(raid, "devices", 0, TYPE_STRINGS, devices),
        FLAG(raid, "level", 0, TYPE_STRING, level, CONFIG_PLAIN_IN_2),
        ROW(raid, "name", 0, TYPE_PLAIN, name),
        FLAG(raid, "options", 0, TYPE_STRINGS, options, CONFIG_DUPLICATES_ALLOWED),
        ROW(raid, "spares", 0, TYPE_INT, spares),
        {},
};
static const struct config_record raid_record =
        KEYED(raid, name, .fields = raid_fields, .validate = validate_raid);

static const struct config_field filesystem_fields[] = {
        ROW(filesystem, "device", 0, TYPE_PLAIN, device),
        ROW(filesystem, "format", 0, TYPE_STRING, format),
        ROW(filesystem, "label", 0, TYPE_STRING, label),
        FLAG(filesystem, "mountOptions", 1, TYPE_STRINGS, mount_options, CONFIG_DUPLICATES_ALLOWED),
        FLAG(filesystem, "options", 0, TYPE_STRINGS, options, CONFIG_DUPLICATES_ALLOWED),
        ROW(filesystem, "path", 0, TYPE_STRING, path),
        ROW(filesystem, "uuid", 0, TYPE_STRING, uuid),
        ROW(filesystem, "wipeFilesystem", 0, TYPE_BOOL, wipe),
        {},
};
static const struct config_record filesystem_record =
        KEYED(filesystem, device, .fields = filesystem_fields, .validate = validate_filesystem);

static const struct config_field tang_fields[] = {
        ROW(tang, "advertisement", 4, TYPE_STRING, advertisement),
        ROW(tang, "thumbprint", 0, TYPE_STRING, thumbprint),
        ROW(tang, "url", 0, TYPE_PLAIN, url),
        {},
};
static const struct config_record tang_record =
        KEYED(tang, url, .fields = tang_fields, .validate = validate_tang);

static const struct config_field custom_fields[] = {
        FLAG(clevis_custom, "config", 0, TYPE_STRING, config, CONFIG_PLAIN_IN_2),
        ROW(clevis_custom, "needsNetwork", 0, TYPE_BOOL, needs_network),
        FLAG(clevis_custom, "pin", 0, TYPE_STRING, pin, CONFIG_PLAIN_IN_2),
        {},
};
static const struct config_record custom_record = RECORD(clevis_custom, .fields = custom_fields);

static const struct config_field clevis_fields[] = {
        NEST(clevis, "custom", 0, TYPE_OBJECT, custom, custom_record,
             .flags = CONFIG_SECRET | CONFIG_ABSENT_IN_2),
        NEST(clevis, "tang", 0, TYPE_LIST, tang, tang_record),
        ROW(clevis, "threshold", 0, TYPE_INT, threshold),
        ROW(clevis, "tpm2", 0, TYPE_BOOL, tpm2),
        {},
};
static const struct config_record clevis_record =
        RECORD(clevis, .fields = clevis_fields, .validate = validate_clevis);

static const struct config_field cex_fields[] = {
        ROW(cex, "enabled", 0, TYPE_BOOL, enabled),
        {},
};
static const struct config_record cex_record = RECORD(cex, .fields = cex_fields);

static const struct config_field luks_fields[] = {
        NEST(luks, "cex", 5, TYPE_OBJECT, cex, cex_record),
        NEST(luks, "clevis", 2, TYPE_OBJECT, clevis, clevis_record, .flags = CONFIG_ABSENT_IN_2),
        ROW(luks, "device", 2, TYPE_STRING, device),
        ROW(luks, "discard", 4, TYPE_BOOL, discard),
        NEST(luks, "keyFile", 2, TYPE_OBJECT, key_file, key_file_record),
        ROW(luks, "label", 2, TYPE_STRING, label),
        ROW(luks, "name", 2, TYPE_PLAIN, name),
        ROW(luks, "openOptions", 4, TYPE_STRINGS, open_options),
        FLAG(luks, "options", 2, TYPE_STRINGS, options, CONFIG_DUPLICATES_ALLOWED),
        ROW(luks, "uuid", 2, TYPE_STRING, uuid),
        ROW(luks, "wipeVolume", 2, TYPE_BOOL, wipe),
        {},
};
static const struct config_record luks_record =
        KEYED(luks, name, .fields = luks_fields, .validate = validate_luks);

static const struct config_field storage_fields[] = {
        NEST(storage, "directories", 0, TYPE_LIST, directories, directory_record),
        NEST(storage, "files", 0, TYPE_LIST, files, file_record, .flags = CONFIG_SHARES_KEYS),
        NEST(storage, "links", 0, TYPE_LIST, links, link_record, .flags = CONFIG_SHARES_KEYS),
        NEST(storage, "disks", 0, TYPE_LIST, disks, disk_record),
        NEST(storage, "filesystems", 0, TYPE_LIST, filesystems, filesystem_record),
        NEST(storage, "luks", 2, TYPE_LIST, luks, luks_record),
        NEST(storage, "raid", 0, TYPE_LIST, raid, raid_record),
        {},
};
static const struct config_record storage_record =
        RECORD(storage, .fields = storage_fields, .validate = validate_storage);

static const struct config_field dropin_fields[] = {
        ROW(dropin, "contents", 0, TYPE_STRING, contents),
        ROW(dropin, "name", 0, TYPE_PLAIN, name),
        {},
};
static const struct config_record dropin_record =
        KEYED(dropin, name, .fields = dropin_fields, .validate = validate_dropin);

static const struct config_field unit_fields[] = {
        ROW(unit, "contents", 0, TYPE_STRING, contents),
        NEST(unit, "dropins", 0, TYPE_LIST, dropins, dropin_record),
        ROW(unit, "enabled", 0, TYPE_BOOL, enabled),
        ROW(unit, "mask", 0, TYPE_BOOL, mask),
        ROW(unit, "name", 0, TYPE_PLAIN, name),
        {},
};
static const struct config_record unit_record =
        KEYED(unit, name, .fields = unit_fields, .validate = validate_unit);

static const struct config_field user_fields[] = {
        ROW(user, "gecos", 0, TYPE_STRING, gecos),
        ROW(user, "groups", 0, TYPE_STRINGS, groups),
        ROW(user, "homeDir", 0, TYPE_STRING, home_dir),
        ROW(user, "name", 0, TYPE_PLAIN, name),
        ROW(user, "noCreateHome", 0, TYPE_BOOL, no_create_home),
        ROW(user, "noLogInit", 0, TYPE_BOOL, no_log_init),
        ROW(user, "noUserGroup", 0, TYPE_BOOL, no_user_group),
        FLAG(user, "passwordHash", 0, TYPE_STRING, password_hash, CONFIG_SECRET),
        ROW(user, "primaryGroup", 0, TYPE_STRING, primary_group),
        ROW(user, "shell", 0, TYPE_STRING, shell),
        ROW(user, "shouldExist", 2, TYPE_BOOL, should_exist),
        ROW(user, "sshAuthorizedKeys", 0, TYPE_STRINGS, keys),
        ROW(user, "system", 0, TYPE_BOOL, system),
        ROW(user, "uid", 0, TYPE_INT, uid),
        {},
};
static const struct config_record user_record = KEYED(user, name, .fields = user_fields);

static const struct config_field group_fields[] = {
        ROW(group, "gid", 0, TYPE_INT, gid),
        ROW(group, "name", 0, TYPE_PLAIN, name),
        FLAG(group, "passwordHash", 0, TYPE_STRING, password_hash, CONFIG_SECRET),
        ROW(group, "shouldExist", 2, TYPE_BOOL, should_exist),
        ROW(group, "system", 0, TYPE_BOOL, system),
        {},
};
static const struct config_record group_record = KEYED(group, name, .fields = group_fields);

/* Objects without a struct type of their own: offsets count from the struct around them. */
#define INNER(outer_, member_, inner_)                                                             \
        (offsetof(struct outer_, member_.inner_) - offsetof(struct outer_, member_))
#define INNER_SIZE(outer_, member_) sizeof(((struct outer_ *)NULL)->member_)

static const struct config_field merge_fields[] = {
        { "merge", 0, TYPE_LIST, INNER(config_tree, config, merge), &merged_record, 0 },
        { "replace", 0, TYPE_OBJECT, INNER(config_tree, config, replace), &reference_record, 0 },
        {},
};
static const struct config_record merge_record = { .size = INNER_SIZE(config_tree, config),
                                                   .fields = merge_fields };

static const struct config_field timeouts_fields[] = {
        { "httpResponseHeaders", 0, TYPE_INT, INNER(config_tree, timeouts, response_headers), NULL,
          0 },
        { "httpTotal", 0, TYPE_INT, INNER(config_tree, timeouts, total), NULL, 0 },
        {},
};
static const struct config_record timeouts_record = { .size = INNER_SIZE(config_tree, timeouts),
                                                      .fields = timeouts_fields };

static const struct config_field tls_fields[] = {
        { "certificateAuthorities", 0, TYPE_LIST, INNER(config_tree, security.tls, authorities),
          &authority_record, 0 },
        {},
};
static const struct config_record tls_record = { .size = INNER_SIZE(config_tree, security.tls),
                                                 .fields = tls_fields };

static const struct config_field security_fields[] = {
        { "tls", 0, TYPE_OBJECT, INNER(config_tree, security, tls), &tls_record, 0 },
        {},
};
static const struct config_record security_record = { .size = INNER_SIZE(config_tree, security),
                                                      .fields = security_fields };

static const struct config_field proxy_fields[] = {
        { "httpProxy", 0, TYPE_STRING, INNER(config_tree, proxy, http), NULL, 0 },
        { "httpsProxy", 0, TYPE_STRING, INNER(config_tree, proxy, https), NULL, 0 },
        { "noProxy", 0, TYPE_STRINGS, INNER(config_tree, proxy, no_proxy), NULL, 0 },
        {},
};
static const struct config_record proxy_record = { .size = INNER_SIZE(config_tree, proxy),
                                                   .fields = proxy_fields,
                                                   .validate = validate_proxy };

static const struct config_field ignition_fields[] = {
        NEST(config_tree, "config", 0, TYPE_OBJECT, config, merge_record, .flags = CONFIG_SECRET),
        NEST(config_tree, "proxy", 1, TYPE_OBJECT, proxy, proxy_record, .flags = CONFIG_SECRET),
        NEST(config_tree, "security", 0, TYPE_OBJECT, security, security_record),
        NEST(config_tree, "timeouts", 0, TYPE_OBJECT, timeouts, timeouts_record),
        ROW(config_tree, "version", 0, TYPE_PLAIN, version),
        {},
};
static const struct config_record ignition_record = RECORD(config_tree, .fields = ignition_fields);

static const struct config_field kernel_fields[] = {
        { "shouldExist", 0, TYPE_STRINGS, INNER(config_root, kernel_arguments, should_exist), NULL,
          0 },
        { "shouldNotExist", 0, TYPE_STRINGS, INNER(config_root, kernel_arguments, should_not_exist),
          NULL, CONFIG_SHARES_KEYS },
        {},
};
static const struct config_record kernel_record = {
        .size = INNER_SIZE(config_root, kernel_arguments), .fields = kernel_fields
};

static const struct config_field passwd_fields[] = {
        { "groups", 0, TYPE_LIST, INNER(config_root, passwd, groups), &group_record, 0 },
        { "users", 0, TYPE_LIST, INNER(config_root, passwd, users), &user_record, 0 },
        {},
};
static const struct config_record passwd_record = { .size = INNER_SIZE(config_root, passwd),
                                                    .fields = passwd_fields };

static const struct config_field systemd_fields[] = {
        { "units", 0, TYPE_LIST, INNER(config_root, systemd, units), &unit_record, 0 },
        {},
};
static const struct config_record systemd_record = { .size = INNER_SIZE(config_root, systemd),
                                                     .fields = systemd_fields,
                                                     .validate = validate_systemd };

static const struct config_field root_fields[] = {
        NEST(config_root, "ignition", 0, TYPE_OBJECT, ignition, ignition_record),
        NEST(config_root, "kernelArguments", 3, TYPE_OBJECT, kernel_arguments, kernel_record),
        NEST(config_root, "passwd", 0, TYPE_OBJECT, passwd, passwd_record),
        NEST(config_root, "storage", 0, TYPE_OBJECT, storage, storage_record),
        NEST(config_root, "systemd", 0, TYPE_OBJECT, systemd, systemd_record),
        {},
};
const struct config_record config_record =
        RECORD(config_root, .fields = root_fields, .validate = validate_root);

bool config_null_clears(const struct config_field *f, unsigned minor)
{
        if (f->type == TYPE_OBJECT)
                return minor <= 2 && (f->flags & CONFIG_ABSENT_IN_2);
        if (f->type == TYPE_PLAIN || (f->flags & CONFIG_PLAIN))
                return false;
        return !(minor <= 2 && (f->flags & CONFIG_PLAIN_IN_2)) &&
               !(minor == 0 && (f->flags & CONFIG_PLAIN_IN_0));
}

const struct config_field *config_field_find(const struct config_record *record, const char *key,
                                             unsigned minor)
{
        for (const struct config_field *f = record->fields; f->key; f++)
                if (f->since <= minor && key_equal(f->key, key))
                        return f;
        return NULL;
}
