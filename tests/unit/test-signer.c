/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys for signing: which files are refused, and what the signatures are, by libcrypto's own
 * checks. */

#include "test.h"

#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "sign-request.h"
#include "strv.h"

#define DATA TEST_DATA_DIR "/signing/"

enum { DAY = 24 * 60 * 60 };

struct recipe {
        int from, until;              /* days from now */
        const char *usage, *extended; /* NULL: no such extension */
};

static const struct recipe good = { -1, 30, "critical,digitalSignature", "codeSigning" };

static char *directory;
static EVP_PKEY *keys[2]; /* RSA: ours, another */

static char *at(const char *name)
{
        static char path[256];

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static void put_key(const char *name, EVP_PKEY *key, const EVP_CIPHER *cipher)
{
        FILE *f = fopen(at(name), "we");

        assert_non_null(f);
        assert_int_equal(PEM_write_PrivateKey(f, key, cipher, (const unsigned char *)"secret",
                                              cipher ? 6 : 0, NULL, NULL),
                         1);
        fclose(f);
        assert_int_equal(chmod(at(name), 0600), 0);
}

static void extend(X509 *c, int nid, const char *value)
{
        X509_EXTENSION *e = value ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;

        assert_true(!value || (e && X509_add_ext(c, e, -1) == 1));
        X509_EXTENSION_free(e);
}

static void put_certificate(const char *name, EVP_PKEY *key, const struct recipe *recipe)
{
        X509 *c = X509_new();
        FILE *f = fopen(at(name), "we");

        assert_true(f && X509_set_version(c, X509_VERSION_3) == 1);
        ASN1_INTEGER_set(X509_get_serialNumber(c), 7);
        X509_gmtime_adj(X509_getm_notBefore(c), (long)recipe->from * DAY);
        X509_gmtime_adj(X509_getm_notAfter(c), (long)recipe->until * DAY);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                   (const unsigned char *)"test", -1, -1, 0);
        X509_set_issuer_name(c, X509_get_subject_name(c));
        X509_set_pubkey(c, key);
        extend(c, NID_key_usage, recipe->usage);
        extend(c, NID_ext_key_usage, recipe->extended);
        assert_true(X509_sign(c, key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_X509(f, c), 1);
        fclose(f);
        X509_free(c);
}

static void put_good(void)
{
        put_key("db.key", keys[0], NULL);
        put_certificate("db.crt", keys[0], &good);
}

static void put_text(const char *name, const char *text)
{
        assert_int_equal(file_write(AT_FDCWD, at(name), text, strlen(text), 0600, NULL), 0);
}

static void assert_refused(int code, const char *message)
{
        struct error err = {};
        struct signer s = {};

        assert_int_equal(signer_open(directory, SIGNER_DB, &s, &err), code);
        if (!strstr(err.message, message))
                fail_msg("\"%s\" is not in \"%s\"", message, err.message);
        assert_null(s.key);
        put_good();
}

/* ---- files ---- */

static void test_private_file(void **state _unused_)
{
        static const mode_t modes[] = { 0640, 0604, 0620, 0601 };
        EVP_PKEY *weak = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-256");

        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
                chmod(at("db.key"), modes[i]);
                assert_refused(-EACCES, "others may use this key");
        }
        put_key("db.key", keys[0], EVP_aes_256_cbc());
        assert_refused(-EINVAL, "without passphrase");
        put_key("db.key", weak, NULL);
        assert_refused(-EINVAL, "not an RSA key of 2048 to 4096 bits");
        put_key("db.key", curve, NULL);
        assert_refused(-EINVAL, "not an RSA key");
        put_text("db.key", "");
        assert_refused(-EINVAL, "not a PEM private key");
        unlink(at("db.key"));
        assert_refused(-ENOENT, "db.key");
        EVP_PKEY_free(weak);
        EVP_PKEY_free(curve);
}

static void test_certificate(void **state _unused_)
{
        static const struct {
                struct recipe recipe;
                int code;
                const char *message;
        } rows[] = {
                { { -9, -1, NULL, NULL }, -EKEYEXPIRED, "expired" },
                { { 1, 9, NULL, NULL }, -EKEYREJECTED, "not yet valid" },
                { { -1, 9, "keyCertSign,cRLSign", NULL }, -EKEYREJECTED, "not for digital" },
                { { -1, 9, "digitalSignature", "serverAuth" },
                  -EKEYREJECTED,
                  "not for signing code" },
                { { -1, 9, NULL, "emailProtection" }, -EKEYREJECTED, "not for signing code" },
        };
        static const struct recipe plain = { -1, 9, NULL, NULL };
        struct signer s;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                put_certificate("db.crt", keys[0], &rows[i].recipe);
                assert_refused(rows[i].code, rows[i].message);
        }
        put_certificate("db.crt", keys[1], &good);
        assert_refused(-EKEYREJECTED, "not of the private key beside it");
        put_text("db.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert_refused(-EINVAL, "not a PEM certificate");
        put_text("db.crt", "");
        assert_refused(-EINVAL, "not a PEM certificate");
        unlink(at("db.crt"));
        assert_refused(-ENOENT, "db.crt");
        /* One that names no uses is for all of them. */
        put_certificate("db.crt", keys[0], &plain);
        assert_int_equal(signer_open(directory, SIGNER_DB, &s, NULL), 0);
        signer_done(&s);
        put_good();
}

