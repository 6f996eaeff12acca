/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See tree.h. A directory's children are one array sorted by name: lookups are binary searches, and
 * a walk in order needs no sorting and no stack, because a node finds its own place in its parent
 * by its name. Freeing is a walk as well, so that a deep tree cannot exhaust the C stack.
 *
 * A directory has exactly one node, as on every file system; other inodes may have many. */

#include <assert.h>

#include "strv.h"
#include "tree.h"

enum { SYMLINKS_MAX = 40 };

/* ---- nodes ---- */

/* Index of the first child whose name is not before the `length` bytes at name. */
static size_t child_position(const struct tree_node *directory, const char *name, size_t length,
                             bool *ret_found)
{
        size_t low = 0, high = directory->n_children;

        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const char *other = directory->children[middle]->name;
                int order = strncmp(other, name, length);

                if (order == 0 && other[length] != '\0')
                        order = 1;
                if (order == 0)
                        *ret_found = true;
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static struct tree_node *child_named(const struct tree_node *directory, const char *name,
                                     size_t length)
{
        bool found;
        size_t i = child_position(directory, name, length, &found);

        return found ? directory->children[i] : NULL;
}

static int reserve_child(struct tree_node *directory)
{
        return array_reserve(&directory->children, &directory->capacity, directory->n_children + 1,
                             sizeof(struct tree_node *));
}

/* Puts node at its place; room was reserved and the name is free. */
static void attach(struct tree_node *directory, struct tree_node *node)
{
        bool found;
        size_t i = child_position(directory, node->name, strlen(node->name), &found);

        assert(!found && directory->n_children < directory->capacity);
        memmove(&directory->children[i + 1], &directory->children[i],
                (directory->n_children - i) * sizeof(struct tree_node *));
        directory->children[i] = node;
        directory->n_children++;
        node->parent = directory;
}

static size_t index_in_parent(const struct tree_node *node)
{
        bool found;
        size_t i = child_position(node->parent, node->name, strlen(node->name), &found);

        assert(found && node->parent->children[i] == node);
        return i;
}

static void detach(struct tree_node *node)
{
        struct tree_node *parent = node->parent;
        size_t i = index_in_parent(node);

        parent->n_children--;
        memmove(&parent->children[i], &parent->children[i + 1],
                (parent->n_children - i) * sizeof(struct tree_node *));
        node->parent = NULL;
}

/* Frees a detached node and everything below it, leaves first. */
static void node_free(struct tree_node *top)
{
        struct tree_node *node = top;

        while (node) {
                struct tree_node *parent = node->parent;

                if (node->n_children > 0) {
                        node = node->children[--node->n_children];
                        continue;
                }
                tree_inode_unref(node->inode);
                free(node->children);
                free(node->name);
                free(node);
                node = parent;
        }
}

static int name_check(const char *name, struct error *err)
{
        size_t n = strlen(name);

        if (n == 0 || streq(name, ".") || streq(name, "..") || strchr(name, '/'))
                return error_set(err, -EINVAL, "'%s' is not a file name", name);
        if (n > TREE_NAME_MAX)
                return error_set(err, -EINVAL, "file name of %zu bytes, at most %d are allowed", n,
                                 TREE_NAME_MAX);
        return 0;
}

/* What must hold before `name` can be added below directory. */
static int place_check(const struct tree_node *directory, const char *name, struct error *err)
{
        int r = name_check(name, err);

        if (r < 0)
                return r;
        if (!S_ISDIR(directory->inode->mode))
                return error_code(err, -ENOTDIR, "%s", directory->name);
        if (tree_child(directory, name))
                return error_code(err, -EEXIST, "%s", name);
        return 0;
}

int tree_link(struct tree_node *directory, const char *name, struct tree_inode *inode,
              struct tree_node **ret, struct error *err)
{
        struct tree_node *node;
        int r;

        r = place_check(directory, name, err);
        if (r < 0)
                return r;
        if (S_ISDIR(inode->mode) && inode->references > 0)
                return error_set(err, -EINVAL, "%s: a directory has only one name", name);
        if (reserve_child(directory) < 0)
                return error_oom(err);
        node = calloc(1, sizeof(*node));
        if (!node)
                return error_oom(err);
        node->name = strdup(name);
        if (!node->name) {
                free(node);
                return error_oom(err);
        }
        node->inode = inode;
        inode->references++;
        attach(directory, node);
        if (ret)
                *ret = node;
        return 0;
}

void tree_remove(struct tree_node *node)
{
        assert(node->parent);
        detach(node);
        node_free(node);
}

static bool is_below(const struct tree_node *node, const struct tree_node *top)
{
        while (node && node != top)
                node = node->parent;
        return node;
}

int tree_move(struct tree_node *node, struct tree_node *directory, const char *name,
              struct error *err)
{
        _cleanup_free_ char *copy = NULL;
        int r;

        assert(node->parent);
        r = place_check(directory, name, err);
        if (r < 0)
                return r;
        if (is_below(directory, node))
                return error_set(err, -EINVAL, "%s: cannot move a directory into itself", name);
        copy = strdup(name);
        if (!copy || reserve_child(directory) < 0)
                return error_oom(err);
        detach(node);
        free(node->name);
        node->name = TAKE_PTR(copy);
        attach(directory, node);
        return 0;
}

/* ---- the tree ---- */

int tree_new(struct tree **ret, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFDIR | 0755, 0, 0);
        _cleanup_free_ struct tree_node *root = calloc(1, sizeof(*root));
        _cleanup_free_ struct tree *tree = calloc(1, sizeof(*tree));
        _cleanup_free_ char *name = strdup("");

        if (!inode || !root || !tree || !name)
                return error_oom(err);
        inode->references = 1;
        root->name = TAKE_PTR(name);
        root->inode = TAKE_PTR(inode);
        tree->root = TAKE_PTR(root);
        *ret = TAKE_PTR(tree);
        return 0;
}

