/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as what comes from outside with certificates in it: a file for enrolment, a signature
 * of an image. None can be by a key that was made a moment ago. */

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "authenticode.h"
#include "efi-variable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct signer signer;

int LLVMFuzzerInitialize(int *argc _unused_, char ***argv _unused_)
{
        signer.key = EVP_RSA_gen(2048);
        signer.certificate = X509_new();
        X509_set_pubkey(signer.certificate, signer.key);
        X509_NAME_add_entry_by_txt(X509_get_issuer_name(signer.certificate), "CN", MBSTRING_ASC,
                                   (const unsigned char *)"Slipway Secure Boot signing key", -1, -1,
                                   0);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sha256 digest = {};
        size_t n;

        if (efi_variable_check(data, size, &n, NULL) >= 0)
                assert(n <= size);
        assert(authenticode_check(data, size, &digest, signer.certificate, NULL) < 0);
        return 0;
}
