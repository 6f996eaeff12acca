/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of fix-ups, and what they share. The order is: what reads the packages' own templates,
 * then the layers' settings and removals, then what is computed from the tree as it will be. */

#include <stdarg.h>

#include "fixup.h"
#include "strv.h"
#include "text.h"

enum { FINDINGS_MAX = 10000 };

static const struct fixup fixups[] = {
        { "kernel", fixup_kernel },
        { "users", fixup_users },
        { "defaults", fixup_defaults },
        { "pam", fixup_pam },
        { "certificates", fixup_certificates },
        { "alternatives", fixup_alternatives },
        { "attributes", fixup_attributes },
        { "layer-config", fixup_layer_config },
        { "remove", fixup_remove },
        { "state", fixup_state },
        { "presets", fixup_presets },
        { "modules", fixup_modules },
        { "libraries", fixup_libraries },
        { "extensions", fixup_extensions },
        { "release", fixup_release },
};

int fixups_run(struct fixup_context *c, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(fixups); i++) {
                char origin[64];
                int r;

                snprintf(origin, sizeof(origin), "fix-up %s", fixups[i].name);
                c->origin = tree_intern(c->tree, origin);
                if (!c->origin)
                        return error_oom(err);
                r = fixups[i].apply(c, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", origin);
                workdir_progress(c->w, STEP_MERGE, c->count + i + 1, c->count + ARRAY_SIZE(fixups));
        }
        return 0;
}

bool fixup_has_package(const struct fixup_context *c, const char *name)
{
        for (size_t i = 0; i < c->count; i++)
                if (streq(c->packages[i].package->name, name))
                        return true;
        return false;
}

int fixup_read(const struct fixup_context *c, const char *path, char **ret, struct error *err)
{
        const struct tree_node *node = tree_resolve(c->tree, path);

        if (!node || !S_ISREG(node->inode->mode)) {
                *ret = NULL;
                return 0;
        }
        return error_prefix(err, content_load(node->inode, c->store, TEXT_FILE_MAX, ret, NULL, err),
                            "%s", path);
}

int fixup_put(struct fixup_context *c, const char *path, const char *text, size_t size, mode_t mode,
              struct error *err)
{
        return tree_put_file(c->tree, path, text, size, mode, c->origin, err);
}

int fixup_put_missing(struct fixup_context *c, const char *path, const char *text, mode_t mode,
                      struct error *err)
{
        return tree_lookup(c->tree, path) ? 0 : fixup_put(c, path, text, strlen(text), mode, err);
}

int fixup_link_missing(struct fixup_context *c, const char *path, const char *target,
                       struct error *err)
{
        return tree_lookup(c->tree, path) ? 0
                                          : tree_put_symlink(c->tree, path, target, c->origin, err);
}

/* A new inode with the same content and attributes; the object is rewritten when they change. */
static int inode_copy(const struct tree_inode *from, struct tree_inode **ret, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *copy =
                tree_inode_new(from->mode, from->uid, from->gid);
        int r = 0;

        if (!copy)
                return error_oom(err);
        if (from->kind == CONTENT_MEMORY)
                r = tree_inode_set_data(copy, from->data, (size_t)from->size, err);
        for (size_t i = 0; r == 0 && i < from->n_xattrs; i++)
                r = tree_inode_set_xattr(copy, from->xattrs[i].name, from->xattrs[i].value,
                                         from->xattrs[i].size, err);
        if (r < 0)
                return r;
        copy->kind = from->kind;
        copy->size = from->size;
        copy->object = from->object;
        copy->changed = from->changed;
        copy->origin = from->origin;
        copy->path = from->path ? strdup(from->path) : NULL;
        if (from->path && !copy->path)
                return error_oom(err);
        *ret = TAKE_PTR(copy);
        return 0;
}

