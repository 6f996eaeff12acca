/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See channel.h. releases.json also keeps those whose images were pruned: a version stays taken,
 * and growth is seen over more releases than are kept. */

#include <fcntl.h>

#include "channel.h"
#include "io.h"
#include "strv.h"
#include "version.h"

#define RELEASES_NAME "releases.json"
#define LAYOUTS_NAME  "layouts.json"

bool channel_name_valid(const char *name)
{
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._+");

        return n > 0 && n <= CHANNEL_NAME_MAX && name[n] == '\0' && *name != '.' && *name != '-';
}

/* ---- the tables ---- */

#define SIZES(type)                                                                                \
        { "usr",                                                                                   \
          field_size,                                                                              \
          offsetof(struct type, sizes.usr),                                                        \
          FIELD_MANDATORY,                                                                         \
          "Bytes of a slot's image.",                                                              \
          NULL },                                                                                  \
                { "usrVerity",                                                                     \
                  field_size,                                                                      \
                  offsetof(struct type, sizes.usr_verity),                                         \
                  FIELD_MANDATORY,                                                                 \
                  "Bytes of its hash tree.",                                                       \
                  NULL },                                                                          \
        {                                                                                          \
                "esp", field_size, offsetof(struct type, sizes.esp), FIELD_MANDATORY,              \
                        "Bytes of the ESP.", NULL                                                  \
        }

static void release_entry_done(void *object)
{
        struct channel_release *r = object;

        free(r->version);
}

static const struct record release_entry = {
        "release",
        sizeof(struct channel_release),
        (const struct field[]){
                { "version", field_string, offsetof(struct channel_release, version),
                  FIELD_MANDATORY, "Of the image.", NULL },
                { "timestamp", field_uint, offsetof(struct channel_release, timestamp),
                  FIELD_MANDATORY, "Seconds since the epoch.", NULL },
                { "commit", field_digest, offsetof(struct channel_release, commit), FIELD_MANDATORY,
                  "OSTree commit.", NULL },
                { "rootHash", field_digest, offsetof(struct channel_release, root_hash),
                  FIELD_MANDATORY, "Of the image; the name of its directory.", NULL },
                { "ukiRootHash", field_digest, offsetof(struct channel_release, uki_root_hash),
                  FIELD_MANDATORY, "Of the UKI.", NULL },
                SIZES(channel_release),
                {},
        },
        release_entry_done,
        NULL,
};

static void layout_entry_done(void *object)
{
        struct channel_layout *l = object;

        free(l->name);
}

static const struct record layout_entry = {
        "layout",
        sizeof(struct channel_layout),
        (const struct field[]){
                { "name", field_string, offsetof(struct channel_layout, name), FIELD_MANDATORY,
                  "What people call these machines.", NULL },
                SIZES(channel_layout),
                {},
        },
        layout_entry_done,
        NULL,
};

static void releases_done(void *object)
{
        field_array_done(object, &release_entry);
}

static int check_releases(const struct json_document *d, json_object *value, void *object,
                          struct error *err)
{
        const struct field_array *releases = object;

        if (releases->count > CHANNEL_RELEASES_MAX)
                return json_error(d, value, err, -EINVAL, "more than %d releases",
                                  CHANNEL_RELEASES_MAX);
        return 0;
}

static const struct record releases_record = {
        "channel",
        sizeof(struct field_array),
        (const struct field[]){
                { "releases", field_records, 0, FIELD_MANDATORY, "Oldest first.", &release_entry },
                {},
        },
        releases_done,
        check_releases,
};

static void layouts_done(void *object)
{
        field_array_done(object, &layout_entry);
}

static int check_layouts(const struct json_document *d, json_object *value, void *object,
                         struct error *err)
{
        const struct field_array *layouts = object;

        if (layouts->count > CHANNEL_LAYOUTS_MAX)
                return json_error(d, value, err, -EINVAL, "more than %d layouts",
                                  CHANNEL_LAYOUTS_MAX);
        return 0;
}

static const struct record layouts_record = {
        "layouts",
        sizeof(struct field_array),
        (const struct field[]){
                { "layouts", field_records, 0, FIELD_MANDATORY, "The smallest in the field.",
                  &layout_entry },
                {},
        },
        layouts_done,
        check_layouts,
};

/* ---- files ---- */

static void put_sizes(json_object *object, const struct release_layout *sizes)
{
        json_object_object_add(object, "usr", json_object_new_uint64(sizes->usr));
        json_object_object_add(object, "usrVerity", json_object_new_uint64(sizes->usr_verity));
        json_object_object_add(object, "esp", json_object_new_uint64(sizes->esp));
}

static void put_digest(json_object *object, const char *key, const struct sha256 *digest)
{
        char hex[SHA256_HEX_SIZE];

        json_object_object_add(object, key, json_object_new_string(sha256_hex(digest, hex)));
}

static json_object *release_json(const void *item)
{
        const struct channel_release *r = item;
        json_object *object = json_object_new_object();

        json_object_object_add(object, "version", json_object_new_string(r->version));
        json_object_object_add(object, "timestamp", json_object_new_uint64(r->timestamp));
        put_digest(object, "commit", &r->commit);
        put_digest(object, "rootHash", &r->root_hash);
        put_digest(object, "ukiRootHash", &r->uki_root_hash);
        put_sizes(object, &r->sizes);
        return object;
}

static json_object *layout_json_of(const void *item)
{
        const struct channel_layout *l = item;
        json_object *object = json_object_new_object();

        json_object_object_add(object, "name", json_object_new_string(l->name));
        put_sizes(object, &l->sizes);
        return object;
}

