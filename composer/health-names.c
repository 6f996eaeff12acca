/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Health checks as far as a release names them, for people: the files of /usr/lib/slipway/health.d
 * (update/health.h has their format), of which only "checks"[].name is read here. */

#include "json.h"
#include "release.h"
#include "seal.h"
#include "strv.h"

#define HEALTH_DIRECTORY "/usr/lib/slipway/health.d"

enum { HEALTH_FILE_MAX = 64 * 1024 };

static int add_name(const struct json_document *d, json_object *check, char ***names,
                    struct error *err)
{
        json_object *name = NULL;

        if (!json_object_is_type(check, json_type_object) ||
            !json_object_object_get_ex(check, "name", &name) ||
            !json_object_is_type(name, json_type_string))
                return json_error(d, check ?: d->root, err, -EINVAL, "a check without a name");
        if (strv_length(*names) >= RELEASE_CHECKS_MAX)
                return json_error(d, check, err, -E2BIG, "more than %d checks", RELEASE_CHECKS_MAX);
        return strv_extend(names, json_object_get_string(name)) < 0 ? error_oom(err) : 0;
}

static int add_names(const char *path, const char *text, size_t size, char ***names,
                     struct error *err)
{
        _cleanup_json_ struct json_document d = {};
        json_object *checks = NULL;
        int r = json_load(path, text, size, false, &d, err);

        if (r < 0)
                return r;
        if (!json_object_is_type(d.root, json_type_object) ||
            !json_object_object_get_ex(d.root, "checks", &checks) ||
            !json_object_is_type(checks, json_type_array))
                return json_error(&d, d.root, err, -EINVAL, "no list of checks");
        for (size_t i = 0; r >= 0 && i < json_object_array_length(checks); i++)
                r = add_name(&d, json_object_array_get_idx(checks, i), names, err);
        return r;
}

int health_names(const struct tree *tree, const struct content_store *store, char ***ret,
                 struct error *err)
{
        const struct tree_node *directory = tree_lookup(tree, HEALTH_DIRECTORY);
        _cleanup_strv_ char **names = NULL;

        for (size_t i = 0; directory && i < directory->n_children; i++) {
                const struct tree_node *file = directory->children[i];
                _cleanup_free_ char *text = NULL;
                char path[TREE_PATH_MAX];
                size_t size;
                int r;

                if (!S_ISREG(file->inode->mode) || !endswith(file->name, ".json"))
                        continue;
                tree_path(file, path);
                r = content_load(file->inode, store, HEALTH_FILE_MAX, &text, &size, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
                r = add_names(path, text, size, &names, err);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(names);
        return 0;
}
