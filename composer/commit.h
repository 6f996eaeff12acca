/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* OSTree: a bare-user repository that keeps packages and images as commits. The commit*.c files are
 * the only ones that include <ostree.h> and GLib. Every function may be called from several threads
 * between repo_begin() and repo_end(); errors are `struct error`, never GError. */

#include "strv.h"
#include "tree.h"

struct repo;

/* Opens the bare-user repository at path, creating it when `create`. */
int repo_open(const char *path, bool create, struct repo **ret, struct error *err) _must_check_;
void repo_free(struct repo *repo);
DEFINE_CLEANUP(struct repo, repo_free)
#define _cleanup_repo_ _cleanup_(repo_free_p)

/* A transaction: objects become durable and refs visible at repo_end(); repo_abort() forgets refs.
 * At most one at a time per struct repo. */
int repo_begin(struct repo *repo, struct error *err) _must_check_;
int repo_end(struct repo *repo, struct error *err) _must_check_;
void repo_abort(struct repo *repo);
/* repo_end() on a thread of its own, as it waits for the disk most of the time. Until repo_wait()
 * or repo_begin(), which give its result, the repository does nothing but open contents. */
int repo_end_behind(struct repo *repo, struct error *err) _must_check_;
int repo_wait(struct repo *repo, struct error *err) _must_check_;

/* Reads up to size bytes; returns the number (0 at the end) or a negative errno. */
typedef ssize_t (*repo_read_fn)(void *userdata, void *data, size_t size, struct error *err);

/* Streams one regular file's content into the repository as an object with the inode's owner, mode
 * and xattrs; inode->size must be right. Sets inode->kind = CONTENT_OBJECT and inode->object. */
int repo_write_content(struct repo *repo, struct tree_inode *inode, repo_read_fn read,
                       void *userdata, struct error *err) _must_check_;

/* What a commit carries besides the tree. All strings borrowed. */
struct commit_info {
        const char *subject;     /* one line */
        uint64_t timestamp;      /* seconds since the epoch */
        const char *const *keys; /* metadata: string keys and values, NULL-terminated pairs */
        const char *bytes_key;   /* metadata that is no text; NULL: none */
        const void *bytes;
        size_t bytes_size;
};

/* Writes what is not yet an object (MEMORY, PATH, changed OBJECT inodes; symlinks), all directory
 * objects and a commit; sets ref (may be NULL) to it. Contents become CONTENT_OBJECT with
 * `changed` false in the tree, and equal files one inode, as repo_load_tree() gives them. Device
 * nodes, sockets and fifos are refused (-EOPNOTSUPP): OSTree cannot hold them. ret_root is the
 * dirtree+dirmeta identity: sha256 over both checksums; equal roots mean equal trees. */
int repo_commit_tree(struct repo *repo, struct tree *tree, const char *ref,
                     const struct commit_info *info, struct sha256 *ret_commit,
                     struct sha256 *ret_root, struct error *err) _must_check_;

/* Another commit of the same tree, with more to say about it: metadata and a ref. */
int repo_seal(struct repo *repo, const struct sha256 *commit, const char *ref,
              const struct commit_info *info, struct sha256 *ret, struct error *err) _must_check_;
/* The root identity that repo_commit_tree() gave for the tree of an existing commit. */
int repo_root(struct repo *repo, const struct sha256 *commit, struct sha256 *ret,
              struct error *err) _must_check_;

/* Loads the tree of a commit (ref or checksum). Files with equal checksums that are not empty share
 * one inode, as in `ostree checkout`: that is how hard links survive a commit. */
int repo_load_tree(struct repo *repo, const char *ref_or_checksum, struct tree **ret,
                   struct error *err) _must_check_;
/* The same tree, or one that repo_commit_tree() has written, as bytes, which are read in a tenth of
 * the time. -EBADMSG: damaged; -ENOENT: a content is not in the repository any more. */
void tree_record(const struct tree *tree, struct buffer *ret);
int repo_tree_of_record(struct repo *repo, const void *record, size_t size, struct tree **ret,
                        struct error *err) _must_check_;
/* Resolves a ref or checksum to an existing commit; -ENOENT when absent (err then set too). */
int repo_resolve(struct repo *repo, const char *ref_or_checksum, struct sha256 *ret,
                 struct error *err) _must_check_;
/* One string of a commit's metadata; -ENODATA when absent. Caller frees. */
int repo_metadata(struct repo *repo, const struct sha256 *commit, const char *key, char **ret,
                  struct error *err) _must_check_;

/* The same of bytes. */
int repo_metadata_bytes(struct repo *repo, const struct sha256 *commit, const char *key, char **ret,
                        size_t *ret_size, struct error *err) _must_check_;

/* Objects of this repository as contents. */
struct content_store repo_contents(struct repo *repo);
