/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kmodules.h. libkmod reads modules.dep.bin, modules.alias.bin, modules.builtin.bin … from the
 * directory; soft dependencies stand in modules.softdep, which has the syntax of modprobe.d and is
 * given to it as its only configuration. */

#include <libkmod.h>
#include <pthread.h>

#include "kmodules.h"
#include "process.h"
#include "strv.h"

enum { MODULES_MAX = 4096 };

struct closure {
        const char *directory;
        char **paths;
};

static void context_unref_p(struct kmod_ctx **context)
{
        kmod_unref(*context);
}

static void list_unref_p(struct kmod_list **list)
{
        kmod_module_unref_list(*list);
}

static void info_free_p(struct kmod_list **list)
{
        kmod_module_info_free_list(*list);
}

static void ignore_log(void *data _unused_, int priority _unused_, const char *file _unused_,
                       int line _unused_, const char *function _unused_,
                       const char *format _unused_, va_list args _unused_)
{
}

static int open_context(const char *directory, struct kmod_ctx **ret, struct error *err)
{
        _cleanup_free_ char *softdep = string_format("%s/modules.softdep", directory);

        if (!softdep)
                return error_oom(err);
        *ret = kmod_new(directory, (const char *const[]){ softdep, NULL });
        if (!*ret)
                return error_oom(err);
        kmod_set_log_fn(*ret, ignore_log, NULL);
        return 0;
}

static int add_list(struct closure *c, struct kmod_list *list, struct error *err);

/* Adds the module's file and what it depends on; a file that is there already was complete. */
static int add_module(struct closure *c, struct kmod_module *module, struct error *err)
{
        const char *path = kmod_module_get_path(module), *relative;
        _cleanup_(list_unref_p) struct kmod_list *needs = NULL, *before = NULL, *after = NULL;
        int r;

        if (!path)
                return 0;
        relative = startswith(path, c->directory);
        relative = relative ? relative + strspn(relative, "/") : path;
        if (strv_contains(c->paths, relative))
                return 0;
        if (strv_length(c->paths) >= MODULES_MAX)
                return error_set(err, -E2BIG, "more than %d kernel modules", MODULES_MAX);
        if (strv_extend(&c->paths, relative) < 0)
                return error_oom(err);
        needs = kmod_module_get_dependencies(module);
        r = kmod_module_get_softdeps(module, &before, &after);
        if (r < 0)
                return error_code(err, r, "soft dependencies of %s", kmod_module_get_name(module));
        r = add_list(c, needs, err);
        if (r >= 0)
                r = add_list(c, before, err);
        return r < 0 ? r : add_list(c, after, err);
}

static int add_list(struct closure *c, struct kmod_list *list, struct error *err)
{
        struct kmod_list *item;
        int r = 0;

        kmod_list_foreach(item, list)
        {
                struct kmod_module *module = kmod_module_get_module(item);

                r = add_module(c, module, err);
                kmod_module_unref(module);
                if (r < 0)
                        break;
        }
        return r;
}

static int add_name(struct closure *c, struct kmod_ctx *context, const char *name,
                    struct error *err)
{
        _cleanup_(list_unref_p) struct kmod_list *list = NULL;
        int r;

        r = kmod_module_new_from_lookup(context, name, &list);
        if (r < 0)
                return error_code(err, r, "kernel module '%s'", name);
        if (!list)
                return error_set(err, -ENOENT, "kernel module '%s' is not in the image", name);
        return add_list(c, list, err);
}

int kmodules_closure(const char *directory, char *const *names, char ***ret, struct error *err)
{
        _cleanup_(context_unref_p) struct kmod_ctx *context = NULL;
        _cleanup_strv_ char **paths = NULL;
        struct closure c = { .directory = directory };
        int r;

        r = open_context(directory, &context, err);
        for (; r >= 0 && names && *names; names++)
                r = add_name(&c, context, *names, err);
        paths = c.paths;
        if (r < 0)
                return r;
        strv_sort(paths);
        *ret = TAKE_PTR(paths);
        return 0;
}

int kmodules_firmware(const char *module_path, char ***ret, struct error *err)
{
        _cleanup_(context_unref_p) struct kmod_ctx *context =
                kmod_new("/", (const char *[]){ NULL });
        _cleanup_(info_free_p) struct kmod_list *info = NULL;
        _cleanup_strv_ char **firmware = NULL;
        struct kmod_module *module;
        struct kmod_list *item;
        int r;

        if (!context)
                return error_oom(err);
        kmod_set_log_fn(context, ignore_log, NULL);
        r = kmod_module_new_from_path(context, module_path, &module);
        if (r < 0)
                return error_code(err, r, "%s", module_path);
        r = kmod_module_get_info(module, &info);
        kmod_module_unref(module);
        if (r < 0)
                return error_code(err, r, "%s", module_path);
        kmod_list_foreach(item, info)
        {
                if (streq(kmod_module_info_get_key(item), "firmware") &&
                    strv_extend(&firmware, kmod_module_info_get_value(item)) < 0)
                        return error_oom(err);
        }
        *ret = TAKE_PTR(firmware);
        return 0;
}

bool kmodules_input(const struct tree_node *node)
{
        return S_ISREG(node->inode->mode) &&
               (strstr(node->name, ".ko") || startswith(node->name, "modules."));
}

/* What depmod says of itself; it is asked once. */
static int depmod_version(const char **ret, struct error *err)
{
        static const char *const ask[] = { "depmod", "--version", NULL };
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static char *version;
        int r = 0;

        pthread_mutex_lock(&lock);
        if (!version)
                r = spawn(ask, NULL, &version, err);
        *ret = version;
        pthread_mutex_unlock(&lock);
        return r;
}

int kmodules_key(const struct tree_node *modules, const struct content_store *store,
                 char *const *words, char *ret, struct error *err)
{
        _cleanup_hasher_ struct hasher h = {};
        const char *version;
        struct sha256 key;
        int r = depmod_version(&version, err);

        if (r == 0)
                r = hasher_init(&h, err);
        if (r < 0)
                return r;
        hasher_update(&h, version, strlen(version) + 1);
        for (; words && *words; words++)
                hasher_update(&h, *words, strlen(*words) + 1);
        r = content_identities((struct tree_node *)modules, kmodules_input, store, &h, err);
        if (r == 0)
                r = hasher_final(&h, &key, err);
        if (r == 0)
                sha256_hex(&key, ret);
        return r;
}