static char *list_text(const char *key, const struct field_array *array, size_t size,
                       json_object *(*put)(const void *item))
{
        json_object *root = json_object_new_object(), *list = json_object_new_array();
        char *text;

        for (size_t i = 0; i < array->count; i++)
                json_object_array_add(list, put((const char *)array->items + i * size));
        json_object_object_add(root, key, list);
        text = string_format("%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY));
        json_object_put(root);
        return text;
}

/* Writes the file unless it says that already. */
static int save(int fd, const char *name, char *text, bool *ret_changed, struct error *err)
{
        _cleanup_free_ char *owned = text, *old = NULL;
        size_t size;
        int r;

        if (!owned)
                return error_oom(err);
        if (file_read(fd, name, JSON_TEXT_MAX, &old, &size, NULL) >= 0 && streq(old, text))
                return 0;
        r = file_write(fd, name, text, strlen(text), 0644, err);
        if (r >= 0)
                *ret_changed = true;
        return r;
}

int channel_save(const struct channel *c, int site_fd, const char *path, bool *ret_changed,
                 struct error *err)
{
        _cleanup_close_ int fd = path_open_dir(site_fd, path, 0755, err);
        int r;

        if (fd < 0)
                return fd;
        drafts_sweep(fd);
        r = save(fd, RELEASES_NAME,
                 list_text("releases", &c->releases, sizeof(struct channel_release), release_json),
                 ret_changed, err);
        if (r >= 0 && c->layouts.items)
                r = save(fd, LAYOUTS_NAME,
                         list_text("layouts", &c->layouts, sizeof(struct channel_layout),
                                   layout_json_of),
                         ret_changed, err);
        return error_prefix(err, r, "%s", path);
}

static int load_if_there(int fd, const char *name, const struct record *record, void *object,
                         struct error *err)
{
        if (faccessat(fd, name, F_OK, 0) < 0 && errno == ENOENT)
                return 0;
        return record_load(fd, name, record, object, err);
}

int channel_load(int site_fd, const char *path, struct channel *ret, struct error *err)
{
        _cleanup_close_ int fd = openat(site_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_channel_ struct channel c = {};
        int r = 0;

        if (fd < 0 && errno != ENOENT)
                return error_errno(err, "%s", path);
        if (fd >= 0)
                r = load_if_there(fd, RELEASES_NAME, &releases_record, &c.releases, err);
        if (fd >= 0 && r >= 0)
                r = load_if_there(fd, LAYOUTS_NAME, &layouts_record, &c.layouts, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        *ret = TAKE_STRUCT(c);
        return 0;
}

void channel_done(struct channel *c)
{
        releases_done(&c->releases);
        layouts_done(&c->layouts);
}

/* ---- releases ---- */

const struct channel_release *channel_last(const struct channel *c)
{
        return c->releases.count > 0 ? &channel_releases(c)[c->releases.count - 1] : NULL;
}

static bool same_content(const struct channel_release *a, const struct release *r)
{
        return sha256_equal(&a->root_hash, &r->root_hash) &&
               sha256_equal(&a->uki_root_hash, &r->uki_root_hash);
}

int channel_check(const struct channel *c, const struct release *r, bool older, struct error *err)
{
        const struct channel_release *last = channel_last(c);
        char hex[SHA256_HEX_SIZE];

        for (size_t i = 0; i < c->releases.count; i++) {
                const struct channel_release *there = &channel_releases(c)[i];

                if (streq(there->version, r->version) && !same_content(there, r))
                        return error_set(err, -EEXIST,
                                         "the channel has version %s already, with root hash %s%s",
                                         r->version, sha256_hex(&there->root_hash, hex),
                                         sha256_equal(&there->root_hash, &r->root_hash)
                                                 ? " and another UKI"
                                                 : "");
        }
        if (older || (last && same_content(last, r)))
                return 0;
        for (size_t i = 0; i < c->releases.count; i++) {
                const struct channel_release *there = &channel_releases(c)[i];

                if (release_compare_age(there->timestamp, there->version, r->timestamp,
                                        r->version) > 0)
                        return error_set(err, -ESTALE,
                                         "version %s is older than %s, which the channel has",
                                         r->version, there->version);
        }
        return 0;
}

/* Takes the entry of that version out, and the oldest one when there is no room. */
static void make_room(struct channel *c, const char *version)
{
        struct channel_release *items = c->releases.items;
        size_t n = 0, drop = c->releases.count >= CHANNEL_RELEASES_MAX ? 1 : 0;

        for (size_t i = 0; i < c->releases.count; i++)
                if (i < drop || streq(items[i].version, version))
                        release_entry_done(&items[i]);
                else
                        items[n++] = items[i];
        c->releases.count = n;
}

int channel_add(struct channel *c, const struct release *r, const struct sha256 *commit,
                struct error *err)
{
        struct channel_release added = {
                .version = strdup(r->version),
                .timestamp = r->timestamp,
                .commit = *commit,
                .root_hash = r->root_hash,
                .uki_root_hash = r->uki_root_hash,
                .sizes = { r->usr_size, r->tree_size, r->layout.esp },
        };
        struct channel_release *items =
                realloc(c->releases.items, (c->releases.count + 1) * sizeof(*items));

        if (items)
                c->releases.items = items;
        if (!items || !added.version) {
                free(added.version);
                return error_oom(err);
        }
        make_room(c, r->version);
        items[c->releases.count++] = added;
        return 0;
}

int channel_set_layouts(struct channel *c, const char *path, struct error *err)
{
        struct field_array layouts = {};
        int r = record_load(AT_FDCWD, path, &layouts_record, &layouts, err);

        if (r < 0)
                return r;
        layouts_done(&c->layouts);
        c->layouts = layouts;
        return 0;
}
