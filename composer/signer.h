/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private keys and their certificates, for everything in an image that firmware, kernel or TPM
 * check. They come from the directory named by --keys, which holds for every role
 *
 *   NAME.key  a PEM private key (mode 0600), or one line "pkcs11:…" for OpenSSL to find it by
 *   NAME.crt  its X.509 certificate, PEM
 *
 * as `slipway keygen --secure-boot` makes them. All keys are RSA with SHA-256 and PKCS#1 v1.5: the
 * one kind that firmware, kernel and TPM all take, and that signs equal bytes equally. */

#include <openssl/pkcs7.h>
#include <openssl/types.h>

#include "digest.h"
#include "trust.h"

enum signer_role {
        SIGNER_DB,     /* boot loader and UKI */
        SIGNER_VERITY, /* root hashes, IPE policies, extensions; the db key when it has no files */
        SIGNER_PCR,    /* expected PCR values: a key only, whose public half is in the UKI */
        _SIGNER_MAX,
};

/* "db", "verity", "pcr". */
const char *signer_role_name(enum signer_role role);

struct sign_requests;

struct signer {
        EVP_PKEY *key;     /* only its public half when signatures are made elsewhere */
        X509 *certificate; /* NULL for SIGNER_PCR */
        enum signer_role role;
        struct sign_requests *requests; /* borrowed; NULL: the key signs */
};

/* -EACCES when others may read the key; -EKEYEXPIRED, -EKEYREJECTED when the certificate is not
 * valid now, is for another use, or for another key; -EINVAL for a key that is not RSA of 2048 to
 * 4096 bits. */
int signer_open(const char *directory, enum signer_role role, struct signer *ret,
                struct error *err) _must_check_;
void signer_done(struct signer *s);
#define _cleanup_signer_ _cleanup_(signer_done)

/* A file that firmware in setup mode takes a key from, see efi-variable.h. */
struct enrolment_file {
        const char *name; /* "PK.auth" … */
        char *data;
        size_t size;
};

enum { ENROLMENT_FILES = 3 };

/* Those that an image has use for; the others are empty. */
struct signers {
        struct signer of[_SIGNER_MAX];
        struct enrolment_file enrolment[ENROLMENT_FILES]; /* name NULL: there are none */
};

/* Opens what `trust` wants; -ENOKEY without a directory (NULL) when it wants any. With Secure Boot
 * the files for enrolment, too, when PK.auth is there: then all of them must be. */
int signers_open(const char *directory, const struct trust_config *trust, struct signers *ret,
                 struct error *err) _must_check_;
/* The same when signatures are made elsewhere: of the files only NAME.crt (for pcr: pcr.pub, a PEM
 * public key) are read. Without requests it is the same. */
int signers_open_public(const char *directory, const struct trust_config *trust,
                        struct sign_requests *requests, struct signers *ret,
                        struct error *err) _must_check_;
void signers_done(struct signers *s);
#define _cleanup_signers_ _cleanup_(signers_done)

/* sha256 of the certificate's DER form, or of the public key's (SubjectPublicKeyInfo) where there
 * is no certificate. */
int signer_identity(const struct signer *s, struct sha256 *ret, struct error *err) _must_check_;
/* The raw RSA signature of the data's SHA-256; caller frees *ret. */
int signer_sign(const struct signer *s, const void *data, size_t size, char **ret, size_t *ret_size,
                struct error *err) _must_check_;
/* PKCS#7 (RFC 2315) signature in DER as the kernel reads it: SHA-256, no attributes, no
 * certificates; attached: with the data in it. Caller frees *ret. */
int signer_pkcs7(const struct signer *s, const void *data, size_t size, bool attached, char **ret,
                 size_t *ret_size, struct error *err) _must_check_;
/* The same as UEFI's variables want it: SignedData without the ContentInfo around it, detached,
 * with the certificate. Caller frees *ret. */
int signer_signed_data(const struct signer *s, const void *data, size_t size, char **ret,
                       size_t *ret_size, struct error *err) _must_check_;
/* Whether that is such a raw signature: -EKEYREJECTED. */
int signer_verify(const struct signer *s, const void *data, size_t size, const void *signature,
                  size_t signature_size, struct error *err) _must_check_;
/* Whether a signature in a SignedData is of these bytes (SHA-256) and by that very certificate. */
bool signer_signed(PKCS7 *p7, const void *data, size_t size, X509 *certificate);
/* The certificate as PEM text; caller frees. */
int signer_certificate(const struct signer *s, char **ret, struct error *err) _must_check_;
/* The public key as PEM text; caller frees. */
int signer_public_key(const struct signer *s, char **ret, struct error *err) _must_check_;

/* The last thing OpenSSL complained about, with what was being done; returns code. */
int signer_error(struct error *err, int code, const char *what);
/* After a look at something that may well have been wrong. */
void signer_forget_errors(void);
