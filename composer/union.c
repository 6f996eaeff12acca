/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The union of package trees, see union.h. dpkg's rules, without dpkg's dependence on the order of
 * installation: packages come sorted by name, and where dpkg would let the order decide, a rule
 * does:
 *
 * - equal files, equal symlinks and directories are shared;
 * - a diversion sends the file of every other package to its target;
 * - Replaces lets the replacing package's file win, whichever comes first;
 * - a directory takes the owner and mode of the package that wants something other than 0755 root,
 *   and two packages that want different unusual things clash like files do. */

#include <fcntl.h>

#include "deb-version.h"
#include "deb822.h"
#include "text.h"
#include "union.h"

struct union_context {
        const struct package_tree *packages;
        const char **origins; /* of each package, interned: compared by address */
        size_t count;
        const struct diversions *diversions;
        const struct content_store *store;
        struct tree *tree;
        size_t current; /* package being added */
};

/* Top-level names of a package and where their content belongs. */
static const struct {
        const char *from, *to;
} roots[] = {
        { "/bin", "/usr/bin" },       { "/sbin", "/usr/sbin" },   { "/lib", "/usr/lib" },
        { "/lib32", "/usr/lib32" },   { "/lib64", "/usr/lib64" }, { "/libo32", "/usr/libo32" },
        { "/libx32", "/usr/libx32" }, { "/etc", "/usr/etc" },
};

const char *image_path(const char *path, char *ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
                const char *rest = startswith(path, roots[i].from);

                if (rest && (*rest == '/' || *rest == '\0')) {
                        snprintf(ret, TREE_PATH_MAX, "%s%s", roots[i].to, rest);
                        return ret;
                }
        }
        snprintf(ret, TREE_PATH_MAX, "%s", path);
        return ret;
}

static bool xattrs_equal(const struct tree_inode *a, const struct tree_inode *b)
{
        if (a->n_xattrs != b->n_xattrs)
                return false;
        for (size_t i = 0; i < a->n_xattrs; i++)
                if (!streq(a->xattrs[i].name, b->xattrs[i].name) ||
                    a->xattrs[i].size != b->xattrs[i].size ||
                    memcmp(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].size) != 0)
                        return false;
        return true;
}

static bool attributes_equal(const struct tree_inode *a, const struct tree_inode *b)
{
        return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && xattrs_equal(a, b);
}

/* Contents of one kind are compared without reading: an object's name is its digest. */
static bool content_equal(const struct tree_inode *a, const struct tree_inode *b)
{
        if (a->kind != b->kind || a->size != b->size)
                return false;
        switch (a->kind) {
        case CONTENT_OBJECT: return sha256_equal(&a->object, &b->object);
        case CONTENT_MEMORY: return memcmp(a->data, b->data, (size_t)a->size) == 0;
        case CONTENT_PATH: return streq(a->path, b->path);
        case CONTENT_NONE: break;
        }
        return true;
}

static bool inodes_equal(const struct tree_inode *a, const struct tree_inode *b)
{
        if (a == b)
                return true;
        if (S_ISLNK(a->mode) && S_ISLNK(b->mode))
                return streq(a->target, b->target);
        return S_ISREG(a->mode) && attributes_equal(a, b) && content_equal(a, b);
}

static bool is_ordinary_directory(const struct tree_inode *inode)
{
        return (inode->mode & 07777) == 0755 && inode->uid == 0 && inode->gid == 0 &&
               inode->n_xattrs == 0;
}

static int copy_attributes(const struct tree_inode *from, struct tree_inode *to, struct error *err)
{
        int r = 0;

        tree_inode_set_owner(to, from->uid, from->gid);
        tree_inode_set_mode(to, from->mode);
        for (size_t i = 0; r == 0 && i < from->n_xattrs; i++)
                r = tree_inode_set_xattr(to, from->xattrs[i].name, from->xattrs[i].value,
                                         from->xattrs[i].size, err);
        return r;
}

