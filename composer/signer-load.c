/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See signer.h: opening. Keys in tokens are OpenSSL's business, which has two kinds of plug-ins for
 * them: a provider (Debian 13: pkcs11-provider), or an engine (Debian 12:
 * libengine-pkcs11-openssl). Both are given the URI as it stands in the file; which library speaks
 * to the token they know from their own configuration. The provider is asked first, since engines
 * are about to go. */

#include <fcntl.h>
#include <openssl/engine.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "efi-variable.h"
#include "io.h"
#include "signer.h"
#include "strv.h"

enum {
        KEY_FILE_MAX = 64 * 1024,
        ENROLMENT_SIZE_MAX = 1024 * 1024, /* more than any firmware keeps */
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
DEFINE_CLEANUP(OSSL_STORE_CTX, OSSL_STORE_close)

const char *signer_role_name(enum signer_role role)
{
        return roles[role].name;
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

static EVP_PKEY *load_by_provider(const char *uri)
{
        _cleanup_(OSSL_STORE_close_p) OSSL_STORE_CTX *store = NULL;
        EVP_PKEY *key = NULL;

        if (!OSSL_PROVIDER_available(NULL, "pkcs11") && !OSSL_PROVIDER_try_load(NULL, "pkcs11", 1))
                return NULL;
        store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
        if (!store)
                return NULL;
        OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
        while (!key && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (!info)
                        break;
                key = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        return key;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* there is nothing else on Debian 12   \
                                                            */
static EVP_PKEY *load_by_engine(const char *uri)
{
        ENGINE *engine;
        EVP_PKEY *key;

        ENGINE_load_builtin_engines();
        engine = ENGINE_by_id("pkcs11");
        if (!engine)
                return NULL;
        key = ENGINE_init(engine) ? ENGINE_load_private_key(engine, uri, NULL, NULL) : NULL;
        ENGINE_finish(engine);
        ENGINE_free(engine);
        return key;
}
#pragma GCC diagnostic pop

static int load_uri(char *uri, EVP_PKEY **ret, struct error *err)
{
        uri[strcspn(uri, "\r\n")] = '\0';
        *ret = load_by_provider(uri);
        if (!*ret)
                *ret = load_by_engine(uri);
        if (!*ret)
                return signer_error(err, -ENOENT, "no private key there");
        signer_forget_errors(); /* of what was tried first */
        return 0;
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

static int check_algorithm(const EVP_PKEY *key, struct error *err)
{
        int bits = EVP_PKEY_get_bits(key);

        if (EVP_PKEY_is_a(key, "RSA") && bits >= KEY_BITS_MIN && bits <= KEY_BITS_MAX)
                return 0;
        return error_set(err, -EINVAL, "not an RSA key of %d to %d bits", KEY_BITS_MIN,
                         KEY_BITS_MAX);
}

static int load_key(const char *path, EVP_PKEY **ret, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

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
        if (r >= 0)
                r = check_algorithm(*ret, err);
        return error_prefix(err, r, "%s", path);
}

/* Nothing but what is said may be signed: a certificate that names uses must name this one. Without
 * a key any will do. */
static int check_certificate(X509 *certificate, EVP_PKEY *key, struct error *err)
{
        uint32_t flags = X509_get_extension_flags(certificate);

        if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
                return error_set(err, -EKEYREJECTED, "not yet valid");
        if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
                return error_set(err, -EKEYEXPIRED, "expired");
        if (flags & EXFLAG_INVALID)
                return error_set(err, -EKEYREJECTED, "broken extensions");
        if ((flags & EXFLAG_KUSAGE) && !(X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE))
                return error_set(err, -EKEYREJECTED, "not for digital signatures");
        if ((flags & EXFLAG_XKUSAGE) && !(X509_get_extended_key_usage(certificate) & XKU_CODE_SIGN))
                return error_set(err, -EKEYREJECTED, "not for signing code");
        if (key && X509_check_private_key(certificate, key) != 1) {
                ERR_clear_error();
                return error_set(err, -EKEYREJECTED, "not of the private key beside it");
        }
        return 0;
}

/* The content of a file, for OpenSSL to read. */
static int open_text(const char *path, BIO **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *bio = BIO_new(BIO_s_mem());
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, KEY_FILE_MAX, &text, &size, err);

        if (r < 0)
                return r;
        if (!bio || BIO_write(bio, text, (int)size) != (int)size)
                return error_oom(err);
        *ret = TAKE_PTR(bio);
        return 0;
}

static int load_certificate(const char *path, EVP_PKEY *key, X509 **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *bio = NULL;
        int r = open_text(path, &bio, err);

        if (r < 0)
                return r;
        *ret = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        r = *ret ? check_certificate(*ret, key, err)
                 : signer_error(err, -EINVAL, "not a PEM certificate");
        return error_prefix(err, r, "%s", path);
}

static int load_public_key(const char *path, EVP_PKEY **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *bio = NULL;
        int r = open_text(path, &bio, err);

        if (r < 0)
                return r;
        *ret = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
        r = *ret ? check_algorithm(*ret, err) : signer_error(err, -EINVAL, "not a PEM public key");
        return error_prefix(err, r, "%s", path);
}

/* What others sign with: of the certificate, where there is one. */
static int load_public_role(const char *directory, enum signer_role role, struct signer *ret,
                            struct error *err)
{
        const char *suffix = roles[role].certificate ? "crt" : "pub";
        _cleanup_free_ char *path = string_format("%s/%s.%s", directory, roles[role].name, suffix);
        int r;

        if (!path)
                return error_oom(err);
        if (!roles[role].certificate)
                return load_public_key(path, &ret->key, err);
        r = load_certificate(path, NULL, &ret->certificate, err);
        if (r < 0)
                return r;
        ret->key = X509_get_pubkey(ret->certificate);
        if (!ret->key)
                return signer_error(err, -EINVAL, path);
        return error_prefix(err, check_algorithm(ret->key, err), "%s", path);
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

/* With requests the private half is elsewhere. */
static int open_role(const char *directory, enum signer_role role, struct sign_requests *requests,
                     struct signer *ret, struct error *err)
{
        _cleanup_signer_ struct signer s = { .requests = requests };
        _cleanup_free_ char *own = NULL;
        int r;

        if (role == SIGNER_VERITY) {
                own = string_format("%s/verity.%s", directory, requests ? "crt" : "key");
                if (!own)
                        return error_oom(err);
                if (access(own, F_OK) < 0)
                        role = SIGNER_DB;
        }
        r = requests ? load_public_role(directory, role, &s, err)
                     : load_role(directory, role, &s, err);
        if (r < 0)
                return error_prefix(err, r, "key '%s'", roles[role].name);
        s.role = role;
        *ret = TAKE_STRUCT(s);
        return 0;
}

int signer_open(const char *directory, enum signer_role role, struct signer *ret, struct error *err)
{
        return open_role(directory, role, NULL, ret, err);
}

static int enrolment_load(const char *directory, struct enrolment_file files[], struct error *err)
{
        static const char *const names[ENROLMENT_FILES] = { "PK.auth", "KEK.auth", "db.auth" };

        for (size_t i = 0; i < ENROLMENT_FILES; i++) {
                _cleanup_free_ char *path = string_format("%s/%s", directory, names[i]);
                size_t n;
                int r;

                if (!path)
                        return error_oom(err);
                if (i == 0 && access(path, F_OK) < 0)
                        return 0;
                r = file_read(AT_FDCWD, path, ENROLMENT_SIZE_MAX, &files[i].data, &files[i].size,
                              err);
                if (r < 0)
                        return r;
                r = efi_variable_check(files[i].data, files[i].size, &n, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
                files[i].name = names[i];
        }
        return 0;
}

int signers_open_public(const char *directory, const struct trust_config *trust,
                        struct sign_requests *requests, struct signers *ret, struct error *err)
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
                        r = open_role(directory, role, requests, &s.of[role], err);
        if (r >= 0 && trust->secure_boot)
                r = enrolment_load(directory, s.enrolment, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s);
        return 0;
}

int signers_open(const char *directory, const struct trust_config *trust, struct signers *ret,
                 struct error *err)
{
        return signers_open_public(directory, trust, NULL, ret, err);
}

void signers_done(struct signers *s)
{
        for (enum signer_role role = 0; role < _SIGNER_MAX; role++)
                signer_done(&s->of[role]);
        for (size_t i = 0; i < ENROLMENT_FILES; i++)
                free(s->enrolment[i].data);
}
