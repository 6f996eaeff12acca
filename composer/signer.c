/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See signer.h: what keys do. Linked to libcrypto directly: who signs needs it anyway. A signer
 * whose key is elsewhere asks for its signatures (sign-request.h); until they are there, empty ones
 * stand in their places. */

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#include "sign-request.h"
#include "signer.h"

DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_CLEANUP(PKCS7, PKCS7_free)

int signer_error(struct error *err, int code, const char *what)
{
        char reason[256];

        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        return error_set(err, code, "%s: %s", what, reason);
}

void signer_forget_errors(void)
{
        ERR_clear_error();
}

int signer_identity(const struct signer *s, struct sha256 *ret, struct error *err)
{
        uint8_t *der = NULL;
        int size = s->certificate ? i2d_X509(s->certificate, &der) : i2d_PUBKEY(s->key, &der);

        if (size <= 0)
                return signer_error(err, -EIO, "public half of a key");
        sha256_of(der, (size_t)size, ret);
        OPENSSL_free(der);
        return 0;
}

/* A signature from elsewhere, or an empty one. */
static int request(const struct signer *s, enum sign_kind kind, const char *name, const void *data,
                   size_t size, char **ret, size_t *ret_size, struct error *err)
{
        int r = sign_request(s, kind, name, data, size, ret, ret_size, err);

        if (r != 0)
                return r < 0 ? r : 0;
        *ret = calloc(1, 1);
        *ret_size = 0;
        return *ret ? 0 : error_oom(err);
}

int signer_sign(const struct signer *s, const void *data, size_t size, char **ret, size_t *ret_size,
                struct error *err)
{
        _cleanup_(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
        _cleanup_free_ char *signature = malloc((size_t)EVP_PKEY_get_size(s->key));
        size_t n = (size_t)EVP_PKEY_get_size(s->key);

        if (s->requests)
                return request(s, SIGN_RAW, "pcr-policy", data, size, ret, ret_size, err);
        if (!context || !signature)
                return error_oom(err);
        if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, s->key) != 1 ||
            EVP_DigestSign(context, (uint8_t *)signature, &n, data, size) != 1)
                return signer_error(err, -EIO, "signing");
        *ret = TAKE_PTR(signature);
        *ret_size = n;
        return 0;
}

static int copy_bytes(const void *data, size_t size, char **ret, size_t *ret_size,
                      struct error *err)
{
        *ret = malloc(size);
        if (!*ret)
                return error_oom(err);
        memcpy(*ret, data, size);
        if (ret_size)
                *ret_size = size;
        return 0;
}

/* What a BIO in memory holds, as bytes of the caller's. */
static int take_bytes(BIO *bio, char **ret, size_t *ret_size, struct error *err)
{
        char *data;
        long size = BIO_get_mem_data(bio, &data);

        return size <= 0 ? error_oom(err) : copy_bytes(data, (size_t)size, ret, ret_size, err);
}

int signer_pkcs7(const struct signer *s, const void *data, size_t size, bool attached, char **ret,
                 size_t *ret_size, struct error *err)
{
        const unsigned flags = CMS_BINARY | CMS_NOATTR | CMS_NOCERTS | CMS_NOSMIMECAP |
                               CMS_PARTIAL | (attached ? 0 : CMS_DETACHED);
        _cleanup_(CMS_ContentInfo_free_p) CMS_ContentInfo *cms = NULL;
        _cleanup_(BIO_free_all_p) BIO *in = BIO_new_mem_buf(data, (int)size);
        _cleanup_(BIO_free_all_p) BIO *out = BIO_new(BIO_s_mem());

        if (s->requests)
                return request(s, attached ? SIGN_ATTACHED : SIGN_DETACHED,
                               attached ? "ipe-policy" : "root-hash", data, size, ret, ret_size,
                               err);
        if (!in || !out)
                return error_oom(err);
        cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
        if (!cms || !CMS_add1_signer(cms, s->certificate, s->key, EVP_sha256(), flags) ||
            CMS_final(cms, in, NULL, flags) != 1 || i2d_CMS_bio(out, cms) != 1)
                return signer_error(err, -EIO, "PKCS#7 signature");
        return take_bytes(out, ret, ret_size, err);
}

