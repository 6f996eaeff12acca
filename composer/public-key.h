/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The public half of an RSA key, as PEM text: what a UKI carries in .pcrpkey. */

#include <openssl/types.h>

#include "digest.h"

struct public_key {
        EVP_PKEY *key;
};

enum { PUBLIC_KEY_TEXT_MAX = 16 * 1024 /* 4096 bits need 800 bytes */ };

/* -EINVAL unless the text is an RSA key of 2048 to 4096 bits. */
int public_key_read(const char *text, size_t size, struct public_key *ret,
                    struct error *err) _must_check_;
void public_key_done(struct public_key *k);
#define _cleanup_public_key_ _cleanup_(public_key_done)

/* sha256 of the key alone in DER (RSAPublicKey), which is how systemd names a key. */
int public_key_fingerprint(const struct public_key *k, struct sha256 *ret,
                           struct error *err) _must_check_;
/* -EKEYREJECTED unless the signature (PKCS#1 v1.5) is of the data's SHA-256, by this key. */
int public_key_verify(const struct public_key *k, const void *data, size_t size,
                      const void *signature, size_t signature_size, struct error *err) _must_check_;
