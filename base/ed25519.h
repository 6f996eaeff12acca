/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ed25519 signatures (RFC 8032) through OpenSSL. Keys are written as libostree writes them: one
 * line of base64, 32 bytes of a public key, 64 of a secret one (the seed, then the public key). */

#include "error.h"

enum {
        ED25519_KEY_SIZE = 32,
        ED25519_SECRET_SIZE = 64,
        ED25519_SIGNATURE_SIZE = 64,
        ED25519_PUBLIC_TEXT_SIZE = 45, /* with NUL */
        ED25519_SECRET_TEXT_SIZE = 89,
};

struct ed25519_public {
        uint8_t bytes[ED25519_KEY_SIZE];
};

struct ed25519_secret {
        uint8_t bytes[ED25519_SECRET_SIZE];
};

struct ed25519_signature {
        uint8_t bytes[ED25519_SIGNATURE_SIZE];
};

/* A new key; wipe it when it is no longer needed (explicit_bzero). */
int ed25519_generate(struct ed25519_secret *ret, struct error *err) _must_check_;
void ed25519_public_of(const struct ed25519_secret *secret, struct ed25519_public *ret);

int ed25519_sign(const struct ed25519_secret *secret, const void *data, size_t size,
                 struct ed25519_signature *ret, struct error *err) _must_check_;
/* 0, or -EKEYREJECTED (not described) when it is not this key's signature of the data. */
int ed25519_verify(const struct ed25519_public *key, const void *data, size_t size,
                   const struct ed25519_signature *signature) _must_check_;

/* Text forms; parsing takes exactly what formatting makes, or -EINVAL. ret has *_TEXT_SIZE bytes.
 */
char *ed25519_public_text(const struct ed25519_public *key, char *ret);
char *ed25519_secret_text(const struct ed25519_secret *secret, char *ret);
int ed25519_public_parse(const char *text, struct ed25519_public *ret) _must_check_;
/* -EINVAL also when the second half is not the public key of the first. */
int ed25519_secret_parse(const char *text, struct ed25519_secret *ret) _must_check_;
