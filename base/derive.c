/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See derive.h. */

#include "derive.h"
#include "openssl.h"

void derive_uuid(const struct sha256 *seed, const char *role, struct uuid *ret)
{
        const struct openssl *o = openssl();
        uint8_t mac[SHA256_SIZE] = {};

        if (openssl_load(NULL) < 0 || !o->HMAC(o->EVP_sha256(), seed->bytes, SHA256_SIZE,
                                               (const uint8_t *)role, strlen(role), mac, NULL))
                abort();
        memcpy(ret->bytes, mac, UUID_SIZE);
        ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x40);
        ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
}