int signer_signed_data(const struct signer *s, const void *data, size_t size, char **ret,
                       size_t *ret_size, struct error *err)
{
        const int flags = PKCS7_BINARY | PKCS7_DETACHED | PKCS7_NOATTR | PKCS7_PARTIAL;
        _cleanup_(PKCS7_free_p) PKCS7 *p7 = PKCS7_sign(NULL, NULL, NULL, NULL, flags);
        _cleanup_(BIO_free_all_p) BIO *in = BIO_new_mem_buf(data, (int)size);
        uint8_t *der = NULL;
        int n, r;

        if (!p7 || !in)
                return error_oom(err);
        if (!PKCS7_sign_add_signer(p7, s->certificate, s->key, EVP_sha256(), flags) ||
            PKCS7_final(p7, in, flags) != 1 || (n = i2d_PKCS7_SIGNED(p7->d.sign, &der)) <= 0)
                return signer_error(err, -EIO, "PKCS#7 signature");
        r = copy_bytes(der, (size_t)n, ret, ret_size, err);
        OPENSSL_free(der);
        return r;
}

int signer_certificate(const struct signer *s, char **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *out = BIO_new(BIO_s_mem());

        if (!out)
                return error_oom(err);
        if (PEM_write_bio_X509(out, s->certificate) != 1 || BIO_write(out, "", 1) != 1)
                return signer_error(err, -EIO, "certificate");
        return take_bytes(out, ret, NULL, err);
}

int signer_public_key(const struct signer *s, char **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *out = BIO_new(BIO_s_mem());

        if (!out)
                return error_oom(err);
        if (PEM_write_bio_PUBKEY(out, s->key) != 1 || BIO_write(out, "", 1) != 1)
                return signer_error(err, -EIO, "public key");
        return take_bytes(out, ret, NULL, err);
}

/* ---- verifying ---- */

static int rejected(struct error *err, const char *what)
{
        ERR_clear_error();
        return error_set(err, -EKEYREJECTED, "%s", what);
}

int signer_verify(const struct signer *s, const void *data, size_t size, const void *signature,
                  size_t signature_size, struct error *err)
{
        _cleanup_(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();

        if (!context)
                return error_oom(err);
        if (EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, s->key) != 1 ||
            EVP_DigestVerify(context, signature, signature_size, data, size) != 1)
                return rejected(err, "not a signature of this by this key");
        return 0;
}

static bool is_signer(const PKCS7_SIGNER_INFO *info, X509 *certificate)
{
        const PKCS7_ISSUER_AND_SERIAL *who = info->issuer_and_serial;

        return X509_NAME_cmp(who->issuer, X509_get_issuer_name(certificate)) == 0 &&
               ASN1_INTEGER_cmp(who->serial, X509_get0_serialNumber(certificate)) == 0;
}

/* Not by PKCS7_verify(), which forgets memory when what names the digests is broken. */
bool signer_signed(PKCS7 *p7, const void *data, size_t size, X509 *certificate)
{
        _cleanup_(BIO_free_all_p) BIO *in = BIO_new_mem_buf(data, (int)size);
        _cleanup_(BIO_free_all_p) BIO *digest = BIO_new(BIO_f_md());
        uint8_t sink[4096];

        if (!in || !digest || BIO_set_md(digest, EVP_sha256()) <= 0)
                return false;
        BIO_push(digest, TAKE_PTR(in));
        while (BIO_read(digest, sink, sizeof(sink)) > 0)
                ;
        for (int i = 0; i < sk_PKCS7_SIGNER_INFO_num(p7->d.sign->signer_info); i++) {
                PKCS7_SIGNER_INFO *info = sk_PKCS7_SIGNER_INFO_value(p7->d.sign->signer_info, i);

                if (is_signer(info, certificate) &&
                    PKCS7_signatureVerify(digest, p7, info, certificate) == 1)
                        return true;
        }
        return false;
}
