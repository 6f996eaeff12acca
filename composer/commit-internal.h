/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the commit*.c files share: commit.c writes trees as commits, commit-object.c stores and
 * loads single objects, commit-load.c reads commits. Only they include this header, and with it
 * libostree and GLib. */

#include <ostree.h>
#include <pthread.h>
#include <stdatomic.h>

#undef MIN /* ours evaluate their arguments once */
#undef MAX

#include "background.h"
#include "commit.h"

enum { COMMIT_DEPTH_MAX = TREE_PATH_MAX / 2 };

struct repo {
        OstreeRepo *ostree;
        int fd;
        int unsynced_fd; /* while there is a transaction, see commit-unsynced.c */
        bool in_transaction;
        struct background *behind;
        struct background *ahead;      /* syncs while objects are written */
        atomic_uint_fast64_t unsynced; /* bytes of them */
        atomic_bool syncing;
        pthread_mutex_t refs_lock;
};

/* A directory's two objects. */
struct directory {
        struct sha256 tree, meta;
};

/* The one place where a GError becomes ours; returns the code. */
int gerror_set(struct error *err, const GError *error);

/* A floating "ay", and a referenced "a(ayay)" as libostree sorts and hashes it. */
GVariant *bytes_variant(const void *data, size_t size);
GVariant *xattrs_variant(const struct tree_inode *inode);

/* Writes a file or symlink whose bytes are in memory, unless the object is there. */
int object_write(struct repo *repo, const struct tree_inode *inode, const void *data, size_t size,
                 struct sha256 *ret, struct error *err) _must_check_;
/* The inode's content is from now on the object's. */
void object_become(struct tree_inode *inode, const struct sha256 *object);

/* Whether there is such a content, which nobody opens: -ENOENT. */
int object_present(struct repo *repo, const struct sha256 *object, struct error *err) _must_check_;

/* A dirtree, dirmeta or commit object; takes the floating variant. */
int object_write_metadata(struct repo *repo, OstreeObjectType type, GVariant *variant,
                          struct sha256 *ret, struct error *err) _must_check_;
int object_load(struct repo *repo, OstreeObjectType type, const struct sha256 *object,
                GVariant **ret, struct error *err) _must_check_;

/* Around the writing of objects: notes in the repository that some are not on disk yet, and when
 * the note of an earlier boot is found, first removes the objects that did not get there. */
int unsynced_begin(struct repo *repo, struct error *err) _must_check_;
/* So many bytes more have been written; now and then the file system is synced beside that, which
 * leaves less to wait for at the end. Several threads may. */
void unsynced_add(struct repo *repo, uint64_t size);
/* Waits for the sync that is under way; -EIO and so on when one has failed. */
int unsynced_wait(struct repo *repo, struct error *err) _must_check_;
/* All is on disk (`synced`), or this writer gives up. */
void unsynced_end(struct repo *repo, bool synced);

/* The root directory's objects of a commit. */
int commit_root(struct repo *repo, const struct sha256 *commit, struct directory *ret,
                struct error *err) _must_check_;
/* Files that are the same object become one inode: whoever loads the commit cannot tell them from
 * hard links, and the image must be the same for him. */
void commit_share_inodes(struct tree *tree);