void tree_free(struct tree *tree)
{
        if (!tree)
                return;
        node_free(tree->root);
        strv_free(tree->strings);
        free(tree);
}

const char *tree_intern(struct tree *tree, const char *s)
{
        STRV_FOREACH (known, tree->strings)
                if (streq(*known, s))
                        return *known;
        if (strv_extend(&tree->strings, s) < 0)
                return NULL;
        return tree->strings[strv_length(tree->strings) - 1];
}

/* ---- paths ---- */

/* Takes the next component off *path; its length, 0 at the end. */
static size_t next_component(const char **path, const char **ret_name)
{
        size_t n;

        *path += strspn(*path, "/");
        n = strcspn(*path, "/");
        *ret_name = *path;
        *path += n;
        return n;
}

struct tree_node *tree_child(const struct tree_node *directory, const char *name)
{
        return child_named(directory, name, strlen(name));
}

struct tree_node *tree_lookup(const struct tree *tree, const char *path)
{
        struct tree_node *node = tree->root;
        const char *name;
        size_t n;

        if (path[0] != '/')
                return NULL;
        while (node && (n = next_component(&path, &name)) > 0)
                node = child_named(node, name, n);
        return node;
}

/* One step of a path that may hold "." and "..". */
static struct tree_node *step_to(struct tree_node *node, const char *name, size_t n)
{
        if (!S_ISDIR(node->inode->mode))
                return NULL;
        if (n == 1 && name[0] == '.')
                return node;
        if (n == 2 && name[0] == '.' && name[1] == '.')
                return node->parent ?: node;
        return child_named(node, name, n);
}

/* The path that is left to walk after meeting a symlink: its target, then the rest. */
static int follow(const struct tree_inode *symlink, const char *rest, char *ret)
{
        char joined[TREE_PATH_MAX];
        int n = snprintf(joined, sizeof(joined), "%s/%s", symlink->target, rest);

        if (n < 0 || n >= TREE_PATH_MAX)
                return -ENAMETOOLONG;
        memcpy(ret, joined, (size_t)n + 1);
        return 0;
}

struct tree_node *tree_resolve(const struct tree *tree, const char *path)
{
        char left[TREE_PATH_MAX];
        struct tree_node *node = tree->root;
        unsigned links = 0;
        const char *rest = left, *name;
        size_t n = strlen(path);

        if (path[0] != '/' || n >= sizeof(left))
                return NULL;
        memcpy(left, path, n + 1);
        while (node && (n = next_component(&rest, &name)) > 0) {
                struct tree_node *next = step_to(node, name, n);

                if (next && S_ISLNK(next->inode->mode)) {
                        if (++links > SYMLINKS_MAX || follow(next->inode, rest, left) < 0)
                                return NULL;
                        rest = left;
                        next = left[0] == '/' ? tree->root : node;
                }
                node = next;
        }
        return node;
}

