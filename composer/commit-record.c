/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A committed tree as one record. A repository has a file for every directory, symlink and content
 * of a commit, each of which must be opened to learn its owner and mode; a package set has 17,000
 * of them, most of them documentation that no image keeps.
 *
 *   depth + 1, name      of each node in pre-order; the root is 0 and ""; 0 ends the tree
 *   mode, uid, gid, number of xattrs, name and value of each
 *   regular file: size; unless it is 0, the object
 *   symlink: target
 *
 * Numbers are those of number.h, before a string stands its length. Which names are one inode is
 * not said: as in a commit, those with the same content, see commit_share_inodes(). */

#include "commit-internal.h"
#include "number.h"

/* ---- writing ---- */

static void put_bytes(struct buffer *b, const void *data, size_t size)
{
        number_put(b, size);
        buffer_append(b, data, size);
}

static void put_inode(struct buffer *b, const struct tree_inode *inode)
{
        number_put(b, inode->mode);
        number_put(b, inode->uid);
        number_put(b, inode->gid);
        number_put(b, inode->n_xattrs);
        for (size_t i = 0; i < inode->n_xattrs; i++) {
                put_bytes(b, inode->xattrs[i].name, strlen(inode->xattrs[i].name));
                put_bytes(b, inode->xattrs[i].value, inode->xattrs[i].size);
        }
        if (S_ISLNK(inode->mode))
                put_bytes(b, inode->target, strlen(inode->target));
        if (!S_ISREG(inode->mode))
                return;
        number_put(b, inode->size);
        if (inode->size > 0)
                buffer_append(b, inode->object.bytes, SHA256_SIZE);
}

void tree_record(const struct tree *tree, struct buffer *ret)
{
        TREE_FOREACH (node, tree->root) {
                uint64_t depth = 0;

                for (const struct tree_node *n = node; n->parent; n = n->parent)
                        depth++;
                number_put(ret, depth + 1);
                put_bytes(ret, node->name, strlen(node->name));
                put_inode(ret, node->inode);
        }
        number_put(ret, 0);
}

/* ---- reading ---- */

struct reader {
        struct repo *repo;
        const uint8_t *at, *end;
        struct tree_node *last; /* the node before */
        uint64_t depth;         /* of it */
        struct error *err;
};

static int refuse(struct reader *r, const char *why)
{
        return error_set(r->err, -EBADMSG, "tree: %s", why);
}

static int take_number(struct reader *r, uint64_t max, uint64_t *ret)
{
        const char *wrong = number_take(&r->at, r->end, max, ret);

        return wrong ? refuse(r, wrong) : 0;
}

static int take_bytes(struct reader *r, size_t max, const void **ret, size_t *ret_size)
{
        uint64_t size = 0;
        int k = take_number(r, max, &size);

        if (k < 0)
                return k;
        if (size > (uint64_t)(r->end - r->at))
                return refuse(r, "it ends early");
        *ret = r->at;
        *ret_size = (size_t)size;
        r->at += size;
        return 0;
}

static int take_string(struct reader *r, size_t max, char **ret)
{
        const void *data = NULL;
        size_t size = 0;
        int k = take_bytes(r, max, &data, &size);

        if (k < 0)
                return k;
        if (memchr(data, '\0', size))
                return refuse(r, "a NUL in a string");
        *ret = strndup(data, size);
        return *ret ? 0 : error_oom(r->err);
}

static int take_xattr(struct reader *r, struct tree_inode *inode)
{
        _cleanup_free_ char *name = NULL;
        const void *value = NULL;
        size_t size = 0;
        int k;

        k = take_string(r, TREE_NAME_MAX, &name);
        if (k >= 0)
                k = take_bytes(r, TREE_XATTR_VALUE_MAX, &value, &size);
        return k < 0 ? k : tree_inode_set_xattr(inode, name, value, size, r->err);
}

static int take_content(struct reader *r, struct tree_inode *inode)
{
        int k = take_number(r, INT64_MAX, &inode->size);

        if (k < 0 || inode->size == 0)
                return k;
        if (r->end - r->at < SHA256_SIZE)
                return refuse(r, "it ends early");
        memcpy(inode->object.bytes, r->at, SHA256_SIZE);
        r->at += SHA256_SIZE;
        inode->kind = CONTENT_OBJECT;
        return object_present(r->repo, &inode->object, r->err);
}