static void test_roles(void **state _unused_)
{
        const struct trust_config none = {}, all = { .secure_boot = true,
                                                     .root_hash = ROOT_HASH_SIGNED,
                                                     .measured_boot = true };
        struct signers s = {};
        struct error err = {};
        struct sha256 a, b;

        assert_ok(signers_open(NULL, &none, &s, &err), &err);
        assert_null(s.of[SIGNER_DB].key);
        assert_int_equal(signers_open(NULL, &all, &s, &err), -ENOKEY);
        assert_int_equal(signers_open(directory, &all, &s, &err), -ENOENT); /* no pcr.key */
        put_key("pcr.key", keys[1], NULL);
        assert_ok(signers_open(directory, &all, &s, &err), &err);
        /* Without a key of its own, verity is db. */
        assert_ok(signer_identity(&s.of[SIGNER_DB], &a, &err), &err);
        assert_ok(signer_identity(&s.of[SIGNER_VERITY], &b, &err), &err);
        assert_true(sha256_equal(&a, &b));
        assert_null(s.of[SIGNER_PCR].certificate);
        signers_done(&s);
        unlink(at("pcr.key"));
}

/* ---- signatures ---- */

static void test_raw(void **state _unused_)
{
        _cleanup_free_ char *one = NULL, *two = NULL, *pem = NULL;
        _cleanup_signer_ struct signer s = {};
        size_t n, m;

        assert_int_equal(signer_open(directory, SIGNER_DB, &s, NULL), 0);
        assert_int_equal(signer_sign(&s, "text", 4, &one, &n, NULL), 0);
        assert_int_equal(signer_sign(&s, "text", 4, &two, &m, NULL), 0);
        assert_int_equal(n, 256);
        assert_int_equal(m, n);
        assert_memory_equal(one, two, n);
        assert_int_equal(signer_verify(&s, "text", 4, one, n, NULL), 0);
        assert_int_equal(signer_verify(&s, "test", 4, one, n, NULL), -EKEYREJECTED);
        assert_int_equal(signer_verify(&s, "text", 4, one, n - 1, NULL), -EKEYREJECTED);
        assert_int_equal(signer_public_key(&s, &pem, NULL), 0);
        assert_non_null(startswith(pem, "-----BEGIN PUBLIC KEY-----\n"));
}

/* By OpenSSL's CMS code, with the certificate given from outside, as the kernel has it. */
static void check_cms(const struct signer *s, const char *der, size_t size, const char *data)
{
        const uint8_t *p = (const uint8_t *)der;
        CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)size);
        STACK_OF(X509) *certificates = sk_X509_new_null();
        BIO *in = data ? BIO_new_mem_buf(data, -1) : NULL, *out = BIO_new(BIO_s_mem());
        CMS_SignerInfo *info;
        char *text;

        assert_non_null(cms);
        info = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
        assert_int_equal(sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)), 1);
        assert_int_equal(CMS_signed_get_attr_count(info), -1);
        assert_null(CMS_get1_certs(cms));
        sk_X509_push(certificates, s->certificate);
        assert_int_equal(CMS_verify(cms, certificates, NULL, in, out,
                                    CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY),
                         1);
        assert_int_equal(BIO_get_mem_data(out, &text), 4);
        assert_memory_equal(text, "text", 4);
        BIO_free(in);
        BIO_free(out);
        sk_X509_free(certificates);
        CMS_ContentInfo_free(cms);
}

static void test_pkcs7(void **state _unused_)
{
        _cleanup_free_ char *detached = NULL, *attached = NULL, *again = NULL;
        _cleanup_signer_ struct signer s = {};
        size_t n, m, k;

        assert_int_equal(signer_open(directory, SIGNER_DB, &s, NULL), 0);
        assert_int_equal(signer_pkcs7(&s, "text", 4, false, &detached, &n, NULL), 0);
        assert_int_equal(signer_pkcs7(&s, "text", 4, true, &attached, &m, NULL), 0);
        assert_int_equal(signer_pkcs7(&s, "text", 4, true, &again, &k, NULL), 0);
        assert_int_equal(m, k);
        assert_memory_equal(attached, again, m);
        check_cms(&s, detached, n, "text");
        check_cms(&s, attached, m, NULL);
}

