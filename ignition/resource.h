/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a resource of the configuration stands for: source → decompress → verify → file or memory.
 */

#include "agent.h"
#include "sink.h"

/* Writes the resource's content at fd's position, which is the file's end. Without source nothing
 * is written. When it fails the file may hold a part. */
int resource_write(struct agent *a, const struct resource *resource, int fd,
                   struct error *err) _must_check_;
/* The same into memory, NUL-terminated, at most CONFIG_SIZE_MAX bytes. FETCH_OFFLINE (fetch.h) when
 * that needs the network and the agent is offline; FETCH_NOT_FOUND for an answer 404. */
int resource_text(struct agent *a, const struct resource *resource, char **ret, size_t *ret_size,
                  struct error *err) _must_check_;

/* gzip.c: a sink that decompresses (one or more gzip members) into the next. */
int gzip_open(struct sink *next, struct sink **ret, struct error *err) _must_check_;
/* To be called when there is no more: an end in the middle is an error. */
int gzip_finish(struct sink *gzip, struct error *err) _must_check_;
/* Back to the beginning. */
int gzip_restart(struct sink *gzip, struct error *err) _must_check_;
void gzip_close(struct sink *gzip);
DEFINE_CLEANUP(struct sink, gzip_close)
/* All at once. */
int gzip_decompress(const void *data, size_t size, struct sink *sink,
                    struct error *err) _must_check_;

/* checksum.c: a running sha256 or sha512 by its name in the configuration. */
enum { CHECKSUM_HEX_MAX = 129 };
int checksum_open(const char *function, void **ret, struct error *err) _must_check_;
int checksum_update(void *context, const void *data, size_t size, struct error *err) _must_check_;
int checksum_restart(void *context, struct error *err) _must_check_;
int checksum_hex(void *context, char ret[CHECKSUM_HEX_MAX], struct error *err) _must_check_;
void checksum_close(void *context);
