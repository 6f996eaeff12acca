/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The certificates that a chain is checked with. Firmware and kernel look at no dates, so neither
 * do we: a disk does not become another one when a certificate expires. */

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "io.h"
#include "signer.h"
#include "strv.h"
#include "verify.h"

enum { CERTIFICATE_FILE_MAX = 64 * 1024 };

DEFINE_CLEANUP(BIO, BIO_free_all)

static int load(const char *path, X509 **ret, struct error *err)
{
        _cleanup_(BIO_free_all_p) BIO *bio = NULL;
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, CERTIFICATE_FILE_MAX, &data, &size, err);

        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(data, (int)size);
        if (!bio)
                return error_oom(err);
        *ret = startswith(data, "-----") ? PEM_read_bio_X509(bio, NULL, NULL, NULL)
                                         : d2i_X509_bio(bio, NULL);
        ERR_clear_error();
        return *ret ? 0 : error_set(err, -EINVAL, "%s: not a certificate", path);
}

static int add(struct verify_trust *t, enum verify_kind kind, X509 *certificate, struct error *err)
{
        if (t->of[kind].count == VERIFY_CERTIFICATES_MAX)
                return error_set(err, -E2BIG, "more than %d certificates", VERIFY_CERTIFICATES_MAX);
        X509_up_ref(certificate);
        t->of[kind].items[t->of[kind].count++] = certificate;
        return 0;
}

int verify_trust_add(struct verify_trust *t, enum verify_kind kind, const char *path,
                     struct error *err)
{
        X509 *certificate = NULL;
        int r = load(path, &certificate, err);

        for (enum verify_kind k = 0; r >= 0 && k < _VERIFY_KIND_MAX; k++)
                if (kind == k || kind == _VERIFY_KIND_MAX)
                        r = add(t, k, certificate, err);
        X509_free(certificate);
        return r;
}

/* By what signs with them: the root hash's is the boot files' when it has none of its own. */
int verify_trust_add_keys(struct verify_trust *t, const char *directory, struct error *err)
{
        _cleanup_free_ char *boot = string_format("%s/db.crt", directory),
                            *root = string_format("%s/verity.crt", directory);
        bool has_boot = boot && access(boot, F_OK) == 0, has_root = root && access(root, F_OK) == 0;
        int r = 0;

        if (!boot || !root)
                return error_oom(err);
        if (!has_boot && !has_root)
                return error_set(err, -ENOENT, "%s: neither db.crt nor verity.crt", directory);
        if (has_boot)
                r = verify_trust_add(t, VERIFY_BOOT, boot, err);
        return r < 0 ? r : verify_trust_add(t, VERIFY_ROOT_HASH, has_root ? root : boot, err);
}

void verify_trust_done(struct verify_trust *t)
{
        for (enum verify_kind k = 0; k < _VERIFY_KIND_MAX; k++)
                for (size_t i = 0; i < t->of[k].count; i++)
                        X509_free(t->of[k].items[i]);
        *t = (struct verify_trust){};
}