int tree_make_dir(struct tree_node *parent, const char *name, struct tree_node **ret,
                  struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFDIR | 0755, 0, 0);
        int r;

        if (!inode)
                return error_oom(err);
        r = tree_link(parent, name, inode, ret, err);
        if (r < 0)
                return r;
        TAKE_PTR(inode);
        return 0;
}

int tree_make_dirs(struct tree *tree, const char *path, struct tree_node **ret, struct error *err)
{
        struct tree_node *node = tree->root;
        const char *rest = path, *start;
        size_t n;
        int r;

        if (path[0] != '/')
                return error_set(err, -EINVAL, "'%s' is not an absolute path", path);
        while ((n = next_component(&rest, &start)) > 0) {
                struct tree_node *child = child_named(node, start, n);
                _cleanup_free_ char *name = NULL;

                if (!child) {
                        name = strndup(start, n);
                        if (!name)
                                return error_oom(err);
                        r = tree_make_dir(node, name, &child, err);
                        if (r < 0)
                                return error_prefix(err, r, "%s", path);
                }
                if (!S_ISDIR(child->inode->mode))
                        return error_code(err, -ENOTDIR, "%s: %s", path, child->name);
                node = child;
        }
        if (ret)
                *ret = node;
        return 0;
}

/* Puts inode at path in place of whatever non-directory is there; takes its reference. */
static int put_inode(struct tree *tree, const char *path, struct tree_inode *inode,
                     struct error *err)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = NULL;
        struct tree_node *directory, *old;
        int r;

        if (!slash)
                return error_set(err, -EINVAL, "'%s' is not an absolute path", path);
        parent = strndup(path, (size_t)(slash - path) + 1);
        if (!parent)
                return error_oom(err);
        r = tree_make_dirs(tree, parent, &directory, err);
        if (r < 0)
                return r;
        old = tree_child(directory, slash + 1);
        if (!old)
                return error_prefix(err, tree_link(directory, slash + 1, inode, NULL, err), "%s",
                                    path);
        if (S_ISDIR(old->inode->mode))
                return error_code(err, -EISDIR, "%s", path);
        inode->references++;
        tree_inode_unref(old->inode);
        old->inode = inode;
        return 0;
}

int tree_put_file(struct tree *tree, const char *path, const void *data, size_t size, mode_t mode,
                  const char *origin, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFREG | (mode & 07777), 0, 0);
        int r;

        if (!inode)
                return error_oom(err);
        inode->origin = origin;
        r = tree_inode_set_data(inode, data, size, err);
        if (r < 0)
                return r;
        r = put_inode(tree, path, inode, err);
        if (r < 0)
                return r;
        TAKE_PTR(inode);
        return 0;
}

int tree_put_symlink(struct tree *tree, const char *path, const char *target, const char *origin,
                     struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFLNK | 0777, 0, 0);
        int r;

        if (!inode)
                return error_oom(err);
        if (target[0] == '\0' || strlen(target) >= TREE_PATH_MAX)
                return error_set(err, -EINVAL, "%s: bad symlink target", path);
        inode->origin = origin;
        inode->size = strlen(target);
        inode->target = strdup(target);
        if (!inode->target)
                return error_oom(err);
        r = put_inode(tree, path, inode, err);
        if (r < 0)
                return r;
        TAKE_PTR(inode);
        return 0;
}

/* ---- walks ---- */

struct tree_node *tree_next(const struct tree_node *top, const struct tree_node *node)
{
        return node->n_children > 0 ? node->children[0] : tree_next_skip(top, node);
}

struct tree_node *tree_next_skip(const struct tree_node *top, const struct tree_node *node)
{
        for (; node != top && node->parent; node = node->parent) {
                size_t i = index_in_parent(node) + 1;

                if (i < node->parent->n_children)
                        return node->parent->children[i];
        }
        return NULL;
}

const char *tree_path(const struct tree_node *node, char *buffer)
{
        size_t position = TREE_PATH_MAX - 1;

        buffer[position] = '\0';
        for (; node->parent; node = node->parent) {
                size_t n = strlen(node->name);

                if (n + 1 > position)
                        return strcpy(buffer, "?");
                position -= n;
                memcpy(buffer + position, node->name, n);
                buffer[--position] = '/';
        }
        if (position == TREE_PATH_MAX - 1)
                buffer[--position] = '/';
        return memmove(buffer, buffer + position, TREE_PATH_MAX - position);
}
