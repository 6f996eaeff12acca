/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signatures of an update site's files besides its repository's, each in a file beside the one it
 * is of (file-seal.h). */

#include "commit-site.h"
#include "file-seal.h"

/* Whether one of our keys signed these bytes. */
bool site_seal_holds(const struct site_keys *keys, const struct file_seal *seal, const void *data,
                     size_t size);
/* The seal of a file; a bad one is an error, too. */
int site_seal_load(int dir_fd, const char *name, uint64_t largest, struct file_seal *ret,
                   struct error *err) _must_check_;
/* Every key's signature, unless they are there: ed25519 makes the same one each time. */
int site_seal_save(const struct site_keys *keys, int dir_fd, const char *name, const void *data,
                   size_t size, bool *ret_changed, struct error *err) _must_check_;
