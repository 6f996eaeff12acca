/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See signer.h. Linked to libcrypto directly: who signs needs it anyway. Keys in tokens are found
 * through OpenSSL's own configuration (a provider or an engine for "pkcs11:"), never by us. */

#include <fcntl.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "io.h"
#include "signer.h"
#include "strv.h"

enum {
        KEY_FILE_MAX = 64 * 1024,
        KEY_BITS_MIN = 2048,
        KEY_BITS_MAX = 4096,
};

static const struct {
        const char *name;
        bool certificate;
} roles[_SIGNER_MAX] = {
        [SIGNER_DB] = { "db", true },
        [SIGNER_VERITY] = { "verity", true },
        [SIGNER_PCR] = { "pcr", false },
};

DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_CLEANUP(OSSL_STORE_CTX, OSSL_STORE_close)

const char *signer_role_name(enum signer_role role)
{
        return roles[role].name;
}

int signer_error(struct error *err, int code, const char *what)
{
        char reason[256];

        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        return error_set(err, code, "%s: %s", what, reason);
}

void signer_done(struct signer *s)
{
        EVP_PKEY_free(s->key);
        X509_free(s->certificate);
        *s = (struct signer){};
}

/* ---- loading ---- */

/* A key that others can read is not one. */
static int check_mode(int fd, struct error *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "stat");
        if (st.st_mode & (S_IRWXG | S_IRWXO))
                return error_set(err, -EACCES, "others may use this key: chmod 600");
        return 0;
}

static int load_uri(char *uri, EVP_PKEY **ret, struct error *err)
{
        _cleanup_(OSSL_STORE_close_p) OSSL_STORE_CTX *store = NULL;

        uri[strcspn(uri, "\r\n")] = '\0';
        store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
        if (!store)
                return signer_error(err, -ENOENT, "no provider of OpenSSL opens it");
        OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
        while (!*ret && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (!info)
                        break;
                *ret = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        return *ret ? 0 : signer_error(err, -ENOENT, "no private key there");
}

/* Whoever has a terminal could be asked for a passphrase; a build never asks. */
static int no_passphrase(char *buffer _unused_, int size _unused_, int writing _unused_,
                         void *userdata _unused_)
{
        return -1;
}

static int load_pem(const char *text, size_t size, EVP_PKEY **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *bio = BIO_new_mem_buf(text, (int)size);

        if (!bio)
                return error_oom(err);
        *ret = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        return *ret ? 0 : signer_error(err, -EINVAL, "not a PEM private key without passphrase");
}

static int load_key(const char *path, EVP_PKEY **ret, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        size_t size;
        int bits, r;

        if (fd < 0)
                return error_errno(err, "%s", path);
        r = check_mode(fd, err);
        if (r >= 0)
                r = file_read(AT_FDCWD, path, KEY_FILE_MAX, &text, &size, err);
        if (r >= 0)
                r = startswith(text, "pkcs11:") ? load_uri(text, ret, err)
                                                : load_pem(text, size, ret, err);
        if (text)
                explicit_bzero(text, size);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        bits = EVP_PKEY_get_bits(*ret);
        if (!EVP_PKEY_is_a(*ret, "RSA") || bits < KEY_BITS_MIN || bits > KEY_BITS_MAX)
                return error_set(err, -EINVAL, "%s: not an RSA key of %d to %d bits", path,
                                 KEY_BITS_MIN, KEY_BITS_MAX);
        return 0;
}

/* Nothing but what is said may be signed: a certificate that names uses must name this one. */
static int check_certificate(X509 *certificate, EVP_PKEY *key, struct error *err)
{
        uint32_t flags = X509_get_extension_flags(certificate);

        if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
                return error_set(err, -EKEYREJECTED, "not yet valid");
        if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
                return error_set(err, -EKEYEXPIRED, "expired");
        if (flags & EXFLAG_INVALID)
                return error_set(err, -EKEYREJECTED, "broken extensions");
        if ((flags & EXFLAG_KUSAGE) &&
            !(X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE))
                return error_set(err, -EKEYREJECTED, "not for digital signatures");
        if ((flags & EXFLAG_XKUSAGE) &&
            !(X509_get_extended_key_usage(certificate) & XKU_CODE_SIGN))
                return error_set(err, -EKEYREJECTED, "not for signing code");
        if (X509_check_private_key(certificate, key) != 1) {
                ERR_clear_error();
                return error_set(err, -EKEYREJECTED, "not of the private key beside it");
        }
        return 0;
}

static int load_certificate(const char *path, EVP_PKEY *key, X509 **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *bio = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, KEY_FILE_MAX, &text, &size, err);

        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(text, (int)size);
        if (!bio)
                return error_oom(err);
        *ret = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        r = *ret ? check_certificate(*ret, key, err)
                 : signer_error(err, -EINVAL, "not a PEM certificate");
        return error_prefix(err, r, "%s", path);
}

