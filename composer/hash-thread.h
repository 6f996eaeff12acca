/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A sha256 that runs on a thread of its own, while whoever adds to it reads and writes. */

#include "digest.h"

struct hash_thread;

int hash_thread_new(struct hash_thread **ret, struct error *err) _must_check_;
/* Waits for the piece before, then has this one hashed: it must stay as it is until the next call
 * of this function (or of end or free) returns. */
void hash_thread_add(struct hash_thread *h, const void *data, size_t size);
/* Waits for the last piece; the digest of all. */
int hash_thread_end(struct hash_thread *h, struct sha256 *ret, struct error *err) _must_check_;
void hash_thread_free(struct hash_thread *h);
DEFINE_CLEANUP(struct hash_thread, hash_thread_free)
