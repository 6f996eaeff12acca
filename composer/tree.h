/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tree: a file system as data. Owners, modes and xattrs live in memory, file contents are held
 * by reference, so a whole operating system is built without root and without touching a disk.
 *
 * A node is a name in a directory; an inode is what the name points to. Several nodes may share one
 * inode (hard links). Children are kept sorted bytewise by name, which is the order of every format
 * we write (OSTree dirtree, EROFS directory blocks, cpio). */

#include <sys/stat.h>

#include "digest.h"

enum { TREE_NAME_MAX = 255, TREE_PATH_MAX = 4096, TREE_XATTR_VALUE_MAX = 65535 };

enum content_kind {
        CONTENT_NONE,   /* not a regular file, or an empty one */
        CONTENT_OBJECT, /* an OSTree content object, named by its checksum */
        CONTENT_MEMORY, /* bytes owned by the inode */
        CONTENT_PATH,   /* a file on the builder */
};

struct tree_xattr {
        char *name; /* with prefix: "security.capability", "user.x" … */
        void *value;
        size_t size;
};

struct tree_inode {
        unsigned references; /* nodes pointing here: the link count of a regular file */
        mode_t mode;         /* type and permission bits */
        uint32_t uid, gid;
        uint64_t size;             /* bytes, regular files; symlinks: strlen(target) */
        uint64_t mtime;            /* seconds; not part of a commit, 0 unless a test sets it */
        dev_t rdev;                /* device nodes */
        char *target;              /* symlinks, else NULL */
        struct tree_xattr *xattrs; /* sorted bytewise by name */
        size_t n_xattrs;
        enum content_kind kind;
        struct sha256 object; /* CONTENT_OBJECT */
        bool changed;         /* owner, mode or xattrs differ from what `object` says */
        void *data;           /* CONTENT_MEMORY */
        char *path;           /* CONTENT_PATH */
        const char *origin;   /* who brought it: "package systemd", "layer base"; interned, see
                                 tree_intern(); NULL when unknown */
};

struct tree_node {
        char *name;               /* "" for the root */
        struct tree_node *parent; /* NULL for the root */
        struct tree_inode *inode;
        struct tree_node **children; /* directories: sorted by name */
        size_t n_children, capacity;
};

struct tree {
        struct tree_node *root; /* a directory, always there */
        char **strings;         /* interned origins */
};

/* An empty tree: a root directory 0755 root:root. */
int tree_new(struct tree **ret, struct error *err) _must_check_;
void tree_free(struct tree *tree);
DEFINE_CLEANUP(struct tree, tree_free)
#define _cleanup_tree_ _cleanup_(tree_free_p)

/* A copy of s that lives as long as the tree; NULL when out of memory. */
const char *tree_intern(struct tree *tree, const char *s);

/* A new inode with no node yet (references 0). tree_inode_free() frees it when it was never added.
 */
struct tree_inode *tree_inode_new(mode_t mode, uint32_t uid, uint32_t gid);
void tree_inode_free(struct tree_inode *inode);
DEFINE_CLEANUP(struct tree_inode, tree_inode_free)
/* Gives up one reference; the last one frees the inode. For code that swaps a node's inode. */
void tree_inode_unref(struct tree_inode *inode);
/* Keeps xattrs sorted; replaces one of the same name; value NULL removes it. */
int tree_inode_set_xattr(struct tree_inode *inode, const char *name, const void *value, size_t size,
                         struct error *err) _must_check_;
/* Changes owner and mode (type bits of mode are ignored) and notes it in `changed`. */
void tree_inode_set_owner(struct tree_inode *inode, uint32_t uid, uint32_t gid);
void tree_inode_set_mode(struct tree_inode *inode, mode_t mode);
/* Replaces the content by a copy of data (CONTENT_MEMORY). */
int tree_inode_set_data(struct tree_inode *inode, const void *data, size_t size,
                        struct error *err) _must_check_;

