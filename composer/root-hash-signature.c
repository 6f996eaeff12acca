/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See root-hash-signature.h. What is signed is the text of the root hash as it stands in
 * device-mapper's table, lower-case hex digits without a line end: the kernel takes it from there
 * (drivers/md/dm-verity-verify-sig.c).
 *
 * The kernel finds the certificate by issuer and serial number, asks neither for its dates nor for
 * its uses, and follows no chain: so does pkcs7_verify(). */

#include <openssl/cms.h>
#include <openssl/err.h>

#include "root-hash-signature.h"

DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

static int sign_text(const struct signer *signer, const char *text, bool attached,
                     struct verity_blob *ret, struct error *err)
{
        return signer_pkcs7(signer, text, strlen(text), attached, &ret->data, &ret->size, err);
}

int root_hash_sign(const struct signer *signer, const struct sha256 *root_hash,
                   const char *ipe_policy, char **ret, struct error *err)
{
        _cleanup_verity_signature_ struct verity_signature s = { .root_hash = *root_hash };
        char hex[SHA256_HEX_SIZE];
        int r;

        r = signer_identity(signer, &s.fingerprint, err);
        if (r >= 0)
                r = sign_text(signer, sha256_hex(root_hash, hex), false, &s.signature, err);
        if (r >= 0 && ipe_policy)
                r = sign_text(signer, ipe_policy, true, &s.ipe_policy, err);
        if (r >= 0 && (s.signature.size == 0 || (ipe_policy && s.ipe_policy.size == 0))) {
                *ret = strdup(""); /* made elsewhere, and not yet */
                return *ret ? 0 : error_oom(err);
        }
        if (r >= 0)
                r = verity_signature_text(&s, ret, err);
        return error_prefix(err, r, "root hash signature");
}

/* ---- judging ---- */

static int parse(const struct verity_blob *pkcs7, CMS_ContentInfo **ret, struct error *err)
{
        const unsigned char *at = (const unsigned char *)pkcs7->data, *end = at + pkcs7->size;

        *ret = d2i_CMS_ContentInfo(NULL, &at, (long)pkcs7->size);
        if (!*ret || OBJ_obj2nid(CMS_get0_type(*ret)) != NID_pkcs7_signed) {
                ERR_clear_error();
                return error_set(err, -EBADMSG, "not signed data as PKCS#7 has it");
        }
        return at == end ? 0 : error_set(err, -EBADMSG, "something follows behind the PKCS#7");
}

/* One signer, and it is the certificate's owner; he signed plain data, not attributes of it. */
static int check_signer(CMS_ContentInfo *cms, X509 *certificate, CMS_SignerInfo **ret,
                        struct error *err)
{
        STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);

        if (sk_CMS_SignerInfo_num(signers) != 1)
                return error_set(err, -EBADMSG, "%d signers instead of one",
                                 MAX(sk_CMS_SignerInfo_num(signers), 0));
        *ret = sk_CMS_SignerInfo_value(signers, 0);
        if (CMS_SignerInfo_cert_cmp(*ret, certificate) != 0)
                return error_set(err, -ENOKEY, "signed by another certificate's key");
        if (OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data ||
            CMS_signed_get_attr_count(*ret) >= 0)
                return error_set(err, -EBADMSG, "not a signature of plain data");
        return 0;
}

/* What was signed: it is in there, or it is not and the caller has it. */
static int find_content(CMS_ContentInfo *cms, const char *detached, const void **ret,
                        size_t *ret_size, struct error *err)
{
        ASN1_OCTET_STRING **place = CMS_get0_content(cms), *content = place ? *place : NULL;

        if (!content != !!detached)
                return error_set(err, -EBADMSG,
                                 detached ? "its content is in it" : "its content is not in it");
        *ret = content ? ASN1_STRING_get0_data(content) : (const void *)detached;
        *ret_size = content ? (size_t)ASN1_STRING_length(content) : strlen(detached);
        return 0;
}

static int algorithm(const X509_ALGOR *a)
{
        const ASN1_OBJECT *kind;

        X509_ALGOR_get0(&kind, NULL, NULL, a);
        return OBJ_obj2nid(kind);
}

static int verify(CMS_SignerInfo *signer, X509 *certificate, const void *content, size_t size,
                  struct error *err)
{
        _cleanup_(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
        const ASN1_OCTET_STRING *signature = CMS_SignerInfo_get0_signature(signer);
        EVP_PKEY *key = X509_get0_pubkey(certificate);
        X509_ALGOR *digest = NULL, *scheme = NULL;
        bool good;

        if (!context)
                return error_oom(err);
        CMS_SignerInfo_get0_algs(signer, NULL, NULL, &digest, &scheme);
        if (algorithm(digest) != NID_sha256 || algorithm(scheme) != NID_rsaEncryption)
                return error_set(err, -EBADMSG, "not SHA-256 with RSA");
        good = key && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
               EVP_DigestVerify(context, ASN1_STRING_get0_data(signature),
                                (size_t)ASN1_STRING_length(signature), content, size) == 1;
        ERR_clear_error();
        return good ? 0 : error_set(err, -EKEYREJECTED, "not made by the certificate's key");
}

static int take_content(const void *content, size_t size, char **ret, struct error *err)
{
        *ret = strndup(content, size);
        return *ret ? 0 : error_oom(err);
}

int pkcs7_verify(X509 *certificate, const struct verity_blob *pkcs7, const char *content,
                 char **ret_content, struct error *err)
{
        _cleanup_(CMS_ContentInfo_free_p) CMS_ContentInfo *cms = NULL;
        CMS_SignerInfo *signer = NULL;
        const void *signed_data = NULL;
        size_t size = 0;
        int r = parse(pkcs7, &cms, err);

        if (r >= 0)
                r = check_signer(cms, certificate, &signer, err);
        if (r >= 0)
                r = find_content(cms, content, &signed_data, &size, err);
        if (r >= 0)
                r = verify(signer, certificate, signed_data, size, err);
        return r < 0 || !ret_content ? r : take_content(signed_data, size, ret_content, err);
}
