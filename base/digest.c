/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See digest.h. */

#include "digest.h"
#include "io.h"
#include "openssl.h"

enum { READ_SIZE = 64 * 1024 };

int hasher_init(struct hasher *h, struct error *err)
{
        const struct openssl *o = openssl();
        EVP_MD_CTX *context;
        int r = openssl_load(err);

        if (r < 0)
                return r;
        context = o->EVP_MD_CTX_new();
        if (!context)
                return error_oom(err);
        if (o->EVP_DigestInit_ex(context, o->EVP_sha256(), NULL) != 1) {
                o->EVP_MD_CTX_free(context);
                return error_set(err, -EIO, "OpenSSL: cannot start sha256");
        }
        h->context = context;
        return 0;
}

void hasher_update(struct hasher *h, const void *data, size_t size)
{
        if (h->context && openssl()->EVP_DigestUpdate(h->context, data, size) != 1)
                hasher_done(h);
}

int hasher_final(struct hasher *h, struct sha256 *ret, struct error *err)
{
        struct sha256 digest;

        if (!h->context || openssl()->EVP_DigestFinal_ex(h->context, digest.bytes, NULL) != 1)
                return error_set(err, -EIO, "OpenSSL: sha256 failed");
        *ret = digest;
        return 0;
}

void hasher_done(struct hasher *h)
{
        if (h->context)
                openssl()->EVP_MD_CTX_free(h->context);
        h->context = NULL;
}

void sha256_of(const void *data, size_t size, struct sha256 *ret)
{
        if (openssl_load(NULL) < 0 || !openssl()->SHA256(data, size, ret->bytes))
                abort();
}

void sha256_each(const void *data, size_t size, size_t count, struct sha256 *ret)
{
        const struct openssl *o = openssl();
        EVP_MD_CTX *context = openssl_load(NULL) < 0 ? NULL : o->EVP_MD_CTX_new();
        const EVP_MD *sha256 = context ? o->EVP_sha256() : NULL;
        const uint8_t *piece = data;

        if (!context)
                abort();
        for (; count > 0; count--, piece += size, ret++) {
                /* Only the first time it is looked up. */
                if (o->EVP_DigestInit_ex(context, TAKE_PTR(sha256), NULL) != 1 ||
                    o->EVP_DigestUpdate(context, piece, size) != 1 ||
                    o->EVP_DigestFinal_ex(context, ret->bytes, NULL) != 1)
                        abort();
        }
        o->EVP_MD_CTX_free(context);
}

int sha256_fd(int fd, uint64_t offset, uint64_t size, struct sha256 *ret, struct error *err)
{
        _cleanup_hasher_ struct hasher hasher = {};
        char buffer[READ_SIZE];
        int r = hasher_init(&hasher, err);

        if (r < 0)
                return r;
        while (size > 0) {
                size_t got;

                r = io_pread(fd, buffer, (size_t)MIN(size, (uint64_t)READ_SIZE), offset, &got, err);
                if (r < 0)
                        return r;
                if (got == 0 && size != UINT64_MAX && size > 0)
                        return error_set(err, -ENODATA, "file ends early");
                if (got == 0)
                        break;
                hasher_update(&hasher, buffer, got);
                offset += got;
                if (size != UINT64_MAX)
                        size -= got;
        }
        return hasher_final(&hasher, ret, err);
}

char *sha256_hex(const struct sha256 *s, char *ret)
{
        hex_encode(s->bytes, SHA256_SIZE, ret);
        return ret;
}
