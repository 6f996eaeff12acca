/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libcrypto, opened when somebody needs it: loading it takes longer than most runs of the agent,
 * which often do without. openssl.c alone names the library. */

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "error.h"

struct openssl {
        __typeof__(SHA256) *SHA256;
        __typeof__(EVP_sha256) *EVP_sha256;
        __typeof__(EVP_sha512) *EVP_sha512;
        __typeof__(EVP_MD_CTX_new) *EVP_MD_CTX_new;
        __typeof__(EVP_MD_CTX_free) *EVP_MD_CTX_free;
        __typeof__(EVP_DigestInit_ex) *EVP_DigestInit_ex;
        __typeof__(EVP_DigestUpdate) *EVP_DigestUpdate;
        __typeof__(EVP_DigestFinal_ex) *EVP_DigestFinal_ex;
        __typeof__(EVP_PKEY_new_raw_private_key) *EVP_PKEY_new_raw_private_key;
        __typeof__(EVP_PKEY_new_raw_public_key) *EVP_PKEY_new_raw_public_key;
        __typeof__(EVP_PKEY_get_raw_public_key) *EVP_PKEY_get_raw_public_key;
        __typeof__(EVP_PKEY_free) *EVP_PKEY_free;
        __typeof__(EVP_DigestSignInit) *EVP_DigestSignInit;
        __typeof__(EVP_DigestSign) *EVP_DigestSign;
        __typeof__(EVP_DigestVerifyInit) *EVP_DigestVerifyInit;
        __typeof__(EVP_DigestVerify) *EVP_DigestVerify;
        __typeof__(RAND_priv_bytes) *RAND_priv_bytes;
        __typeof__(HMAC) *HMAC;
        __typeof__(BIO_new_mem_buf) *BIO_new_mem_buf;
        __typeof__(BIO_ctrl) *BIO_ctrl;
        __typeof__(BIO_free) *BIO_free;
        __typeof__(PEM_read_bio) *PEM_read_bio;
        __typeof__(CRYPTO_free) *CRYPTO_free;
        __typeof__(ERR_clear_error) *ERR_clear_error;
        __typeof__(d2i_X509) *d2i_X509;
        __typeof__(X509_free) *X509_free;
        __typeof__(X509_STORE_add_cert) *X509_STORE_add_cert;
};

/* Opens the library when that has not been done. From any thread. */
int openssl_load(struct error *err) _must_check_;
/* The functions, after that. */
const struct openssl *openssl(void);
