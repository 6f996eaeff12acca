/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `ignition-apply` and `ignition-rmcfg`, the two programs that this one is under other names.
 *
 * apply provisions a container's file system with a configuration given by name: what needs a
 * machine (disks, kernel arguments) is refused, or left out on demand. It does so only where it
 * finds itself in a container. rmcfg deletes the configuration where the platform lets a guest do
 * that, so that nobody reads the secrets in it later. */

#include "programs.h"
#include "resolve.h"

static bool in_container(void)
{
        return getenv("container") || access("/run/.containerenv", F_OK) == 0 ||
               access("/.dockerenv", F_OK) == 0;
}

static const struct {
        const char *section, *key; /* key NULL: the whole section */
} unsupported[] = {
        { "kernelArguments", NULL }, { "storage", "disks" }, { "storage", "filesystems" },
        { "storage", "luks" },       { "storage", "raid" },
};

/* An empty list or object asks for nothing. */
static bool asks(json_object *value)
{
        if (json_object_is_type(value, json_type_array))
                return json_object_array_length(value) > 0;
        if (!json_object_is_type(value, json_type_object))
                return false;
        json_object_object_foreach (value, key, child) {
                (void)key;
                if (asks(child))
                        return true;
        }
        return false;
}

/* Takes out what cannot be applied; *ret: something was. */
static int strip(struct agent *a, json_object *tree, bool *ret, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
                const char *section = unsupported[i].section, *key = unsupported[i].key;
                json_object *at = key ? json_member(tree, section) : tree;
                json_object *value = json_member(at, key ?: section);

                if (!asks(value))
                        continue;
                if (!a->options.ignore_unsupported)
                        return error_set(err, -EOPNOTSUPP,
                                         "%s%s%s cannot be applied to a container; "
                                         "--ignore-unsupported leaves it out",
                                         section, key ? "." : "", key ?: "");
                log_line(&a->log, LOG_WARNING, "ignoring %s%s%s", section, key ? "." : "",
                         key ?: "");
                json_object_object_del(at, key ?: section);
                *ret = true;
        }
        return 0;
}

static int prepare(struct agent *a, const char *path, struct error *err)
{
        _cleanup_(config_text_done) struct config_text text = {};
        _cleanup_tree_ json_object *tree = NULL;
        bool changed = false;
        int r;

        r = config_text_read((const char *const[]){ streq(path, "-") ? "/dev/stdin" : path, NULL },
                             &text, err);
        if (r == PROVIDER_NONE)
                return error_set(err, -ENOENT, "%s: no such file", path);
        if (r >= 0 && text.size == 0)
                return error_set(err, -EINVAL, "not a config (empty)");
        if (r >= 0)
                r = agent_resolve(a, &text, err);
        if (r < 0)
                return r;
        tree = json_object_get(a->tree);
        r = strip(a, tree, &changed, err);
        return r < 0 || !changed ? r : agent_adopt(a, tree, err);
}

static int apply(struct agent *a, const char *path, struct error *err)
{
        int r;

        if (!in_container())
                return error_set(err, -EPERM,
                                 "this is no container: a machine is provisioned when it boots for "
                                 "the first time");
        a->options.platform = "apply";
        a->offline = a->options.offline;
        r = root_open(&a->root, a->options.root, err);
        if (r >= 0)
                r = prepare(a, path, err);
        if (r < 0)
                return r;
        a->log.stage = stage_files.name;
        return stage_files.run(a, err);
}

static int report(struct agent *a, const char *what, int r, const struct error *err)
{
        if (r >= 0)
                return 0;
        log_line(&a->log, LOG_CRIT, "failed: %s", err->message);
        fprintf(stderr, "%s: %s%s%s\n", what, a->setting, *a->setting ? ": " : "", err->message);
        return 1;
}

int program_apply(struct agent *a, const char *path)
{
        struct error err = {};

        return report(a, "ignition-apply", apply(a, path, &err), &err);
}

int program_rmcfg(struct agent *a)
{
        const struct provider *provider = provider_find(a->options.platform);
        struct error err = {};

        if (!provider->remove) {
                log_line(&a->log, LOG_INFO, "%s keeps no config that could be deleted",
                         provider->name);
                return 0;
        }
        return report(a, "ignition-rmcfg", provider->remove(a, &err), &err);
}
