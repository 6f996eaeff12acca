/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A root hash's signature from a hostile partition or site: refused with a reason, or its text is
 * taken again and is the same. What OpenSSL makes of the PKCS#7 in it must be a verdict, too: no
 * such signature is the certificate's. */

#include <assert.h>
#include <openssl/x509.h>

#include "root-hash-signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct verity_blob *pkcs7, const char *content)
{
        X509 *certificate = X509_new();
        struct error err = {};
        int r;

        assert(certificate);
        r = pkcs7_verify(certificate, pkcs7, content, NULL, &err);
        assert(r < 0 && err.message[0]);
        X509_free(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_verity_signature_ struct verity_signature s = {}, again = {};
        _cleanup_free_ char *text = NULL, *text_again = NULL;
        struct error err = {};
        int r;

        if (verity_signature_parse("fuzz", (const char *)data, size, &s, &err) < 0) {
                assert(err.message[0]);
                return 0;
        }
        r = verity_signature_text(&s, &text, &err);
        assert(r == 0);
        r = verity_signature_parse("again", text, strlen(text), &again, &err);
        assert(r == 0);
        r = verity_signature_text(&again, &text_again, &err);
        assert(r == 0 && streq(text, text_again));
        judge(&s.signature, "content");
        if (s.ipe_policy.size > 0)
                judge(&s.ipe_policy, NULL);
        return 0;
}
