/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See trust-keys.h. Who has which key may do what:
 *
 *   PK      the platform's owner: replaces KEK
 *   KEK     replaces db
 *   db      signs what the firmware starts: boot loader, UKI
 *   verity  signs what the kernel believes: root hashes, policies
 *   pcr     signs which PCR values open a disk; has no certificate
 *
 * Of each NAME.key (mode 0600), NAME.crt (PEM) and NAME.cer (DER, for setup screens and
 * MokManager), of pcr NAME.pub. PK.auth, KEK.auth and db.auth are for enrolment (efi-variable.h),
 * *.esl the same without signature. db.auth holds verity's certificate as well: what is in db gets
 * into the kernel's keyring .platform, which root hashes and IPE's policies are checked with.
 * Microsoft's certificates are in none of them: what they have signed shall not run on these
 * machines.
 *
 * The files are made in a directory of another name beside, which then gets the name: rename(2)
 * replaces nothing but an empty directory. */

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "derive.h"
#include "efi-variable.h"
#include "io.h"
#include "trust-keys.h"

/* 2048 bits, which all firmware takes; a certificate that outlives the machines. */
enum { KEY_BITS = 2048, VALID_DAYS = 30 * 365, SERIAL_SIZE = 16 };

enum key { KEY_PK, KEY_KEK, KEY_DB, KEY_VERITY, KEY_PCR, _KEY_MAX };

static const struct {
        const char *name, *subject; /* subject NULL: no certificate */
        bool code;                  /* signs code, not other certificates' lists */
} keys[_KEY_MAX] = {
        [KEY_PK] = { "PK", "Slipway platform key", false },
        [KEY_KEK] = { "KEK", "Slipway key exchange key", false },
        [KEY_DB] = { "db", "Slipway Secure Boot signing key", true },
        [KEY_VERITY] = { "verity", "Slipway root hash signing key", true },
        [KEY_PCR] = { "pcr", NULL, false },
};

static const struct {
        enum efi_variable variable;
        enum key holds[2];
        size_t n_holds;
        enum key signer;
} enrolments[] = {
        { EFI_PK, { KEY_PK }, 1, KEY_PK },
        { EFI_KEK, { KEY_KEK }, 1, KEY_PK },
        { EFI_DB, { KEY_DB, KEY_VERITY }, 2, KEY_KEK },
};

struct key_set {
        struct signer of[_KEY_MAX];
        int dir_fd;
        int64_t time; /* of making, seconds since 1970 */
};

DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(X509, X509_free)

/* ---- keys and certificates ---- */

static bool add_extension(X509 *certificate, int nid, const char *value)
{
        X509_EXTENSION *extension;
        X509V3_CTX context;
        bool ok;

        X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
        extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        ok = extension && X509_add_ext(certificate, extension, -1) == 1;
        X509_EXTENSION_free(extension);
        return ok;
}

static bool set_serial(X509 *certificate)
{
        uint8_t bytes[SERIAL_SIZE];
        BIGNUM *number;
        bool ok;

        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return false;
        bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, of this length */
        number = BN_bin2bn(bytes, sizeof(bytes), NULL);
        ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
        BN_free(number);
        return ok;
}

static bool set_names(X509 *certificate, const char *subject)
{
        X509_NAME *name = X509_get_subject_name(certificate);

        return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)subject, -1,
                                          -1, 0) == 1 &&
               X509_set_issuer_name(certificate, name) == 1;
}

static bool set_extensions(X509 *certificate, bool code)
{
        return add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
               add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
               (!code || add_extension(certificate, NID_ext_key_usage, "codeSigning")) &&
               add_extension(certificate, NID_subject_key_identifier, "hash");
}

static int make_certificate(struct signer *s, enum key key, int64_t now, struct error *err)
{
        _cleanup_(X509_free_p) X509 *c = X509_new();
        time_t time = (time_t)now;

        if (!c || X509_set_version(c, X509_VERSION_3) != 1 || !set_serial(c) ||
            !X509_time_adj_ex(X509_getm_notBefore(c), 0, 0, &time) ||
            !X509_time_adj_ex(X509_getm_notAfter(c), VALID_DAYS, 0, &time) ||
            X509_set_pubkey(c, s->key) != 1 || !set_names(c, keys[key].subject) ||
            !set_extensions(c, keys[key].code) || X509_sign(c, s->key, EVP_sha256()) <= 0)
                return signer_error(err, -EIO, "making a certificate");
        s->certificate = TAKE_PTR(c);
        return 0;
}

/* ---- files ---- */

static int put(const struct key_set *set, const char *name, const char *suffix, mode_t mode,
               const void *data, size_t size, struct error *err)
{
        _cleanup_free_ char *file = string_format("%s.%s", name, suffix);

        return file ? file_write(set->dir_fd, file, data, size, mode, err) : error_oom(err);
}

