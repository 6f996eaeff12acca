/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lock file: what `slipway lock` found out, so that `build --locked` needs no metadata.
 *
 * The record tables say both ways: record_load() reads, and encode() here walks the same rows to
 * write. Packages are sorted by name and architecture, users and groups by name, so that a lock
 * file in version control changes only where something changed. */

#include <assert.h>
#include <fcntl.h>
#include <libgen.h>

#include "digest.h"
#include "io.h"
#include "package-record.h"
#include "strv.h"

enum { LOCK_VERSION = 1 };

static const struct field_range id_range = { 0, UINT32_MAX - 1 };
static const struct field_range version_range = { LOCK_VERSION, LOCK_VERSION };

/* The file: the lock and the version of its format. */
struct lock_file {
        uint64_t version;
        struct lock lock;
};

static void id_done(void *object)
{
        struct id_allocation *a = object;

        free(a->name);
        memset(a, 0, sizeof(*a));
}

static const struct record id_record = {
        "id",
        sizeof(struct id_allocation),
        (const struct field[]){
                { "name", field_string, offsetof(struct id_allocation, name), FIELD_MANDATORY,
                  "Name of the user or group.", NULL },
                { "id", field_uint, offsetof(struct id_allocation, id), FIELD_MANDATORY,
                  "Its number.", &id_range },
                {},
        },
        id_done,
        NULL,
};

static int id_compare(const void *a, const void *b)
{
        const struct id_allocation *x = a, *y = b;

        return strcmp(x->name, y->name);
}

/* Sorts, and finds two of the same name, which no build could obey. */
static int sort_unique(const struct json_document *d, json_object *value, const char *key,
                       struct field_array *array, size_t size,
                       int (*compare)(const void *a, const void *b), struct error *err)
{
        const char *items = array->items;

        if (array->count > 0)
                qsort(array->items, array->count, size, compare);
        for (size_t i = 1; i < array->count; i++)
                if (compare(items + (i - 1) * size, items + i * size) == 0)
                        return json_error(d, json_object_object_get(value, key), err, -EINVAL,
                                          "\"%s\" names '%s' twice", key,
                                          *(char *const *)(items + i * size));
        return 0;
}
static_assert(offsetof(struct package, name) == 0 && offsetof(struct id_allocation, name) == 0,
              "sort_unique() finds the name first");

static int lock_check(const struct json_document *d, json_object *value, void *object,
                      struct error *err)
{
        struct lock *l = &((struct lock_file *)object)->lock;
        int r;

        r = sort_unique(d, value, "packages", (struct field_array *)&l->packages,
                        sizeof(struct package), package_compare, err);
        if (r == 0)
                r = sort_unique(d, value, "users", (struct field_array *)&l->users,
                                sizeof(struct id_allocation), id_compare, err);
        if (r == 0)
                r = sort_unique(d, value, "groups", (struct field_array *)&l->groups,
                                sizeof(struct id_allocation), id_compare, err);
        return r;
}

static void lock_file_done(void *object)
{
        lock_done(&((struct lock_file *)object)->lock);
}

static const struct record lock_record = {
        "lock",
        sizeof(struct lock_file),
        (const struct field[]){
                { "version", field_uint, offsetof(struct lock_file, version), FIELD_MANDATORY,
                  "Version of this format.", &version_range },
                { "newest", field_uint, offsetof(struct lock_file, lock.packages.newest),
                  FIELD_MANDATORY, "Date of the newest repository metadata, seconds.", NULL },
                { "packages", field_records, offsetof(struct lock_file, lock.packages),
                  FIELD_MANDATORY, "The packages.", &package_record },
                { "users", field_records, offsetof(struct lock_file, lock.users), FIELD_MANDATORY,
                  "User numbers.", &id_record },
                { "groups", field_records, offsetof(struct lock_file, lock.groups), FIELD_MANDATORY,
                  "Group numbers.", &id_record },
                {},
        },
        lock_file_done,
        lock_check,
};

char *lock_path(const char *manifest_path)
{
        size_t n = strlen(manifest_path);
        char *path;

        if (endswith(manifest_path, ".json"))
                n -= strlen(".json");
        return asprintf(&path, "%.*s.lock.json", (int)n, manifest_path) < 0 ? NULL : path;
}

