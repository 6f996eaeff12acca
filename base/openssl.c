/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See openssl.h. */

#include <pthread.h>

#include "library.h"
#include "openssl.h"

#define OPENSSL_LIBRARY "libcrypto.so.3"
#define SYMBOL(name_)   LIBRARY_SYMBOL(openssl, "", name_)

LIBRARY_NOTE("openssl", "Digests and certificates", OPENSSL_LIBRARY);

static const struct library_symbol symbols[] = {
        SYMBOL(SHA256),
        SYMBOL(EVP_sha256),
        SYMBOL(EVP_sha512),
        SYMBOL(EVP_MD_CTX_new),
        SYMBOL(EVP_MD_CTX_free),
        SYMBOL(EVP_DigestInit_ex),
        SYMBOL(EVP_DigestUpdate),
        SYMBOL(EVP_DigestFinal_ex),
        SYMBOL(HMAC),
        SYMBOL(EVP_PKEY_new_raw_private_key),
        SYMBOL(EVP_PKEY_new_raw_public_key),
        SYMBOL(EVP_PKEY_get_raw_public_key),
        SYMBOL(EVP_PKEY_free),
        SYMBOL(EVP_DigestSignInit),
        SYMBOL(EVP_DigestSign),
        SYMBOL(EVP_DigestVerifyInit),
        SYMBOL(EVP_DigestVerify),
        SYMBOL(RAND_priv_bytes),
        SYMBOL(BIO_new_mem_buf),
        SYMBOL(BIO_ctrl),
        SYMBOL(BIO_free),
        SYMBOL(PEM_read_bio),
        SYMBOL(CRYPTO_free),
        SYMBOL(ERR_clear_error),
        SYMBOL(d2i_X509),
        SYMBOL(X509_free),
        SYMBOL(X509_STORE_add_cert),
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct openssl functions;
static struct error failure;
static int code;

static void load(void)
{
        code = library_load(OPENSSL_LIBRARY, symbols, ARRAY_SIZE(symbols), &functions, &failure);
}

int openssl_load(struct error *err)
{
        pthread_once(&once, load);
        if (code < 0 && err)
                *err = failure;
        return code;
}

const struct openssl *openssl(void)
{
        return &functions;
}
