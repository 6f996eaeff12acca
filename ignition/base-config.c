/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configurations that come with the image: base.d for every platform, then base.platform.d of
 * this one, in the order of file names. The same name in several places is merged in the order of
 * their makers: the image's, the administrator's, the running system's. They are not asked for
 * references, as in the original. */

#include <fcntl.h>

#include "resolve.h"
#include "strv.h"

static const struct {
        const char *variable, *path;
} directories[] = {
        { "IGNITION_SYSTEM_CONFIG_DIR", "/usr/lib/ignition" },
        { "IGNITION_SYSTEM_LOCAL_CONFIG_DIR", "/etc/ignition" },
        { "IGNITION_SYSTEM_RUNTIME_CONFIG_DIR", "/run/ignition" },
};

/* Adds "<name>/<rank>/<path>", which sorts by name and then by rank. */
static int list_directory(const char *path, size_t rank, char ***entries)
{
        _cleanup_closedir_ DIR *dir = opendir(path);
        struct dirent *entry;
        int r = 0;

        while (dir && r == 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *line = NULL;

                if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
                        continue;
                line = string_format("%s/%zu%s/%s", entry->d_name, rank, path, entry->d_name);
                r = line ? strv_extend(entries, line) : -ENOMEM;
        }
        return r;
}

static int load_file(struct agent *a, const char *path, json_object **tree, struct error *err)
{
        _cleanup_(config_text_done) struct config_text text = { .source = strdup(path) };
        _cleanup_config_ struct config config = {};
        json_object *child;
        int r;

        if (!text.source)
                return error_oom(err);
        log_line(&a->log, LOG_INFO, "reading base config %s", path);
        r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text.text, &text.size, err);
        if (r >= 0)
                r = source_load(a, &text, &config, &child, err);
        if (r < 0)
                return r;
        if (config.root.ignition.config.replace.source ||
            config.root.ignition.config.merge.count > 0)
                log_line(&a->log, LOG_WARNING, "%s: a base config cannot refer to others", path);
        return tree_merge(tree, child, err);
}

static int load_group(struct agent *a, const char *group, json_object **tree, struct error *err)
{
        _cleanup_strv_ char **entries = NULL;
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(directories) && r >= 0; i++) {
                _cleanup_free_ char *path = string_format(
                        "%s/%s", getenv(directories[i].variable) ?: directories[i].path, group);

                r = path ? list_directory(path, i, &entries) : -ENOMEM;
        }
        if (r < 0)
                return error_oom(err);
        if (entries)
                strv_sort(entries);
        STRV_FOREACH (entry, entries) {
                r = load_file(a, strchr(*entry, '/') + 2, tree, err);
                if (r < 0)
                        return error_prefix(err, r, "base config");
        }
        return 0;
}

int base_config_load(struct agent *a, json_object **ret, struct error *err)
{
        _cleanup_free_ char *platform = NULL;
        _cleanup_tree_ json_object *tree = NULL;
        int r;

        platform = string_format("base.platform.d/%s", a->options.platform);
        if (!platform)
                return error_oom(err);
        r = load_group(a, "base.d", &tree, err);
        if (r >= 0)
                r = load_group(a, platform, &tree, err);
        if (r >= 0)
                *ret = TAKE_PTR(tree);
        return r;
}
