/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sha256 and sha512 through OpenSSL, chosen by the prefix of "sha512-<hex>". */

#include "digest.h"
#include "openssl.h"
#include "resource.h"

static const EVP_MD *find(const char *function)
{
        if (startswith(function, "sha512-"))
                return openssl()->EVP_sha512();
        return startswith(function, "sha256-") ? openssl()->EVP_sha256() : NULL;
}

int checksum_open(const char *function, void **ret, struct error *err)
{
        const struct openssl *o = openssl();
        EVP_MD_CTX *context;
        const EVP_MD *md;
        int r = openssl_load(err);

        if (r < 0)
                return r;
        md = find(function);
        if (!md)
                return error_set(err, -EINVAL, "unrecognized hash function");
        context = o->EVP_MD_CTX_new();
        if (!context || o->EVP_DigestInit_ex(context, md, NULL) != 1) {
                o->EVP_MD_CTX_free(context);
                return error_set(err, -EIO, "OpenSSL: cannot start a digest");
        }
        *ret = context;
        return 0;
}

int checksum_update(void *context, const void *data, size_t size, struct error *err)
{
        if (openssl()->EVP_DigestUpdate(context, data, size) != 1)
                return error_set(err, -EIO, "OpenSSL: digest failed");
        return 0;
}

int checksum_restart(void *context, struct error *err)
{
        if (openssl()->EVP_DigestInit_ex(context, NULL, NULL) != 1)
                return error_set(err, -EIO, "OpenSSL: cannot start a digest");
        return 0;
}

int checksum_hex(void *context, char ret[CHECKSUM_HEX_MAX], struct error *err)
{
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size;

        if (openssl()->EVP_DigestFinal_ex(context, digest, &size) != 1 ||
            2 * size >= CHECKSUM_HEX_MAX)
                return error_set(err, -EIO, "OpenSSL: digest failed");
        hex_encode(digest, size, ret);
        return 0;
}

void checksum_close(void *context)
{
        if (context)
                openssl()->EVP_MD_CTX_free(context);
}
