/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Certificate authorities that a configuration brings besides the system's. */

#include "error.h"

struct authorities;

/* Adds the certificates of a PEM bundle (*list may be NULL at first). A bundle without one, or with
 * anything else in it, is refused. */
int authorities_add(struct authorities **list, const char *pem, size_t size,
                    struct error *err) _must_check_;
/* Makes a TLS client (OpenSSL's SSL_CTX) trust them, besides those it knows. */
bool authorities_trust(const struct authorities *list, void *ssl_ctx);
void authorities_free(struct authorities *list);
DEFINE_CLEANUP(struct authorities, authorities_free)