/* The package that brought an inode, or NULL. */
static const struct package_tree *owner_of(const struct union_context *c,
                                           const struct tree_inode *inode)
{
        for (size_t i = 0; inode->origin && i < c->count; i++)
                if (c->origins[i] == inode->origin)
                        return &c->packages[i];
        return NULL;
}

/* Whether winner's control file says that it replaces files of loser. */
static int replaces(const struct union_context *c, const struct package_tree *winner,
                    const struct package_tree *loser, struct error *err)
{
        const struct tree_node *control = tree_lookup(winner->tree, "/control/control");
        _cleanup_free_ char *text = NULL;
        struct deb822_field field;
        struct deb822 reader;
        size_t size;
        int r;

        if (!control)
                return 0;
        r = content_load(control->inode, c->store, TEXT_FILE_MAX, &text, &size, err);
        if (r < 0)
                return error_prefix(err, r, "package '%s': control", winner->package->name);
        deb822_init(&reader, text, size);
        while (deb822_next(&reader, &field)) {
                _cleanup_free_ char *value = NULL;

                if (!deb822_is(&field, "Replaces"))
                        continue;
                value = deb822_value(&field);
                if (!value)
                        return error_oom(err);
                return deb_relation_matches(value, loser->package->name, loser->package->version);
        }
        return 0;
}

static int clash(const struct tree_node *existing, const struct package_tree *other,
                 const struct package_tree *package, struct error *err)
{
        char path[TREE_PATH_MAX];

        return error_set(err, -EEXIST,
                         "%s is in package '%s' and, different, in package '%s': neither a "
                         "diversion nor Replaces covers it",
                         tree_path(existing, path), other ? other->package->name : "?",
                         package->package->name);
}

/* Decides between what is there and what the current package brings: positive when the latter wins,
 * 0 when it stays out. */
static int decide(const struct union_context *c, const struct tree_node *existing,
                  const struct tree_inode *inode, struct error *err)
{
        const struct package_tree *package = &c->packages[c->current];
        const struct package_tree *other = owner_of(c, existing->inode);
        int r;

        if (inodes_equal(existing->inode, inode))
                return 0;
        if (!other || S_ISDIR(existing->inode->mode) || S_ISDIR(inode->mode))
                return clash(existing, other, package, err);
        r = replaces(c, package, other, err);
        if (r != 0)
                return r;
        r = replaces(c, other, package, err);
        if (r != 0)
                return r < 0 ? r : 0;
        return clash(existing, other, package, err);
}

/* Where another package's diversion sends the file, or NULL. */
static const char *diverted(const struct union_context *c, const struct tree_node *directory,
                            const char *name)
{
        char path[TREE_PATH_MAX], parent[TREE_PATH_MAX];
        const struct package *package = c->packages[c->current].package;

        if (c->diversions->count == 0)
                return NULL;
        if (snprintf(path, sizeof(path), "%s/%s", tree_path(directory, parent), name) >=
            TREE_PATH_MAX)
                return NULL;
        for (size_t i = 0; i < c->diversions->count; i++)
                if (streq(c->diversions->items[i].path, path) &&
                    !streq(c->diversions->items[i].package, package->name))
                        return c->diversions->items[i].target;
        return NULL;
}

static int add_file(const struct union_context *c, struct tree_node *directory, const char *name,
                    struct tree_inode *inode, struct error *err)
{
        struct tree_node *existing = tree_child(directory, name);
        int r;

        if (existing) {
                r = decide(c, existing, inode, err);
                if (r <= 0)
                        return r;
                tree_remove(existing);
        }
        inode->origin = c->origins[c->current];
        return tree_link(directory, name, inode, NULL, err);
}

static int add_diverted(const struct union_context *c, const char *target, struct tree_inode *inode,
                        struct error *err)
{
        _cleanup_free_ char *parent = strdup(target);
        struct tree_node *directory;
        char *slash;
        int r;

        if (!parent)
                return error_oom(err);
        slash = strrchr(parent, '/');
        *slash = '\0';
        r = tree_make_dirs(c->tree, *parent ? parent : "/", &directory, err);
        return r < 0 ? r : add_file(c, directory, slash + 1, inode, err);
}