static int take_target(struct reader *r, struct tree_inode *inode)
{
        int k = take_string(r, TREE_PATH_MAX, &inode->target);

        if (k >= 0)
                inode->size = strlen(inode->target);
        return k;
}

static int take_inode(struct reader *r, struct tree_inode *inode)
{
        uint64_t mode = 0, uid = 0, gid = 0, xattrs = 0;
        int k;

        k = take_number(r, UINT32_MAX, &mode);
        if (k >= 0)
                k = take_number(r, UINT32_MAX, &uid);
        if (k >= 0)
                k = take_number(r, UINT32_MAX, &gid);
        if (k >= 0)
                k = take_number(r, UINT32_MAX, &xattrs);
        if (k < 0)
                return k;
        inode->mode = (mode_t)mode;
        inode->uid = (uint32_t)uid;
        inode->gid = (uint32_t)gid;
        for (; k >= 0 && xattrs > 0; xattrs--)
                k = take_xattr(r, inode);
        inode->changed = false;
        if (k < 0 || S_ISDIR(inode->mode))
                return k;
        if (S_ISLNK(inode->mode))
                return take_target(r, inode);
        return S_ISREG(inode->mode) ? take_content(r, inode)
                                    : refuse(r, "neither file, directory nor symlink");
}

/* Where a node of that depth goes: below the one before, or below one that is above it. */
static int find_parent(struct reader *r, uint64_t depth, struct tree_node **ret)
{
        struct tree_node *parent = r->last;

        if (depth == 0 || depth > r->depth + 1 || depth > COMMIT_DEPTH_MAX)
                return refuse(r, "a node without a parent");
        for (uint64_t at = r->depth; at >= depth; at--)
                parent = parent->parent;
        *ret = parent;
        return 0;
}

static int take_node(struct reader *r, uint64_t depth)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = tree_inode_new(0, 0, 0);
        struct tree_node *parent = NULL, *node = NULL;
        _cleanup_free_ char *name = NULL;
        int k;

        if (!inode)
                return error_oom(r->err);
        k = find_parent(r, depth, &parent);
        if (k >= 0)
                k = take_string(r, TREE_NAME_MAX, &name);
        if (k >= 0)
                k = take_inode(r, inode);
        if (k >= 0)
                k = tree_link(parent, name, inode, &node, r->err);
        if (k < 0)
                return k;
        TAKE_PTR(inode);
        r->last = node;
        r->depth = depth;
        return 0;
}

static int take_root(struct reader *r, struct tree *tree)
{
        _cleanup_free_ char *name = NULL;
        uint64_t depth = 0;
        int k = take_number(r, 1, &depth);

        if (k >= 0)
                k = take_string(r, 0, &name);
        if (k >= 0)
                k = take_inode(r, tree->root->inode);
        if (k >= 0 && (depth != 1 || !S_ISDIR(tree->root->inode->mode)))
                return refuse(r, "the root is no directory");
        r->last = tree->root;
        return k;
}

int repo_tree_of_record(struct repo *repo, const void *data, size_t size, struct tree **ret,
                        struct error *err)
{
        struct reader r = {
                .repo = repo, .at = data, .end = (const uint8_t *)data + size, .err = err
        };
        _cleanup_tree_ struct tree *tree = NULL;
        uint64_t depth = 0;
        int k;

        k = tree_new(&tree, err);
        if (k >= 0)
                k = take_root(&r, tree);
        do {
                if (k >= 0)
                        k = take_number(&r, COMMIT_DEPTH_MAX, &depth);
                if (k >= 0 && depth > 0)
                        k = take_node(&r, depth - 1);
        } while (k >= 0 && depth > 0);
        if (k >= 0 && r.at != r.end)
                k = refuse(&r, "something behind its end");
        if (k < 0)
                return k;
        commit_share_inodes(tree);
        *ret = TAKE_PTR(tree);
        return 0;
}
