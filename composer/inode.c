/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The inodes of tree.h: owner, mode, xattrs and content. An inode is counted by the nodes that name
 * it. Whatever makes it differ from the OSTree object it came from is noted in `changed`, so that a
 * commit rewrites only those objects. */

#include <assert.h>

#include "tree.h"

/* What the kernel allows for a name, and far more attributes than any package has. */
enum { XATTR_NAME_LENGTH_MAX = 255, XATTRS_MAX = 64 };

struct tree_inode *tree_inode_new(mode_t mode, uint32_t uid, uint32_t gid)
{
        struct tree_inode *inode = calloc(1, sizeof(*inode));

        if (inode) {
                inode->mode = mode;
                inode->uid = uid;
                inode->gid = gid;
        }
        return inode;
}

static void xattr_done(struct tree_xattr *xattr)
{
        free(xattr->name);
        free(xattr->value);
}

static void inode_drop_content(struct tree_inode *inode)
{
        free(TAKE_PTR(inode->data));
        free(TAKE_PTR(inode->path));
        inode->kind = CONTENT_NONE;
        inode->size = 0;
        inode->changed = false;
        memset(&inode->object, 0, sizeof(inode->object));
}

void tree_inode_free(struct tree_inode *inode)
{
        if (!inode)
                return;
        inode_drop_content(inode);
        for (size_t i = 0; i < inode->n_xattrs; i++)
                xattr_done(&inode->xattrs[i]);
        free(inode->xattrs);
        free(inode->target);
        free(inode);
}

void tree_inode_unref(struct tree_inode *inode)
{
        assert(inode->references > 0);
        if (--inode->references == 0)
                tree_inode_free(inode);
}

/* Index of the first xattr whose name is not before `name`. */
static size_t xattr_position(const struct tree_inode *inode, const char *name, bool *ret_found)
{
        size_t i = 0;
        int order = 1;

        while (i < inode->n_xattrs && (order = strcmp(inode->xattrs[i].name, name)) < 0)
                i++;
        *ret_found = i < inode->n_xattrs && order == 0;
        return i;
}

static void xattr_remove(struct tree_inode *inode, size_t i)
{
        xattr_done(&inode->xattrs[i]);
        inode->n_xattrs--;
        memmove(&inode->xattrs[i], &inode->xattrs[i + 1],
                (inode->n_xattrs - i) * sizeof(struct tree_xattr));
}

static int xattr_insert(struct tree_inode *inode, size_t i, struct tree_xattr xattr)
{
        struct tree_xattr *grown;

        grown = reallocarray(inode->xattrs, inode->n_xattrs + 1, sizeof(struct tree_xattr));
        if (!grown)
                return -ENOMEM;
        inode->xattrs = grown;
        memmove(&grown[i + 1], &grown[i], (inode->n_xattrs - i) * sizeof(struct tree_xattr));
        grown[i] = xattr;
        inode->n_xattrs++;
        return 0;
}

static int xattr_check(const struct tree_inode *inode, const char *name, size_t size,
                       struct error *err)
{
        if (name[0] == '\0' || strlen(name) > XATTR_NAME_LENGTH_MAX)
                return error_set(err, -EINVAL, "xattr with a bad name");
        if (size > TREE_XATTR_VALUE_MAX)
                return error_set(err, -E2BIG, "xattr '%s': value larger than %d bytes", name,
                                 TREE_XATTR_VALUE_MAX);
        if (inode->n_xattrs >= XATTRS_MAX)
                return error_set(err, -E2BIG, "xattr '%s': more than %d xattrs", name, XATTRS_MAX);
        return 0;
}

int tree_inode_set_xattr(struct tree_inode *inode, const char *name, const void *value, size_t size,
                         struct error *err)
{
        bool found;
        size_t i = xattr_position(inode, name, &found);
        struct tree_xattr xattr;
        int r;

        if (!value) {
                if (found)
                        xattr_remove(inode, i);
                inode->changed |= found;
                return 0;
        }
        r = xattr_check(inode, name, size, err);
        if (r < 0)
                return r;
        xattr = (struct tree_xattr){ strdup(name), malloc(size + 1), size };
        if (!xattr.name || !xattr.value) {
                xattr_done(&xattr);
                return error_oom(err);
        }
        memcpy(xattr.value, value, size);
        if (found) {
                xattr_done(&inode->xattrs[i]);
                inode->xattrs[i] = xattr;
        } else if (xattr_insert(inode, i, xattr) < 0) {
                xattr_done(&xattr);
                return error_oom(err);
        }
        inode->changed = true;
        return 0;
}

void tree_inode_set_owner(struct tree_inode *inode, uint32_t uid, uint32_t gid)
{
        inode->changed |= inode->uid != uid || inode->gid != gid;
        inode->uid = uid;
        inode->gid = gid;
}

void tree_inode_set_mode(struct tree_inode *inode, mode_t mode)
{
        mode = (inode->mode & S_IFMT) | (mode & ~(mode_t)S_IFMT);
        inode->changed |= inode->mode != mode;
        inode->mode = mode;
}

int tree_inode_set_data(struct tree_inode *inode, const void *data, size_t size, struct error *err)
{
        _cleanup_free_ char *copy = NULL;

        if (size > 0) {
                copy = malloc(size);
                if (!copy)
                        return error_oom(err);
                memcpy(copy, data, size);
        }
        inode_drop_content(inode);
        inode->kind = size > 0 ? CONTENT_MEMORY : CONTENT_NONE;
        inode->size = size;
        inode->data = TAKE_PTR(copy);
        return 0;
}