void lock_done(struct lock *lock)
{
        package_set_done(&lock->packages);
        field_array_done((struct field_array *)&lock->users, &id_record);
        field_array_done((struct field_array *)&lock->groups, &id_record);
}

int lock_load(const char *path, struct lock *ret, struct error *err)
{
        struct lock_file file = {};
        int r;

        r = record_load(AT_FDCWD, path, &lock_record, &file, err);
        if (r < 0)
                return r;
        *ret = file.lock;
        return 0;
}

static json_object *encode(const struct record *record, const void *object);

static json_object *encode_array(const struct field_array *array, const struct record *record)
{
        json_object *list = json_object_new_array();

        for (size_t i = 0; list && i < array->count; i++) {
                json_object *item = encode(record, (const char *)array->items + i * record->size);

                if (!item || json_object_array_add(list, item) < 0) {
                        json_object_put(item);
                        json_object_put(list);
                        return NULL;
                }
        }
        return list;
}

static json_object *encode_field(const struct field *f, const void *member)
{
        char hex[SHA256_HEX_SIZE];

        if (f->decode == field_string)
                return json_object_new_string(*(char *const *)member);
        if (f->decode == field_uint)
                return json_object_new_uint64(*(const uint64_t *)member);
        if (f->decode == field_digest)
                return json_object_new_string(sha256_hex(member, hex));
        return encode_array(member, f->argument);
}

/* The record as JSON, keys in the table's order; NULL: out of memory. */
static json_object *encode(const struct record *record, const void *object)
{
        json_object *o = json_object_new_object();

        for (const struct field *f = record->fields; o && f->key; f++) {
                json_object *member = encode_field(f, (const char *)object + f->offset);

                if (!member || json_object_object_add(o, f->key, member) < 0) {
                        json_object_put(member);
                        json_object_put(o);
                        return NULL;
                }
        }
        return o;
}

/* A shallow copy of an array, sorted. */
static int sorted_copy(struct field_array *array, size_t size,
                       int (*compare)(const void *a, const void *b))
{
        void *copy = malloc(array->count * size + 1);

        if (!copy)
                return -ENOMEM;
        if (array->count > 0) {
                memcpy(copy, array->items, array->count * size);
                qsort(copy, array->count, size, compare);
        }
        array->items = copy;
        return 0;
}

static int lock_text(const struct lock *lock, json_object **ret, struct error *err)
{
        struct lock_file file = { LOCK_VERSION, *lock };
        struct field_array *arrays[] = { (struct field_array *)&file.lock.packages,
                                         (struct field_array *)&file.lock.users,
                                         (struct field_array *)&file.lock.groups };
        size_t copied = 0;

        if (sorted_copy(arrays[0], sizeof(struct package), package_compare) == 0)
                copied++;
        for (; copied > 0 && copied < ARRAY_SIZE(arrays); copied++)
                if (sorted_copy(arrays[copied], sizeof(struct id_allocation), id_compare) < 0)
                        break;
        *ret = copied == ARRAY_SIZE(arrays) ? encode(&lock_record, &file) : NULL;
        while (copied > 0)
                free(arrays[--copied]->items);
        return *ret ? 0 : error_oom(err);
}

static void json_put(json_object **o)
{
        json_object_put(*o);
}

int lock_save(const char *path, const struct lock *lock, struct error *err)
{
        _cleanup_(json_put) json_object *root = NULL;
        _cleanup_free_ char *text = NULL, *directory = strdup(path), *name = strdup(path);
        _cleanup_close_ int dir_fd = -1;
        const char *json;
        int r;

        if (!directory || !name)
                return error_oom(err);
        r = lock_text(lock, &root, err);
        if (r < 0)
                return r;
        json = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!json || asprintf(&text, "%s\n", json) < 0)
                return error_oom(err);
        dir_fd = open(dirname(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return error_errno(err, "%s", path);
        r = file_write(dir_fd, basename(name), text, strlen(text), 0644, err);
        return error_prefix(err, r, "%s", path);
}