/* ---- elsewhere ---- */

static void put_public(void)
{
        FILE *f = fopen(at("pcr.pub"), "we");

        assert_non_null(f);
        assert_int_equal(PEM_write_PUBKEY(f, keys[1]), 1);
        fclose(f);
}

/* Until the answer is there an empty signature stands in its place, and the request beside. */
static void test_requests(void **state _unused_)
{
        const struct trust_config trust = { .root_hash = ROOT_HASH_SIGNED, .measured_boot = true };
        _cleanup_sign_requests_ struct sign_requests q = {};
        _cleanup_free_ char *signature = NULL, *raw = NULL, *asked = NULL, *taken = NULL;
        _cleanup_signers_ struct signers there = {};
        _cleanup_signer_ struct signer here = {};
        struct error err = {};
        size_t n, m;

        assert_int_equal(signer_open(directory, SIGNER_DB, &here, NULL), 0);
        put_public();
        assert_ok(sign_requests_open(at("requests"), &q, &err), &err);
        assert_ok(signers_open_public(directory, &trust, &q, &there, &err), &err);
        assert_ok(signer_pkcs7(&there.of[SIGNER_VERITY], "text", 4, false, &signature, &n, &err),
                  &err);
        assert_ok(signer_sign(&there.of[SIGNER_PCR], "one", 3, &raw, &m, &err), &err);
        assert_int_equal(n + m, 0);
        free(TAKE_PTR(raw));
        assert_ok(signer_sign(&there.of[SIGNER_PCR], "two", 3, &raw, &m, &err), &err);
        assert_int_equal(sign_requests_open_count(&q), 3);
        assert_ok(file_read(AT_FDCWD, at("requests/root-hash.data"), 64, &asked, &n, &err), &err);
        assert_string_equal(asked, "text");
        assert_int_equal(access(at("requests/pcr-policy.data"), F_OK), 0);
        assert_int_equal(access(at("requests/pcr-policy-2.data"), F_OK), 0);

        free(TAKE_PTR(signature));
        assert_ok(signer_pkcs7(&here, "text", 4, false, &signature, &n, &err), &err);
        assert_ok(file_write(AT_FDCWD, at("requests/root-hash.p7s"), signature, n, 0644, &err),
                  &err);
        sign_requests_done(&q);
        assert_ok(sign_requests_open(at("requests"), &q, &err), &err);
        assert_ok(signer_pkcs7(&there.of[SIGNER_VERITY], "text", 4, false, &taken, &m, &err), &err);
        assert_int_equal(m, n);
        assert_memory_equal(taken, signature, n);
        assert_int_equal(sign_requests_open_count(&q), 0);
        sign_requests_done(&q);
        assert_ok(sign_requests_open(at("requests"), &q, &err), &err);
        free(TAKE_PTR(taken));
        assert_int_equal(signer_pkcs7(&there.of[SIGNER_VERITY], "test", 4, false, &taken, &m, &err),
                         -EKEYREJECTED);
        assert_non_null(strstr(err.message, "root-hash.p7s"));
}

/* Lists that came back; what is wrong with one is its name. */
static void test_lists(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(DATA);
        size_t n = 0;

        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_free_ char *path = string_format("%s%s", DATA, e->d_name), *text = NULL;
                _cleanup_sign_origin_ struct sign_origin origin = {};
                size_t size;
                int r;

                if (e->d_name[0] == '.')
                        continue;
                n++;
                assert_int_equal(file_read(AT_FDCWD, path, MIB, &text, &size, NULL), 0);
                r = sign_origin_parse(text, size, &origin, NULL);
                if ((r >= 0) != (startswith(e->d_name, "should-pass-") != NULL))
                        fail_msg("%s: %d", e->d_name, r);
        }
        assert_true(n > 20);
}

static int setup(void **state)
{
        test_group_setup(state);
        directory = test_mkdir();
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                keys[i] = EVP_RSA_gen(2048);
        put_good();
        return 0;
}

static int teardown(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                EVP_PKEY_free(keys[i]);
        test_rmdir(directory);
        return test_group_teardown(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_private_file), cmocka_unit_test(test_certificate),
                cmocka_unit_test(test_roles),        cmocka_unit_test(test_raw),
                cmocka_unit_test(test_pkcs7),        cmocka_unit_test(test_requests),
                cmocka_unit_test(test_lists),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
