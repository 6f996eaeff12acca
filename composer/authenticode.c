/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See authenticode.h. The signature is a PKCS#7 SignedData whose content is
 *
 *   SpcIndirectDataContent ::= SEQUENCE {
 *     data SEQUENCE { type OID spcPEImageData,
 *                     value SEQUENCE { flags BIT STRING, file [0] { [2] { [0] "" } } } },
 *     messageDigest SEQUENCE { AlgorithmIdentifier sha256, OCTET STRING } }
 *
 * always of the same length, so it is a template here with the image's digest at its end. What the
 * RSA key signs are two attributes: the content's type, and the SHA-256 of the content without its
 * outermost header, as PKCS#7 (RFC 2315, 9.3) has it. A signing time, which others add, would make
 * every build different, and no firmware looks at it.
 *
 * Made in process rather than by sbsign or osslsigncode: a key in a token is found in the same way
 * as for root hashes; the build needs no file with an unsigned image for another program to read;
 * neither can be told to leave out the time. Both check what is made here (tests/cli), and what
 * they make is taken when signatures come from elsewhere. */

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include "authenticode.h"
#include "pe-certificate.h"
#include "sign-request.h"

#define SPC_INDIRECT_DATA "1.3.6.1.4.1.311.2.1.4"

enum {
        HEADER_SIZE = 2,
        CONTENT_PREFIX_SIZE = 46,
        CONTENT_SIZE = CONTENT_PREFIX_SIZE + SHA256_SIZE
};

static const uint8_t content_prefix[CONTENT_PREFIX_SIZE] = {
        0x30, 0x4c,                                           /* SpcIndirectDataContent */
        0x30, 0x17,                                           /* data */
        0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, /* spcPEImageData: */
        0x02, 0x01, 0x0f,                                     /* 1.3.6.1.4.1.311.2.1.15 */
        0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00, /* no flags, no file */
        0x30, 0x31,                                                       /* messageDigest */
        0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,             /* sha256: */
        0x03, 0x04, 0x02, 0x01, 0x05, 0x00, /* 2.16.840.1.101.3.4.2.1, NULL */
        0x04, 0x20,
};

DEFINE_CLEANUP(ASN1_OBJECT, ASN1_OBJECT_free)
DEFINE_CLEANUP(PKCS7, PKCS7_free)
DEFINE_CLEANUP(X509_SIG, X509_SIG_free)

/* ---- signing ---- */

/* The content as PKCS#7 wants it: of a type of its own. */
static PKCS7 *content_new(const uint8_t *der, ASN1_OBJECT *type)
{
        _cleanup_(PKCS7_free_p) PKCS7 *content = PKCS7_new();
        const uint8_t *p = der;

        if (!content)
                return NULL;
        content->type = OBJ_dup(type);
        content->d.other = d2i_ASN1_TYPE(NULL, &p, CONTENT_SIZE);
        return content->type && content->d.other ? TAKE_PTR(content) : NULL;
}

/* The attributes that are signed. */
static bool add_attributes(PKCS7_SIGNER_INFO *info, const uint8_t *der, const ASN1_OBJECT *type)
{
        ASN1_OBJECT *own = OBJ_dup(type); /* of the attribute, once it is in there */
        struct sha256 digest;

        if (!own || PKCS7_add_attrib_content_type(info, own) != 1) {
                ASN1_OBJECT_free(own);
                return false;
        }
        sha256_of(der + HEADER_SIZE, CONTENT_SIZE - HEADER_SIZE, &digest);
        return PKCS7_add1_attrib_digest(info, digest.bytes, SHA256_SIZE) == 1;
}

static bool sign_content(PKCS7 *p7, const struct signer *signer, const uint8_t *der,
                         ASN1_OBJECT *type)
{
        const int flags = PKCS7_NOATTR | PKCS7_NOSMIMECAP;
        PKCS7_SIGNER_INFO *info;
        PKCS7 *content;

        if (PKCS7_set_type(p7, NID_pkcs7_signed) != 1)
                return false;
        info = PKCS7_sign_add_signer(p7, signer->certificate, signer->key, EVP_sha256(), flags);
        if (!info || !add_attributes(info, der, type) || PKCS7_SIGNER_INFO_sign(info) != 1)
                return false;
        content = content_new(der, type);
        if (!content || PKCS7_set_content(p7, content) != 1) {
                PKCS7_free(content);
                return false;
        }
        return true;
}

int authenticode_make(const struct signer *signer, const struct sha256 *digest, char **ret,
                      size_t *ret_size, struct error *err)
{
        _cleanup_(ASN1_OBJECT_free_p) ASN1_OBJECT *type = OBJ_txt2obj(SPC_INDIRECT_DATA, 1);
        _cleanup_(PKCS7_free_p) PKCS7 *p7 = PKCS7_new();
        uint8_t content[CONTENT_SIZE], *der = NULL;
        int n;

        memcpy(content, content_prefix, CONTENT_PREFIX_SIZE);
        memcpy(content + CONTENT_PREFIX_SIZE, digest->bytes, SHA256_SIZE);
        if (!type || !p7 || !sign_content(p7, signer, content, type) ||
            (n = i2d_PKCS7(p7, &der)) <= 0)
                return signer_error(err, -EIO, "Authenticode signature");
        *ret = malloc((size_t)n);
        if (*ret)
                memcpy(*ret, der, (size_t)n);
        OPENSSL_free(der);
        *ret_size = (size_t)n;
        return *ret ? 0 : error_oom(err);
}

