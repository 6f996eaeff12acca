/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signatures of root hashes: every file of tests/data/root-hash-signature is taken or refused as
 * its name says; what is signed is what OpenSSL's own program verifies; and nothing else is. */

#include <sys/mman.h>

#include "process.h"
#include "root-hash-signature.h"
#include "strv.h"
#include "test.h"

static void corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/root-hash-signature");
        size_t passed = 0, failed = 0;
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                _cleanup_verity_signature_ struct verity_signature s = {};
                _cleanup_free_ char *text = NULL;
                struct error err = {};
                size_t size;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                assert_ok(file_read(dirfd(dir), entry->d_name, MIB, &text, &size, &err), &err);
                r = verity_signature_parse(entry->d_name, text, size, &s, &err);
                if (startswith(entry->d_name, "should-pass-")) {
                        assert_ok(r, &err);
                        assert_int_equal(s.root_hash.bytes[31], 0xab);
                        passed++;
                        continue;
                }
                if (r >= 0)
                        fail_msg("%s was taken", entry->d_name);
                assert_ptr_equal(strstr(err.message, entry->d_name), err.message);
                assert_null(s.signature.data); /* untouched */
                failed++;
        }
        assert_true(passed >= 6 && failed >= 20);
}

static void partition(void **state _unused_)
{
        _cleanup_close_ int fd = memfd_create("partition", MFD_CLOEXEC);
        _cleanup_verity_signature_ struct verity_signature s = {};
        const struct verity_signature wanted = { .root_hash.bytes = { 1, 2 },
                                                 .signature = { (char *)"sig", 3 } };
        _cleanup_free_ char *text = NULL;
        struct error err = {};

        assert_int_equal(ftruncate(fd, MIB), 0);
        assert_int_equal(verity_signature_read("p", fd, 4096, MIB - 4096, &s, &err), 0);
        assert_ok(verity_signature_text(&wanted, &text, &err), &err);
        assert_ok(io_pwrite(fd, text, strlen(text), 4096, &err), &err);
        assert_int_equal(verity_signature_read("p", fd, 4096, MIB - 4096, &s, &err), 1);
        assert_true(sha256_equal(&s.root_hash, &wanted.root_hash));
        assert_int_equal(s.signature.size, 3);
        assert_memory_equal(s.signature.data, "sig", 3);
        assert_int_equal(s.ipe_policy.size, 0);
        /* It must end within the range. */
        verity_signature_done(&s);
        assert_int_equal(verity_signature_read("p", fd, 4096, 40, &s, &err), -EINVAL);
}

/* A key and a certificate of the role "verity", in the directory. */
static void make_keys(const char *directory)
{
        _cleanup_free_ char *key = string_format("%s/verity.key", directory),
                            *certificate = string_format("%s/verity.crt", directory);
        const char *const argv[] = {
                "openssl",  "req",       "-x509",   "-newkey",
                "rsa:2048", "-nodes",    "-keyout", key,
                "-out",     certificate, "-subj",   "/CN=t",
                "-days",    "2",         "-addext", "keyUsage=digitalSignature",
                NULL
        };
        struct error err = {};

        assert_ok(spawn(argv, NULL, NULL, &err), &err);
        assert_int_equal(chmod(key, 0600), 0);
}

struct fixture {
        char *directory;
        struct signer signer;
        struct sha256 root_hash;
        char hex[SHA256_HEX_SIZE];
        struct verity_signature s;
};

static void fixture_init(struct fixture *f)
{
        _cleanup_free_ char *text = NULL, *again = NULL;
        struct error err = {};

        *f = (struct fixture){ .directory = test_mkdir() };
        make_keys(f->directory);
        assert_ok(signer_open(f->directory, SIGNER_VERITY, &f->signer, &err), &err);
        sha256_of("root", 4, &f->root_hash);
        sha256_hex(&f->root_hash, f->hex);
        assert_ok(root_hash_sign(&f->signer, &f->root_hash, "DEFAULT action=ALLOW\n", &text, &err),
                  &err);
        assert_ok(root_hash_sign(&f->signer, &f->root_hash, "DEFAULT action=ALLOW\n", &again, &err),
                  &err);
        assert_string_equal(text, again);
        assert_ok(verity_signature_parse("t", text, strlen(text), &f->s, &err), &err);
}

