/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See public-key.h. Linked to libcrypto directly, as signer.c is. */

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "public-key.h"

enum { KEY_BITS_MIN = 2048, KEY_BITS_MAX = 4096 };

DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

void public_key_done(struct public_key *k)
{
        EVP_PKEY_free(k->key);
        k->key = NULL;
}

int public_key_read(const char *text, size_t size, struct public_key *ret, struct error *err)
{
        _cleanup_public_key_ struct public_key k = {};
        _cleanup_(BIO_free_all_p) BIO *bio = NULL;
        int bits;

        if (size == 0 || size > PUBLIC_KEY_TEXT_MAX)
                return error_set(err, -EINVAL, "not a public key: %zu bytes", size);
        bio = BIO_new_mem_buf(text, (int)size);
        if (!bio)
                return error_oom(err);
        k.key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        ERR_clear_error();
        bits = k.key ? EVP_PKEY_get_bits(k.key) : 0;
        if (!k.key || !EVP_PKEY_is_a(k.key, "RSA") || bits < KEY_BITS_MIN || bits > KEY_BITS_MAX)
                return error_set(err, -EINVAL, "not the PEM text of an RSA key of %d to %d bits",
                                 KEY_BITS_MIN, KEY_BITS_MAX);
        *ret = TAKE_STRUCT(k);
        return 0;
}

int public_key_fingerprint(const struct public_key *k, struct sha256 *ret, struct error *err)
{
        uint8_t *der = NULL;
        int size = i2d_PublicKey(k->key, &der);

        if (size <= 0)
                return error_oom(err);
        sha256_of(der, (size_t)size, ret);
        OPENSSL_free(der);
        return 0;
}

int public_key_verify(const struct public_key *k, const void *data, size_t size,
                      const void *signature, size_t signature_size, struct error *err)
{
        _cleanup_(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
        bool good;

        if (!context)
                return error_oom(err);
        good = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, k->key) == 1 &&
               EVP_DigestVerify(context, signature, signature_size, data, size) == 1;
        ERR_clear_error();
        return good ? 0 : error_set(err, -EKEYREJECTED, "the signature is not by this key");
}