/* 1, or 0 when it is made elsewhere, and not yet. */
static int make_signature(const struct signer *signer, const char *name, const void *image,
                          size_t size, char **ret, size_t *ret_size, struct error *err)
{
        struct sha256 digest;
        int r = pe_digest(image, size, &digest, err);

        if (r < 0)
                return r;
        if (signer->requests)
                return sign_request(signer, SIGN_IMAGE, name, image, size, ret, ret_size, err);
        r = authenticode_make(signer, &digest, ret, ret_size, err);
        return r < 0 ? r : 1;
}

int authenticode_sign(const struct signer *signer, const char *name, const void *image, size_t size,
                      char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *signature = NULL;
        size_t signature_size;
        int r;

        r = make_signature(signer, name, image, size, &signature, &signature_size, err);
        if (r > 0)
                return pe_attach(image, size, signature, signature_size, ret, ret_size, err);
        if (r < 0)
                return r;
        *ret = malloc(size);
        if (!*ret)
                return error_oom(err);
        memcpy(*ret, image, size);
        *ret_size = size;
        return 0;
}

/* ---- verifying ---- */

static int rejected(struct error *err, const char *what)
{
        signer_forget_errors();
        return error_set(err, -EKEYREJECTED, "Authenticode signature: %s", what);
}

/* A header of a SEQUENCE; *p goes behind it, *size is what it holds. */
static bool enter_sequence(const uint8_t **p, long *size)
{
        long length;
        int tag, class;

        if (ASN1_get_object(p, &length, &tag, &class, *size) != V_ASN1_CONSTRUCTED ||
            tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
                return false;
        *size = length;
        return true;
}

/* The digest that the content names; false unless it is SHA-256. */
static bool content_digest(const uint8_t *p, long size, struct sha256 *ret)
{
        _cleanup_(X509_SIG_free_p) X509_SIG *info = NULL; /* what RFC 2315 calls DigestInfo */
        const uint8_t *const end = p + size, *data;
        const ASN1_OCTET_STRING *digest;
        const X509_ALGOR *algorithm;
        long data_size;

        data = p;
        data_size = size;
        if (!enter_sequence(&data, &data_size))
                return false;
        p = data + data_size;
        info = d2i_X509_SIG(NULL, &p, end - p);
        if (!info || p != end)
                return false;
        X509_SIG_get0(info, &algorithm, &digest);
        if (OBJ_obj2nid(algorithm->algorithm) != NID_sha256 ||
            ASN1_STRING_length(digest) != SHA256_SIZE)
                return false;
        memcpy(ret->bytes, ASN1_STRING_get0_data(digest), SHA256_SIZE);
        return true;
}

/* The content's bytes without their header, which are what is signed. */
static bool content_bytes(const PKCS7 *p7, const uint8_t **ret, long *ret_size)
{
        _cleanup_(ASN1_OBJECT_free_p) ASN1_OBJECT *type = OBJ_txt2obj(SPC_INDIRECT_DATA, 1);
        const PKCS7 *content;

        if (!type || !PKCS7_type_is_signed(p7) || !p7->d.sign || !p7->d.sign->contents)
                return false;
        content = p7->d.sign->contents;
        if (OBJ_cmp(content->type, type) != 0 || !content->d.other ||
            content->d.other->type != V_ASN1_SEQUENCE)
                return false;
        *ret = ASN1_STRING_get0_data(content->d.other->value.sequence);
        *ret_size = ASN1_STRING_length(content->d.other->value.sequence);
        return enter_sequence(ret, ret_size);
}

int authenticode_check(const void *pkcs7, size_t size, const struct sha256 *digest,
                       X509 *certificate, struct error *err)
{
        _cleanup_(PKCS7_free_p) PKCS7 *p7 = NULL;
        const uint8_t *p = pkcs7;
        struct sha256 named;
        long n;

        p7 = d2i_PKCS7(NULL, &p, (long)size);
        if (!p7 || !content_bytes(p7, &p, &n))
                return rejected(err, "not one of an image");
        if (!content_digest(p, n, &named))
                return rejected(err, "no SHA-256 of the image in it");
        if (!signer_signed(p7, p, (size_t)n, certificate))
                return rejected(err, "not by this certificate");
        if (!sha256_equal(&named, digest))
                return error_set(err, -EBADMSG, "Authenticode signature: of another image");
        return 0;
}

int authenticode_verify(const void *image, size_t size, X509 *certificate, struct error *err)
{
        size_t position = 0, n;
        struct sha256 digest;
        int result, r;
        const void *pkcs7;
        struct pe pe;

        r = pe_digest(image, size, &digest, err);
        if (r >= 0)
                r = pe_read(image, size, &pe, err);
        if (r < 0)
                return r;
        result = error_set(err, -ENODATA, "The image is not signed");
        while ((r = pe_certificate_next(image, &pe, &position, &pkcs7, &n, err)) > 0) {
                result = authenticode_check(pkcs7, n, &digest, certificate, err);
                if (result >= 0)
                        return 0;
        }
        return r < 0 ? r : result;
}
