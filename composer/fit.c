/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See fit.h. All of it is read from the merged tree and the plan; no artifact is needed. */

#include "fit.h"
#include "initrd.h"
#include "kernel-check.h"
#include "kernel-config.h"
#include "kernel-fragments.h"
#include "strv.h"

enum { BUILTIN_LIST_MAX = 16 * 1024 * 1024 };

static const char units_directory[] = "/usr/etc/systemd/system";

const char *const fit_state_names[_FIT_STATE_MAX] = {
        [FIT_HOLDS] = "ok",
        [FIT_WARNING] = "warning",
        [FIT_REFUSED] = "refused",
};

static const struct fit_platform *const platforms[] = { &fit_azure };

const struct fit_platform *fit_platform(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(platforms); i++)
                if (streq(platforms[i]->name, name))
                        return platforms[i];
        return NULL;
}

int fit_judge(const struct fit_check *check, const struct fit_subject *s, enum fit_state *ret,
              char **ret_text, struct error *err)
{
        _cleanup_buffer_ struct buffer more = {}, text = {};
        int r = check->holds(s, check->argument, &more, err);

        if (r < 0)
                return error_prefix(err, r, "%s", check->name);
        buffer_printf(&text, "%s%s%s", check->reason, more.size > 0 ? ": " : "",
                      more.size > 0 ? more.data : "");
        if (more.failed)
                return error_oom(err);
        *ret = r > 0 ? FIT_HOLDS : check->failing;
        return buffer_take(&text, ret_text, NULL) < 0 ? error_oom(err) : 0;
}

int fit_has_file(const struct fit_subject *s, const char *path, struct buffer *more,
                 struct error *err _unused_)
{
        if (tree_resolve(s->c->merge.tree, path))
                return 1;
        buffer_printf(more, "%s is not in the image", path);
        return 0;
}

/* ---- modules ---- */

/* "drivers/hv/hv-vmbus.ko.xz" is hv_vmbus: modules do not tell '-' from '_'. */
static bool is_module(const char *file, const char *name)
{
        const char *slash = strrchr(file, '/'), *c = slash ? slash + 1 : file;

        for (; *name && (*c == *name || (*c == '-' && *name == '_')); name++)
                c++;
        return *name == '\0' && (*c == '\0' || *c == '\n' || startswith(c, ".ko"));
}

/* The kernel's directory below /usr/lib/modules. */
static int find_modules(const struct fit_subject *s, struct tree_node **ret, struct error *err)
{
        _cleanup_free_ char *version = NULL, *path = NULL;
        int r = kernel_version(s->c->merge.tree, &version, err);

        if (r < 0)
                return r;
        path = string_format("/usr/lib/modules/%s", version);
        if (!path)
                return error_oom(err);
        *ret = tree_lookup(s->c->merge.tree, path);
        return *ret ? 0 : error_set(err, -ENOENT, "%s", path);
}

/* modules.builtin: one path a line. */
static int is_built_in(const struct fit_subject *s, const struct tree_node *modules,
                       const char *name, struct error *err)
{
        const struct tree_node *list = tree_child(modules, "modules.builtin");
        _cleanup_free_ char *text = NULL;
        char *rest, *line;
        int r;

        if (!list)
                return 0;
        r = content_load(list->inode, &s->store, BUILTIN_LIST_MAX, &text, NULL, err);
        if (r < 0)
                return r;
        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                if (is_module(line, name))
                        return 1;
        return 0;
}

int fit_has_module(const struct fit_subject *s, const char *name, struct buffer *more,
                   struct error *err)
{
        struct tree_node *modules;
        int r = find_modules(s, &modules, err);

        if (r < 0)
                return r;
        TREE_FOREACH (node, modules)
                if (S_ISREG(node->inode->mode) && strstr(node->name, ".ko") &&
                    is_module(node->name, name))
                        return 1;
        r = is_built_in(s, modules, name, err);
        if (r == 0)
                buffer_puts(more, "not in the image, and not built into its kernel");
        return r;
}

int fit_has_initrd_module(const struct fit_subject *s, const char *name, struct buffer *more,
                          struct error *err)
{
        struct tree_node *modules;
        int r = find_modules(s, &modules, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < s->m->n_layers; i++)
                STRV_FOREACH (module, s->m->layers[i].initrd.modules)
                        if (is_module(*module, name))
                                return 1;
        r = is_built_in(s, modules, name, err);
        if (r == 0)
                buffer_puts(more, "no layer puts it into the initrd, and it is not built into the "
                                  "kernel");
        return r;
}

/* ---- the kernel ---- */

int fit_has_kernel_option(const struct fit_subject *s, const char *word, struct buffer *more,
                          struct error *err _unused_)
{
        bool found = strv_contains(s->m->kernel.options, word);

        for (size_t i = 0; i < s->m->n_layers; i++)
                found |= strv_contains(s->m->layers[i].kernel.options, word);
        if (!found)
                buffer_printf(more, "\"%s\" is not on the kernel command line", word);
        return found;
}

/* Every required option of the fragment that is not as it must be, with its reason. */
static int judge_config(const struct kconfig *config, const struct kernel_demands *demands,
                        struct buffer *more)
{
        int holds = 1;

        for (size_t i = 0; i < demands->count; i++) {
                const struct kernel_demand *d = &demands->items[i];

                if (!d->required || kernel_verdict_good(kernel_judge(config, d, NULL)))
                        continue;
                buffer_printf(more, "%s%s is not %s (%s)", holds ? "" : ", ", d->option->name,
                              kernel_wanted(d), d->reason);
                holds = 0;
        }
        return holds;
}

int fit_has_kernel_config(const struct fit_subject *s, const char *fragment, struct buffer *more,
                          struct error *err)
{
        char *names[] = { (char *)fragment, NULL };
        _cleanup_kernel_demands_ struct kernel_demands demands = {};
        _cleanup_kconfig_ struct kconfig config = {};
        const char *directory = s->m->n_layers > 0 ? s->m->layers[0].path : NULL;
        int r = kernel_fragments_load(directory, names, &demands, err);

        if (r < 0)
                return r;
        r = kernel_config_tree(s->c->merge.tree, &s->store, &config, err);
        if (r >= 0)
                return judge_config(&config, &demands, more);
        buffer_printf(more, "its configuration is not known: %s", err->message);
        return r == -ENOMEM ? r : 0;
}

/* ---- units ---- */

int fit_has_unit(const struct fit_subject *s, const char *name, struct buffer *more,
                 struct error *err _unused_)
{
        struct tree_node *directory = tree_lookup(s->c->merge.tree, units_directory);

        if (directory)
                TREE_FOREACH (node, directory)
                        if (node->parent != directory && streq(node->name, name))
                                return 1;
        buffer_printf(more, "%s is not enabled", name);
        return 0;
}
