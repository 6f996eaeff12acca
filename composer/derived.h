/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Results that cost time, kept in the cache as derived/<name>, where the name holds the digest of
 * all they follow from. An entry carries its own digest: one that is cut off or damaged is as good
 * as none. */

#include "error.h"
#include "strv.h"

/* 1: *ret holds the entry (caller frees), and it counts as used now; 0: there is no sound one of at
 * most `limit` bytes. */
int derived_load(int cache_fd, const char *name, size_t limit, char **ret, size_t *ret_size,
                 struct error *err) _must_check_;
/* The same, of what is only copied on: *ret is the entry open for reading, in which *ret_size bytes
 * are the result; caller closes. */
int derived_open(int cache_fd, const char *name, uint64_t limit, int *ret, uint64_t *ret_size,
                 struct error *err) _must_check_;
int derived_keep(int cache_fd, const char *name, const void *data, size_t size,
                 struct error *err) _must_check_;

/* Several files in one entry: "NAME SIZE\n" and the bytes, for each. A failure to append shows in
 * the buffer. */
void packed_append(struct buffer *b, const char *name, const void *data, size_t size);

/* One of them; points into the entry. */
struct packed_file {
        char name[256];
        const char *data;
        size_t size;
};

/* Takes the next one at *at; 0 at the end, -EBADMSG when it is none. */
int packed_next(const char **at, const char *end, struct packed_file *ret,
                struct error *err) _must_check_;