static void fixture_done(struct fixture *f)
{
        verity_signature_done(&f->s);
        signer_done(&f->signer);
        test_rmdir(f->directory);
}

static void signs_and_verifies(void **state _unused_)
{
        _cleanup_free_ char *policy = NULL;
        struct sha256 identity;
        struct error err = {};
        struct fixture f;

        fixture_init(&f);
        assert_true(sha256_equal(&f.s.root_hash, &f.root_hash));
        assert_ok(signer_identity(&f.signer, &identity, &err), &err);
        assert_true(sha256_equal(&f.s.fingerprint, &identity));
        assert_ok(pkcs7_verify(f.signer.certificate, &f.s.signature, f.hex, NULL, &err), &err);
        assert_ok(pkcs7_verify(f.signer.certificate, &f.s.ipe_policy, NULL, &policy, &err), &err);
        assert_string_equal(policy, "DEFAULT action=ALLOW\n");
        /* Another text, the one with content for the one without and the other way round. */
        f.hex[0] ^= 1;
        assert_int_equal(pkcs7_verify(f.signer.certificate, &f.s.signature, f.hex, NULL, &err),
                         -EKEYREJECTED);
        assert_int_equal(pkcs7_verify(f.signer.certificate, &f.s.signature, NULL, NULL, &err),
                         -EBADMSG);
        assert_int_equal(pkcs7_verify(f.signer.certificate, &f.s.ipe_policy, f.hex, NULL, &err),
                         -EBADMSG);
        fixture_done(&f);
}

/* Of two certificates with one name, and of another key. */
static void refuses_others(void **state _unused_)
{
        struct error err = {};
        struct fixture f, g;

        fixture_init(&f);
        fixture_init(&g);
        assert_int_equal(pkcs7_verify(g.signer.certificate, &f.s.signature, f.hex, NULL, &err),
                         -ENOKEY);
        f.s.signature.size--;
        assert_int_equal(pkcs7_verify(f.signer.certificate, &f.s.signature, f.hex, NULL, &err),
                         -EBADMSG);
        fixture_done(&f);
        fixture_done(&g);
}

/* What OpenSSL's program says of the bytes. */
static int peer(const struct fixture *f, const struct verity_blob *pkcs7)
{
        _cleanup_free_ char *sig = string_format("%s/sig", f->directory),
                            *text = string_format("%s/text", f->directory),
                            *certificate = string_format("%s/verity.crt", f->directory);
        const char *const argv[] = { "openssl",        "cms",       "-verify",   "-binary",
                                     "-inform",        "DER",       "-in",       sig,
                                     "-content",       text,        "-certfile", certificate,
                                     "-CAfile",        certificate, "-noverify", "-nointern",
                                     "-no_check_time", "-out",      "/dev/null", NULL };
        struct error err = {};

        assert_ok(file_write(AT_FDCWD, sig, pkcs7->data, pkcs7->size, 0600, &err), &err);
        assert_ok(file_write(AT_FDCWD, text, f->hex, strlen(f->hex), 0600, &err), &err);
        return spawn(argv, NULL, NULL, &err);
}

/* A flipped bit anywhere is refused, but in what no signature covers and no reader uses: version
 * numbers, the list of digests in front (9 bytes of the identifier and its length), parameters. */
static void flipped_bytes(void **state _unused_)
{
        struct error err = {};
        size_t taken = 0;
        struct fixture f;

        fixture_init(&f);
        assert_int_equal(peer(&f, &f.s.signature), 0);
        for (size_t i = 0; i < f.s.signature.size; i++) {
                f.s.signature.data[i] ^= 1;
                taken += pkcs7_verify(f.signer.certificate, &f.s.signature, f.hex, NULL, &err) >= 0;
                f.s.signature.data[i] ^= 1;
        }
        assert_true(taken <= 13);
        /* The last bytes are the RSA signature. */
        f.s.signature.data[f.s.signature.size - 1] ^= 1;
        assert_int_equal(pkcs7_verify(f.signer.certificate, &f.s.signature, f.hex, NULL, &err),
                         -EKEYREJECTED);
        assert_int_equal(peer(&f, &f.s.signature), -ECHILD);
        fixture_done(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(corpus),
                cmocka_unit_test(partition),
                cmocka_unit_test(signs_and_verifies),
                cmocka_unit_test(refuses_others),
                cmocka_unit_test(flipped_bytes),
        };

        return test_run(tests);
}