/* The child of that name, or NULL. */
struct tree_node *tree_child(const struct tree_node *directory, const char *name);
/* The node at an absolute path, not following any symlink; NULL when absent. */
struct tree_node *tree_lookup(const struct tree *tree, const char *path);
/* The same, following symlinks inside the tree (also the last component); NULL when absent or when
 * there are too many links. */
struct tree_node *tree_resolve(const struct tree *tree, const char *path);

/* Adds a name for inode below directory; takes one reference. -EEXIST when the name is taken,
 * -EINVAL for a bad name ("", ".", "..", '/', too long), -ENOTDIR. */
int tree_link(struct tree_node *directory, const char *name, struct tree_inode *inode,
              struct tree_node **ret, struct error *err) _must_check_;
/* Makes one directory (0755 root:root). */
int tree_make_dir(struct tree_node *parent, const char *name, struct tree_node **ret,
                  struct error *err) _must_check_;
/* Makes missing directories of an absolute path (0755 root:root); returns the last one. Fails with
 * -ENOTDIR when a component is something else. */
int tree_make_dirs(struct tree *tree, const char *path, struct tree_node **ret,
                   struct error *err) _must_check_;
/* Puts a regular file with a copy of data at an absolute path, replacing a non-directory there;
 * parents are made. */
int tree_put_file(struct tree *tree, const char *path, const void *data, size_t size, mode_t mode,
                  const char *origin, struct error *err) _must_check_;
int tree_put_symlink(struct tree *tree, const char *path, const char *target, const char *origin,
                     struct error *err) _must_check_;
/* Removes the node and everything below. Never the root. */
void tree_remove(struct tree_node *node);
/* Moves a node to another directory under another name (-EEXIST when taken). */
int tree_move(struct tree_node *node, struct tree_node *directory, const char *name,
              struct error *err) _must_check_;

/* Pre-order successor of node within the subtree of `top` (start with node = top); NULL at the end.
 * The order is that of sorted names, so it is the same in every run. */
struct tree_node *tree_next(const struct tree_node *top, const struct tree_node *node);
/* The successor that skips what is below node: for walks that remove or prune. */
struct tree_node *tree_next_skip(const struct tree_node *top, const struct tree_node *node);
#define TREE_FOREACH(node, top)                                                                    \
        for (struct tree_node *node = (top); node; node = tree_next(top, node))

/* Absolute path of a node into buffer (TREE_PATH_MAX bytes); returns buffer, or "?" when too long.
 */
const char *tree_path(const struct tree_node *node, char *buffer);

/* Where contents that are OSTree objects come from; implemented by commit-object.c. */
struct content_store {
        /* Opens the content of an object for reading; returns the fd or a negative errno. */
        int (*open)(void *userdata, const struct sha256 *object, struct error *err);
        void *userdata;
};

/* An open content: either bytes in memory or an fd. */
struct content {
        int fd;
        const void *data;
        uint64_t size;
};

/* Opens the content of a regular file's inode. store may be NULL for trees without objects. */
int content_open(const struct tree_inode *inode, const struct content_store *store,
                 struct content *ret, struct error *err) _must_check_;
/* Reads exactly size bytes at offset; -ENODATA when the content is shorter. */
int content_read(const struct content *content, void *data, size_t size, uint64_t offset,
                 struct error *err) _must_check_;
/* Equal ones have equal contents: the name of an object, which costs nothing, else the bytes'
 * sha256. */
int content_identity(const struct tree_inode *inode, const struct content_store *store,
                     struct sha256 *ret, struct error *err) _must_check_;
/* Hashes path and identity of each regular file at and below top (NULL: none) that is wanted. */
int content_identities(struct tree_node *top, bool (*wants)(const struct tree_node *node),
                       const struct content_store *store, struct hasher *hasher,
                       struct error *err) _must_check_;
void content_close(struct content *content);
#define CONTENT_NULL                                                                               \
        {                                                                                          \
                .fd = -1                                                                           \
        }
#define _cleanup_content_ _cleanup_(content_close)
/* The whole content, NUL-terminated; -EFBIG beyond limit. */
int content_load(const struct tree_inode *inode, const struct content_store *store, size_t limit,
                 char **ret, size_t *ret_size, struct error *err) _must_check_;