/* The directory of that name, made or found and its attributes agreed upon. */
static int enter_directory(const struct union_context *c, struct tree_node *directory,
                           const char *name, const struct tree_inode *inode, struct tree_node **ret,
                           struct error *err)
{
        struct tree_node *node = tree_child(directory, name);
        int r;

        if (node && !S_ISDIR(node->inode->mode))
                return clash(node, owner_of(c, node->inode), &c->packages[c->current], err);
        if (!node) {
                _cleanup_(tree_inode_free_p) struct tree_inode *copy =
                        tree_inode_new(S_IFDIR | 0755, 0, 0);

                if (!copy)
                        return error_oom(err);
                r = tree_link(directory, name, copy, &node, err);
                if (r < 0)
                        return r;
                TAKE_PTR(copy);
        }
        *ret = node;
        if (is_ordinary_directory(inode) || attributes_equal(node->inode, inode))
                return 0;
        if (!is_ordinary_directory(node->inode))
                return clash(node, owner_of(c, node->inode), &c->packages[c->current], err);
        node->inode->origin = c->origins[c->current];
        return copy_attributes(inode, node->inode, err);
}

static int add_children(const struct union_context *c, const struct tree_node *source,
                        struct tree_node *directory, struct error *err);

static int add_node(const struct union_context *c, const struct tree_node *node,
                    struct tree_node *directory, const char *name, struct error *err)
{
        struct tree_node *child = NULL;
        const char *target;
        int r;

        if (!S_ISDIR(node->inode->mode)) {
                target = diverted(c, directory, name);
                return target ? add_diverted(c, target, node->inode, err)
                              : add_file(c, directory, name, node->inode, err);
        }
        r = enter_directory(c, directory, name, node->inode, &child, err);
        return r < 0 ? r : add_children(c, node, child, err);
}

static int add_children(const struct union_context *c, const struct tree_node *source,
                        struct tree_node *directory, struct error *err)
{
        for (size_t i = 0; i < source->n_children; i++) {
                const struct tree_node *child = source->children[i];
                int r = add_node(c, child, directory, child->name, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* One name at a package's root. The usr-merge links of base-files are the merge itself. */
static int add_root(const struct union_context *c, const struct tree_node *node, struct error *err)
{
        char from[TREE_PATH_MAX], to[TREE_PATH_MAX];
        struct tree_node *parent = c->tree->root;
        const char *name;
        int r;

        snprintf(from, sizeof(from), "/%s", node->name);
        image_path(from, to);
        name = strrchr(to, '/') + 1;
        if (name != to + 1) {
                if (S_ISLNK(node->inode->mode))
                        return 0;
                r = tree_make_dirs(c->tree, "/usr", &parent, err);
                if (r < 0)
                        return r;
        }
        return add_node(c, node, parent, name, err);
}

static int add_package(const struct union_context *c, struct error *err)
{
        const struct tree_node *data = tree_lookup(c->packages[c->current].tree, "/data");

        for (size_t i = 0; data && i < data->n_children; i++) {
                int r = add_root(c, data->children[i], err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int intern_origins(struct union_context *c, struct error *err)
{
        for (size_t i = 0; i < c->count; i++) {
                _cleanup_free_ char *origin = NULL;

                if (asprintf(&origin, "package %s", c->packages[i].package->name) < 0)
                        return TAKE_PTR(origin), error_oom(err);
                c->origins[i] = tree_intern(c->tree, origin);
                if (!c->origins[i])
                        return error_oom(err);
        }
        return 0;
}

int tree_union(const struct package_tree *packages, size_t count,
               const struct diversions *diversions, const struct content_store *store,
               struct tree *tree, struct error *err)
{
        _cleanup_free_ const char **origins = calloc(count + 1, sizeof(char *));
        struct union_context c = { packages, origins, count, diversions, store, tree, 0 };
        int r;

        if (!origins)
                return error_oom(err);
        r = intern_origins(&c, err);
        for (; r == 0 && c.current < count; c.current++)
                r = add_package(&c, err);
        return r;
}
