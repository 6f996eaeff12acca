/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that an update changes on a disk, and the only way to change it: the idle slot's three
 * partitions, the partition table, and files in the ESP's EFI/Linux. Each call is one event in a
 * stream of writes and barriers that an observer sees: the proof of power cuts replays every prefix
 * of it, and every order between barriers that hardware may choose.
 *
 * Writes are not ordered but by store_flush() of their target; a file's bytes are durable after
 * store_file_sync(), its name after store_names_sync(). */

#include "error.h"

enum store_target {
        STORE_USR,       /* the idle slot's image */
        STORE_TREE,      /* its hash tree */
        STORE_SIGNATURE, /* of its root hash */
        STORE_TABLE,     /* the whole disk: the GPT and its backup */
        _STORE_TARGET_MAX,
};

enum store_operation {
        STORE_WRITE,       /* target, offset, data, size */
        STORE_FLUSH,       /* target */
        STORE_FILE_WRITE,  /* name, offset, data, size: creates the file */
        STORE_FILE_SYNC,   /* name */
        STORE_FILE_RENAME, /* name → to, over what is there */
        STORE_FILE_REMOVE, /* name */
        STORE_NAMES_SYNC,
};

struct store_event {
        enum store_operation operation;
        enum store_target target;
        uint64_t offset, size;
        const void *data;
        const char *name, *to;
};

/* A range of a device or file; writes outside it are refused (-ERANGE). */
struct store_range {
        int fd; /* -1: nothing of this kind is changed */
        uint64_t offset, size;
};

struct store {
        struct store_range targets[_STORE_TARGET_MAX];
        int entries_fd; /* directory EFI/Linux of the ESP; -1: none */
        /* Before each change; a failure of its own is the change's. NULL: nobody watches. */
        int (*observe)(void *userdata, const struct store_event *event, struct error *err);
        void *userdata;
};

/* A store of nothing; for those who fill one in and want store_done() to close what is there. */
#define STORE_NULL                                                                                 \
        {                                                                                          \
                .targets = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 }, { .fd = -1 } },             \
                .entries_fd = -1                                                                   \
        }

int store_write(struct store *s, enum store_target target, uint64_t offset, const void *data,
                uint64_t size, struct error *err) _must_check_;
int store_flush(struct store *s, enum store_target target, struct error *err) _must_check_;
int store_read(const struct store *s, enum store_target target, uint64_t offset, void *data,
               uint64_t size, struct error *err) _must_check_;

/* Files by their name in EFI/Linux; a name with a slash is refused (-EINVAL). Reading tells how
 * much there is (less than `size` at the end), and -ENOENT when there is no such file. */
int store_file_write(struct store *s, const char *name, uint64_t offset, const void *data,
                     uint64_t size, struct error *err) _must_check_;
int store_file_read(const struct store *s, const char *name, uint64_t offset, void *data,
                    uint64_t size, size_t *ret_size, struct error *err) _must_check_;
int store_file_sync(struct store *s, const char *name, struct error *err) _must_check_;
int store_file_rename(struct store *s, const char *name, const char *to,
                      struct error *err) _must_check_;
/* An absent file is fine. */
int store_file_remove(struct store *s, const char *name, struct error *err) _must_check_;
int store_names_sync(struct store *s, struct error *err) _must_check_;
/* Closes the descriptors: each target has one of its own. */
void store_done(struct store *s);
#define _cleanup_store_ _cleanup_(store_done)
