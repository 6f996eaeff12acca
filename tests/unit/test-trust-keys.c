/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keys of a chain of trust: which files there are, that certificates may sign what they are for
 * and nothing else, that the files for enrolment are what the UEFI specification says, and that no
 * key is ever replaced. */

#include "test.h"

#include <endian.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

#include "authenticode.h"
#include "efi-variable.h"
#include "trust-keys.h"

static const struct {
        const char *name;
        mode_t mode;
} files[] = {
        { "PK.key", 0600 },  { "PK.crt", 0644 },     { "PK.cer", 0644 },     { "PK.esl", 0644 },
        { "PK.auth", 0644 }, { "KEK.key", 0600 },    { "KEK.crt", 0644 },    { "KEK.cer", 0644 },
        { "KEK.esl", 0644 }, { "KEK.auth", 0644 },   { "db.key", 0600 },     { "db.crt", 0644 },
        { "db.cer", 0644 },  { "db.esl", 0644 },     { "db.auth", 0644 },    { "pcr.key", 0600 },
        { "pcr.pub", 0644 }, { "verity.key", 0600 }, { "verity.crt", 0644 }, { "verity.cer", 0644 },
};

#define DATA TEST_DATA_DIR "/certificate/"

static char *directory; /* with keys, for all tests that only read them */

static char *path_of(const char *name)
{
        return string_format("%s/%s", directory, name);
}

static char *load(const char *name, size_t *ret_size)
{
        _cleanup_free_ char *path = path_of(name);
        struct error err = {};
        char *data = NULL;

        assert_ok(file_read(AT_FDCWD, path, MIB, &data, ret_size, &err), &err);
        return data;
}

static X509 *load_certificate(const char *name)
{
        size_t size;
        _cleanup_free_ char *der = load(name, &size);
        const uint8_t *p = (const uint8_t *)der;
        X509 *certificate = d2i_X509(NULL, &p, (long)size);

        assert_non_null(certificate);
        return certificate;
}

static void test_files(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(directory);
        struct stat st;
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                assert_int_equal(fstatat(dirfd(d), files[i].name, &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, files[i].mode);
        }
        while (readdir(d))
                n++;
        assert_int_equal(n, ARRAY_SIZE(files) + 2);
}

static void test_signers(void **state _unused_)
{
        struct signers all = {};
        struct error err = {};
        const struct trust_config trust = { .secure_boot = true,
                                            .root_hash = ROOT_HASH_REQUIRED,
                                            .measured_boot = true };
        struct sha256 db, verity;

        assert_ok(signers_open(directory, &trust, &all, &err), &err);
        assert_ok(signer_identity(&all.of[SIGNER_DB], &db, &err), &err);
        assert_ok(signer_identity(&all.of[SIGNER_VERITY], &verity, &err), &err);
        assert_false(sha256_equal(&db, &verity));
        signers_done(&all);
}

static void test_certificates(void **state _unused_)
{
        static const struct {
                const char *name;
                bool code;
        } rows[] = { { "PK.cer", false },
                     { "KEK.cer", false },
                     { "db.cer", true },
                     { "verity.cer", true } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                X509 *c = load_certificate(rows[i].name);

                assert_int_equal(X509_check_ca(c), 0);
                assert_int_equal(X509_get_key_usage(c), KU_DIGITAL_SIGNATURE);
                assert_int_equal(X509_get_extended_key_usage(c),
                                 rows[i].code ? XKU_CODE_SIGN : UINT32_MAX);
                assert_true(X509_get_extension_flags(c) & EXFLAG_SS);
                assert_int_equal(X509_verify(c, X509_get0_pubkey(c)), 1);
                X509_free(c);
        }
}

/* ---- enrolment, with the specification's numbers written down again ---- */

static uint32_t u32(const char *data, size_t at)
{
        uint32_t n;

        memcpy(&n, data + at, sizeof(n));
        return le32toh(n);
}

/* That the SignedData at p is of the bytes, by the certificate. */
static void check_signature(const char *p, size_t size, const struct buffer *text, X509 *signer)
{
        const uint8_t *bytes = (const uint8_t *)p;
        PKCS7 *p7 = PKCS7_new();
        STACK_OF(X509) *none = sk_X509_new_null();
        BIO *in = BIO_new_mem_buf(text->data, (int)text->size);
        X509_STORE *store = X509_STORE_new();

        p7->type = OBJ_nid2obj(NID_pkcs7_signed);
        p7->d.sign = d2i_PKCS7_SIGNED(NULL, &bytes, (long)size);
        assert_non_null(p7->d.sign);
        assert_ptr_equal(bytes, p + size);
        assert_int_equal(ASN1_INTEGER_get(p7->d.sign->version), 1);
        assert_int_equal(sk_PKCS7_SIGNER_INFO_num(p7->d.sign->signer_info), 1);
        assert_null(sk_PKCS7_SIGNER_INFO_value(p7->d.sign->signer_info, 0)->auth_attr);
        assert_int_equal(sk_X509_num(p7->d.sign->cert), 1);
        X509_STORE_add_cert(store, signer);
        X509_STORE_set_purpose(store, X509_PURPOSE_ANY);
        assert_int_equal(PKCS7_verify(p7, none, store, in, NULL, PKCS7_BINARY), 1);
        X509_STORE_free(store);
        BIO_free(in);
        sk_X509_free(none);
        PKCS7_free(p7);
}

