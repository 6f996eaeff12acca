/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Verified texts: a clear-signed document in, what was signed out, by gpgv and a keyring file. */

#include "error.h"

/* Checks the document with gpgv and returns the signed text (caller frees), never anything outside
 * the signature. cache_path and cache_fd are one directory (absolute path and fd); below it are
 * tmp/, for gpgv's files, and metadata/, where the verified text is kept as
 * "<sha256 of document and keyring>.Release": the same bytes under the same keyring are not checked
 * again. -EBADMSG: no good signature, or a bad one. */
int clearsigned_verify(const char *cache_path, int cache_fd, const char *keyring,
                       const char *document, size_t size, char **ret, size_t *ret_size,
                       struct error *err) _must_check_;