/* Writes what `ok` says was printed to the BIO. */
static int put_bio(const struct key_set *set, const char *name, const char *suffix, mode_t mode,
                   BIO *bio, int ok, struct error *err)
{
        char *data = NULL;
        long size = bio ? BIO_get_mem_data(bio, &data) : 0;

        if (ok != 1 || size <= 0)
                return signer_error(err, -EIO, suffix);
        return put(set, name, suffix, mode, data, (size_t)size, err);
}

static int put_private(const struct key_set *set, enum key key, struct error *err)
{
        /* Memory that is wiped when it is freed. */
        _cleanup_(BIO_free_all_p) BIO *bio = BIO_new(BIO_s_secmem());

        return put_bio(
                set, keys[key].name, "key", 0600, bio,
                bio ? PEM_write_bio_PrivateKey(bio, set->of[key].key, NULL, NULL, 0, NULL, NULL)
                    : 0,
                err);
}

static int put_public(const struct key_set *set, enum key key, struct error *err)
{
        const struct signer *s = &set->of[key];
        _cleanup_(BIO_free_all_p) BIO *pem = BIO_new(BIO_s_mem()), *der = BIO_new(BIO_s_mem());
        int r;

        if (!pem || !der)
                return error_oom(err);
        if (!s->certificate)
                return put_bio(set, keys[key].name, "pub", 0644, pem,
                               PEM_write_bio_PUBKEY(pem, s->key), err);
        r = put_bio(set, keys[key].name, "crt", 0644, pem, PEM_write_bio_X509(pem, s->certificate),
                    err);
        return r < 0 ? r
                     : put_bio(set, keys[key].name, "cer", 0644, der,
                               i2d_X509_bio(der, s->certificate), err);
}

static int make_key(struct key_set *set, enum key key, struct error *err)
{
        struct signer *s = &set->of[key];
        int r = 0;

        s->key = EVP_RSA_gen(KEY_BITS);
        if (!s->key)
                return signer_error(err, -EIO, "making a key");
        if (keys[key].subject)
                r = make_certificate(s, key, set->time, err);
        if (r >= 0)
                r = put_private(set, key, err);
        return r < 0 ? r : put_public(set, key, err);
}

static int put_enrolment(const struct key_set *set, size_t index, const struct uuid *owner,
                         struct error *err)
{
        const char *name = efi_variable_name(enrolments[index].variable);
        _cleanup_buffer_ struct buffer list = {};
        _cleanup_free_ char *change = NULL;
        size_t size;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < enrolments[index].n_holds; i++)
                r = efi_signature_list(&list, owner,
                                       set->of[enrolments[index].holds[i]].certificate, err);
        if (r >= 0)
                r = efi_variable_sign(enrolments[index].variable, &list, set->time,
                                      &set->of[enrolments[index].signer], &change, &size, err);
        if (r >= 0)
                r = put(set, name, "esl", 0644, list.data, list.size, err);
        return r < 0 ? r : put(set, name, "auth", 0644, change, size, err);
}

/* The owner's GUID says whose entries these are; it only has to be another for other keys. */
static int put_enrolments(const struct key_set *set, struct error *err)
{
        struct sha256 identity;
        struct uuid owner;
        int r = signer_identity(&set->of[KEY_PK], &identity, err);

        if (r < 0)
                return r;
        derive_uuid(&identity, "signature-owner", &owner);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(enrolments); i++)
                r = put_enrolment(set, i, &owner, err);
        return r;
}

static int fill(int dir_fd, struct error *err)
{
        struct key_set set = { .dir_fd = dir_fd, .time = time(NULL) };
        int r = 0;

        for (enum key key = 0; r >= 0 && key < _KEY_MAX; key++)
                r = error_prefix(err, make_key(&set, key, err), "key '%s'", keys[key].name);
        if (r >= 0)
                r = put_enrolments(&set, err);
        for (enum key key = 0; key < _KEY_MAX; key++)
                signer_done(&set.of[key]);
        return r;
}

/* ---- the directory ---- */

static int fill_and_rename(const char *draft, const char *directory, struct error *err)
{
        _cleanup_close_ int fd = open(draft, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, "%s", draft);
        r = fill(fd, err);
        if (r < 0)
                return r;
        if (rename(draft, directory) < 0)
                return errno == ENOTEMPTY || errno == EEXIST
                               ? error_set(err, -EEXIST, "there are files, which may be keys")
                               : error_errno(err, "rename");
        return 0;
}

int trust_keys_generate(const char *directory, struct error *err)
{
        _cleanup_free_ char *name = strdup(directory), *draft = NULL;
        size_t n = strlen(directory);
        int r;

        if (!name)
                return error_oom(err);
        while (n > 1 && name[n - 1] == '/')
                name[--n] = '\0';
        draft = string_format("%s.XXXXXX", name);
        if (!draft)
                return error_oom(err);
        if (!mkdtemp(draft))
                return error_errno(err, "%s", directory);
        r = fill_and_rename(draft, name, err);
        if (r < 0 && path_remove_tree(AT_FDCWD, draft, NULL) < 0)
                return error_prefix(err, r, "%s (remains of it are in %s)", directory, draft);
        return error_prefix(err, r, "%s", directory);
}