static void check_list(const char *list, size_t size, const char *const certificates[])
{
        static const uint8_t x509[16] = { 0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a,
                                          0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72 };
        size_t at = 0;

        for (; *certificates; certificates++) {
                size_t length;
                _cleanup_free_ char *der = load(*certificates, &length);

                assert_true(at + 44 + length <= size);
                assert_memory_equal(list + at, x509, 16);
                assert_int_equal(u32(list, at + 16), 44 + length);
                assert_int_equal(u32(list, at + 20), 0);
                assert_int_equal(u32(list, at + 24), 16 + length);
                assert_memory_equal(list + at + 44, der, length);
                at += 44 + length;
        }
        assert_int_equal(at, size);
}

static void check_enrolment(const char *name, const char *vendor, const char *signer,
                            const char *const certificates[])
{
        static const uint8_t pkcs7[16] = { 0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49,
                                           0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7 };
        _cleanup_free_ char *auth_name = string_format("%s.auth", name);
        _cleanup_free_ char *list_name = string_format("%s.esl", name);
        _cleanup_buffer_ struct buffer text = {};
        size_t size, list_size, n, length;
        _cleanup_free_ char *auth = load(auth_name, &size), *list = load(list_name, &list_size);
        X509 *certificate = load_certificate(signer);
        uint8_t guid[16];

        assert_int_equal(auth[7] | auth[15] | u32(auth, 8) | u32(auth, 12), 0);
        length = u32(auth, 16);
        assert_int_equal(u32(auth, 20), 0x0ef10200);
        assert_memory_equal(auth + 24, pkcs7, 16);
        assert_int_equal(16 + length + list_size, size);
        assert_memory_equal(auth + 16 + length, list, list_size);
        check_list(list, list_size, certificates);
        for (const char *c = name; *c; c++)
                buffer_append(&text, (const char[]){ *c, 0 }, 2);
        assert_int_equal(hex_decode(vendor, guid, 16), 0);
        buffer_append(&text, guid, 16);
        buffer_append(&text, "\x27\0\0\0", 4);
        buffer_append(&text, auth, 16);
        buffer_append(&text, list, list_size);
        check_signature(auth + 40, length - 24, &text, certificate);
        X509_free(certificate);
        assert_int_equal(efi_variable_check(auth, size, &n, NULL), 0);
        assert_int_equal(n, 1 + !!certificates[1]);
        for (size_t cut = 0; cut < size; cut++)
                if (cut != 16 + length && cut != 16 + length + 44 + u32(list, 24) - 16)
                        assert_int_equal(efi_variable_check(auth, cut, &n, NULL), -EINVAL);
}

static void test_enrolment(void **state _unused_)
{
        static const char global[] = "61dfe48bca93d211aa0d00e098032b8c";
        static const char security[] = "cbb219d73a3d9645a3bcdad00e67656f";

        check_enrolment("PK", global, "PK.cer", (const char *const[]){ "PK.cer", NULL });
        check_enrolment("KEK", global, "PK.cer", (const char *const[]){ "KEK.cer", NULL });
        check_enrolment("db", security, "KEK.cer",
                        (const char *const[]){ "db.cer", "verity.cer", NULL });
}

/* Files that came from elsewhere; what is wrong with one is its name. */
static void test_foreign(void **state _unused_)
{
        _cleanup_closedir_ DIR *d = opendir(DATA);
        struct signer db = {};
        size_t n = 0;

        assert_int_equal(signer_open(directory, SIGNER_DB, &db, NULL), 0);
        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_free_ char *path = string_format("%s%s", DATA, e->d_name), *data = NULL;
                size_t size, certificates;
                int r;

                if (e->d_name[0] == '.')
                        continue;
                n++;
                assert_int_equal(file_read(AT_FDCWD, path, MIB, &data, &size, NULL), 0);
                r = endswith(e->d_name, ".auth")
                            ? efi_variable_check(data, size, &certificates, NULL)
                            : authenticode_check(data, size, &(struct sha256){}, db.certificate,
                                                 NULL);
                if ((r >= 0) != (startswith(e->d_name, "should-pass-") != NULL))
                        fail_msg("%s: %d", e->d_name, r);
        }
        assert_true(n > 30);
        signer_done(&db);
}

/* ---- nothing is replaced ---- */

static void test_existing(void **state _unused_)
{
        char *parent = test_mkdir();
        _cleanup_free_ char *empty = string_format("%s/empty/", parent);
        _cleanup_free_ char *missing = string_format("%s/no/where", parent);
        _cleanup_closedir_ DIR *d = NULL;
        size_t size, again_size, n = 0;
        _cleanup_free_ char *before = load("db.key", &size), *after = NULL;
        struct error err = {};

        assert_int_equal(trust_keys_generate(directory, &err), -EEXIST);
        after = load("db.key", &again_size);
        assert_int_equal(size, again_size);
        assert_memory_equal(before, after, size);
        assert_int_equal(trust_keys_generate(missing, &err), -ENOENT);
        assert_int_equal(mkdir(empty, 0700), 0);
        assert_ok(trust_keys_generate(empty, &err), &err);
        d = opendir(parent);
        while (readdir(d))
                n++;
        assert_int_equal(n, 3); /* ., .. and what was asked for: no remains */
        test_rmdir(parent);
}

static int setup(void **state)
{
        char *parent = test_mkdir();

        directory = string_format("%s/keys", parent);
        free(parent);
        test_group_setup(state);
        return trust_keys_generate(directory, NULL);
}

static int teardown(void **state)
{
        *strrchr(directory, '/') = '\0';
        test_rmdir(directory);
        return test_group_teardown(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files),        cmocka_unit_test(test_signers),
                cmocka_unit_test(test_certificates), cmocka_unit_test(test_enrolment),
                cmocka_unit_test(test_foreign),      cmocka_unit_test(test_existing),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