static int load_role(const char *directory, enum signer_role role, struct signer *ret,
                     struct error *err)
{
        _cleanup_free_ char *key = string_format("%s/%s.key", directory, roles[role].name);
        _cleanup_free_ char *certificate = string_format("%s/%s.crt", directory, roles[role].name);
        int r;

        if (!key || !certificate)
                return error_oom(err);
        r = load_key(key, &ret->key, err);
        if (r >= 0 && roles[role].certificate)
                r = load_certificate(certificate, ret->key, &ret->certificate, err);
        return r;
}

int signer_open(const char *directory, enum signer_role role, struct signer *ret, struct error *err)
{
        _cleanup_signer_ struct signer s = {};
        _cleanup_free_ char *own = NULL;
        int r;

        if (role == SIGNER_VERITY) {
                own = string_format("%s/verity.key", directory);
                if (!own)
                        return error_oom(err);
                if (access(own, F_OK) < 0)
                        role = SIGNER_DB;
        }
        r = load_role(directory, role, &s, err);
        if (r < 0)
                return error_prefix(err, r, "key '%s'", roles[role].name);
        *ret = TAKE_STRUCT(s);
        return 0;
}

int signers_open(const char *directory, const struct trust_config *trust, struct signers *ret,
                 struct error *err)
{
        const bool wanted[_SIGNER_MAX] = {
                [SIGNER_DB] = trust->secure_boot,
                [SIGNER_VERITY] = trust->root_hash != ROOT_HASH_UNSIGNED,
                [SIGNER_PCR] = trust->measured_boot,
        };
        _cleanup_signers_ struct signers s = {};
        int r = 0;

        if (!directory && trust_wants_keys(trust))
                return error_set(err, -ENOKEY, "the manifest's \"trust\" wants keys: --keys");
        for (enum signer_role role = 0; r >= 0 && role < _SIGNER_MAX; role++)
                if (wanted[role])
                        r = signer_open(directory, role, &s.of[role], err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s);
        return 0;
}

void signers_done(struct signers *s)
{
        for (enum signer_role role = 0; role < _SIGNER_MAX; role++)
                signer_done(&s->of[role]);
}

/* ---- using ---- */

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

int signer_sign(const struct signer *s, const void *data, size_t size, char **ret, size_t *ret_size,
                struct error *err)
{
        _cleanup_(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
        _cleanup_free_ char *signature = malloc((size_t)EVP_PKEY_get_size(s->key));
        size_t n = (size_t)EVP_PKEY_get_size(s->key);

        if (!context || !signature)
                return error_oom(err);
        if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, s->key) != 1 ||
            EVP_DigestSign(context, (uint8_t *)signature, &n, data, size) != 1)
                return signer_error(err, -EIO, "signing");
        *ret = TAKE_PTR(signature);
        *ret_size = n;
        return 0;
}

/* What a BIO in memory holds, as bytes of the caller's. */
static int take_bytes(BIO *bio, char **ret, size_t *ret_size, struct error *err)
{
        char *data;
        long size = BIO_get_mem_data(bio, &data);

        if (size <= 0)
                return error_oom(err);
        *ret = malloc((size_t)size);
        if (!*ret)
                return error_oom(err);
        memcpy(*ret, data, (size_t)size);
        if (ret_size)
                *ret_size = (size_t)size;
        return 0;
}

int signer_pkcs7(const struct signer *s, const void *data, size_t size, bool attached, char **ret,
                 size_t *ret_size, struct error *err)
{
        const unsigned flags = CMS_BINARY | CMS_NOATTR | CMS_NOCERTS | CMS_NOSMIMECAP | CMS_PARTIAL |
                               (attached ? 0 : CMS_DETACHED);
        _cleanup_(CMS_ContentInfo_free_p) CMS_ContentInfo *cms = NULL;
        _cleanup_(BIO_free_all_p) BIO *in = BIO_new_mem_buf(data, (int)size);
        _cleanup_(BIO_free_all_p) BIO *out = BIO_new(BIO_s_mem());

        if (!in || !out)
                return error_oom(err);
        cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
        if (!cms || !CMS_add1_signer(cms, s->certificate, s->key, EVP_sha256(), flags) ||
            CMS_final(cms, in, NULL, flags) != 1 || i2d_CMS_bio(out, cms) != 1)
                return signer_error(err, -EIO, "PKCS#7 signature");
        return take_bytes(out, ret, ret_size, err);
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
