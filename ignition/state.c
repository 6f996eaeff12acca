/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See state.h. */

#include <fcntl.h>

#include "config.h"
#include "findings.h"
#include "io.h"
#include "state.h"

void state_done(struct state *s)
{
        json_object_put(TAKE_PTR(s->root));
}

int state_load(const char *path, struct state *ret, struct error *err)
{
        _cleanup_json_ struct json_document document = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (access(path, F_OK) < 0 && errno == ENOENT)
                return 0;
        r = file_read(AT_FDCWD, path, 2 * CONFIG_SIZE_MAX, &text, &size, err);
        if (r >= 0)
                r = json_load(path, text, size, true, &document, err);
        if (r >= 0 && !json_object_is_type(document.root, json_type_object))
                r = error_set(err, -EINVAL, "%s: not an object", path);
        if (r < 0)
                return error_prefix(err, r, "state file");
        state_done(ret);
        ret->root = json_object_get(document.root);
        return 0;
}

int state_save(struct state *s, const char *path, struct error *err)
{
        const char *slash = strrchr(path, '/'), *text;
        _cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;
        int r = 0;

        if (!s->root)
                s->root = json_object_new_object();
        text = json_object_to_json_string_ext(s->root, JSON_C_TO_STRING_PLAIN |
                                                               JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!text)
                return error_oom(err);
        if (parent && *parent)
                r = path_mkdirs(AT_FDCWD, parent, 0755, err);
        return r < 0 ? r : file_write(AT_FDCWD, path, text, strlen(text), 0600, err);
}

json_object *state_get(const struct state *s, const char *key, json_type type)
{
        json_object *member = s->root ? json_member(s->root, key) : NULL;

        return json_object_is_type(member, type) ? member : NULL;
}

/* The member, made when it is missing or of another type; NULL: out of memory. */
static json_object *member_make(struct state *s, const char *key, json_type type)
{
        json_object *member;

        if (!s->root)
                s->root = json_object_new_object();
        member = s->root ? state_get(s, key, type) : NULL;
        if (member || !s->root)
                return member;
        member = type == json_type_array ? json_object_new_array() : json_object_new_object();
        if (member && json_object_object_add(s->root, key, member) == 0)
                return member;
        json_object_put(member);
        return NULL;
}

/* Both own the value from here on. */
static int put(json_object *object, const char *key, json_object *value)
{
        if (value && json_object_object_add(object, key, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static int append(json_object *array, json_object *value)
{
        if (array && value && json_object_array_add(array, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

int state_add_config(struct state *s, const char *kind, const char *source, bool referenced)
{
        json_object *config = json_object_new_object();
        int r = config ? put(config, "kind", json_object_new_string(kind)) : -ENOMEM;

        if (r >= 0)
                r = put(config, "source", json_object_new_string(source));
        if (r >= 0)
                r = put(config, "referenced", json_object_new_boolean(referenced));
        if (r >= 0)
                return append(member_make(s, "fetchedConfigs", json_type_array), config);
        json_object_put(config);
        return r;
}

int state_add_directory(struct state *s, const char *path)
{
        return append(member_make(s, "notatedDirectories", json_type_array),
                      json_object_new_string(path));
}

int state_set_key(struct state *s, const char *which, const char *name, const char *url)
{
        json_object *keys = member_make(s, which, json_type_object);

        return keys ? put(keys, name, json_object_new_string(url)) : -ENOMEM;
}

/* The last user's configuration that was not referenced by another; NULL: none. */
static json_object *user_config(const struct state *s)
{
        json_object *configs = state_get(s, "fetchedConfigs", json_type_array), *found = NULL;
        size_t n = configs ? json_object_array_length(configs) : 0;

        for (size_t i = 0; i < n; i++) {
                json_object *config = json_object_array_get_idx(configs, i);
                const char *kind = json_object_get_string(json_member(config, "kind"));

                if (kind && streq(kind, "user") &&
                    !json_object_get_boolean(json_member(config, "referenced")))
                        found = config;
        }
        return found;
}

bool state_has_user_config(const struct state *s)
{
        return user_config(s) != NULL;
}

int state_set(struct state *s, const char *key, json_object *value)
{
        if (!s->root)
                s->root = json_object_new_object();
        if (s->root)
                return put(s->root, key, value);
        json_object_put(value);
        return -ENOMEM;
}

int state_set_wiped(struct state *s)
{
        return state_set(s, "wiped", json_object_new_boolean(true));
}

bool state_is_wiped(const struct state *s)
{
        return json_object_get_boolean(state_get(s, "wiped", json_type_boolean));
}