int fixup_copy(struct fixup_context *c, const struct tree_node *from, const char *to, mode_t mode,
               struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = NULL;
        _cleanup_free_ char *parent = strndup(to, (size_t)(strrchr(to, '/') - to) + 1);
        struct tree_node *directory, *old;
        int r;

        if (!parent)
                return error_oom(err);
        r = inode_copy(from->inode, &inode, err);
        if (r == 0)
                r = tree_make_dirs(c->tree, parent, &directory, err);
        if (r < 0)
                return r;
        tree_inode_set_owner(inode, 0, 0);
        tree_inode_set_mode(inode, mode);
        inode->origin = c->origin;
        old = tree_child(directory, strrchr(to, '/') + 1);
        if (old)
                tree_remove(old);
        r = tree_link(directory, strrchr(to, '/') + 1, inode, NULL, err);
        if (r == 0)
                TAKE_PTR(inode);
        return r;
}

int fixup_unshare(struct tree_node *node, struct error *err)
{
        struct tree_inode *copy;
        int r;

        if (node->inode->references < 2 || !S_ISREG(node->inode->mode))
                return 0;
        r = inode_copy(node->inode, &copy, err);
        if (r < 0)
                return r;
        copy->references = 1;
        tree_inode_unref(node->inode);
        node->inode = copy;
        return 0;
}

/* ---- configuration directories ---- */

struct config_file {
        const char *name;
        const char *directory;
};

static int compare_config_files(const void *a, const void *b)
{
        return strcmp(((const struct config_file *)a)->name, ((const struct config_file *)b)->name);
}

static bool config_known(const struct config_file *files, size_t count, const char *name)
{
        for (size_t i = 0; i < count; i++)
                if (streq(files[i].name, name))
                        return true;
        return false;
}

static int config_paths(const struct config_file *files, size_t count, char ***ret,
                        struct error *err)
{
        _cleanup_strv_ char **paths = calloc(1, sizeof(char *));

        if (!paths)
                return error_oom(err);
        for (size_t i = 0; i < count; i++) {
                char path[TREE_PATH_MAX];

                snprintf(path, sizeof(path), "%s/%s", files[i].directory, files[i].name);
                if (strv_extend(&paths, path) < 0)
                        return error_oom(err);
        }
        *ret = TAKE_PTR(paths);
        return 0;
}

int fixup_config_files(const struct fixup_context *c, const char *const *directories,
                       const char *suffix, char ***ret, struct error *err)
{
        _cleanup_free_ struct config_file *files = NULL;
        size_t count = 0, capacity = 0;

        for (; *directories; directories++) {
                const struct tree_node *directory = tree_resolve(c->tree, *directories);

                for (size_t i = 0; directory && i < directory->n_children; i++) {
                        const char *name = directory->children[i]->name;

                        if (!endswith(name, suffix) || config_known(files, count, name))
                                continue;
                        if (array_reserve(&files, &capacity, count + 1, sizeof(*files)) < 0)
                                return error_oom(err);
                        files[count++] = (struct config_file){ name, *directories };
                }
        }
        if (count > 0)
                qsort(files, count, sizeof(*files), compare_config_files);
        return config_paths(files, count, ret, err);
}

/* ---- findings ---- */

int fixup_finding(struct merge_result *result, const char *subject, struct error *err,
                  const char *format, ...)
{
        struct finding *grown, finding = { strdup(subject), NULL };
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&finding.reason, format, ap);
        va_end(ap);
        grown = result->findings.count < FINDINGS_MAX
                        ? reallocarray(result->findings.items, result->findings.count + 1,
                                       sizeof(finding))
                        : NULL;
        if (grown)
                result->findings.items = grown;
        if (!finding.subject || n < 0 || !grown) {
                free(finding.subject);
                if (n >= 0)
                        free(finding.reason);
                return grown ? error_oom(err)
                             : error_set(err, -E2BIG, "more than %d findings", FINDINGS_MAX);
        }
        grown[result->findings.count++] = finding;
        return 0;
}
