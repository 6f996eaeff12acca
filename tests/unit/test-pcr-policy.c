/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What PCR 11 will hold, and the signature of it: against what systemd-measure (252) gave for the
 * same sections and the same key; every way in which a UKI and its signature do not agree; texts of
 * .pcrsig that must be refused. */

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "pcr-policy.h"
#include "pcr-signature.h"
#include "pe.h"
#include "strv.h"
#include "test.h"

static const struct uki_input input = {
        .linux_image = "content of linux\n",
        .linux_size = 17,
        .os_release = "content of osrel\n",
        .cmdline = "content of cmdline\n",
        .initrd = "content of initrd\n",
        .initrd_size = 18,
};

/* systemd-measure calculate --phase=… for the contents above and the key in pcr-policy/key.pem. */
static const char *const expected[_PCR_PHASE_MAX] = {
        [PCR_PHASE_KERNEL] = "bbc27a35074aabbf3c734dd4d4349d031ef6ef7ca7aa7b37a6058dd45a60eae8",
        [PCR_PHASE_ENTER_INITRD] =
                "337ff9d7abae53d239fdd2d05f546a06538965eca173d87cf679fef683cc83de",
        [PCR_PHASE_LEAVE_INITRD] =
                "41e221a4a5383d2354aecaf3f7eda9e4d4a97a2d459fc3b77152ec6d8fc7fb26",
};

static char *load(const char *name, size_t *ret_size)
{
        _cleanup_free_ char *path = string_format("%s/%s", TEST_DATA_DIR, name);
        struct error err = {};
        char *data = NULL;

        assert_non_null(path);
        assert_ok(file_read(AT_FDCWD, path, MIB, &data, ret_size, &err), &err);
        return data;
}

/* A UKI of the input with that public key (NULL: none). */
static char *make_uki(const char *pcr_key, size_t *ret_size)
{
        _cleanup_free_ char *stub = NULL;
        struct uki_input in = input;
        struct error err = {};
        char *uki = NULL;

        in.stub = stub = load("pe/stub-minimal.efi", &in.stub_size);
        in.pcr_key = pcr_key;
        assert_ok(uki_build(&in, &uki, ret_size, &err), &err);
        return uki;
}

static struct signer make_signer(void)
{
        struct signer s = { .key = EVP_RSA_gen(2048) };

        assert_non_null(s.key);
        return s;
}

/* A UKI that carries the signer's key and signature. */
static char *make_signed(const struct signer *signer, size_t *ret_size)
{
        _cleanup_free_ char *pem = NULL, *plain = NULL;
        struct pcr_prediction prediction;
        struct error err = {};
        char *uki = NULL;
        size_t size;

        assert_ok(signer_public_key(signer, &pem, &err), &err);
        plain = make_uki(pem, &size);
        assert_ok(pcr_predict(plain, size, &prediction, &err), &err);
        assert_ok(pcr_policy_sign(plain, size, &prediction, signer, &uki, ret_size, &err), &err);
        return uki;
}

static char *section(const char *uki, size_t size, const char *name)
{
        struct error err = {};
        struct pe pe;

        assert_ok(pe_read(uki, size, &pe, &err), &err);
        assert_non_null(pe_find(&pe, name));
        return (char *)uki + pe_find(&pe, name)->offset;
}

/* ---- against systemd ---- */

static void predicted_as_systemd_does(void **state _unused_)
{
        _cleanup_free_ char *key = load("pcr-policy/key.pem", NULL), *uki = NULL;
        struct pcr_prediction prediction;
        char hex[SHA256_HEX_SIZE];
        struct error err = {};
        size_t size, checked = 0;

        uki = make_uki(key, &size);
        assert_ok(pcr_predict(uki, size, &prediction, &err), &err);
        for (enum pcr_phase p = 0; p < _PCR_PHASE_MAX; p++) {
                if (!expected[p])
                        continue;
                assert_string_equal(sha256_hex(&prediction.values[p], hex), expected[p]);
                checked++;
        }
        assert_int_equal(checked, 3);
}

/* The signature that systemd-measure made fits, and the text around it is the same. */
static void signed_as_systemd_does(void **state _unused_)
{
        _cleanup_(pcr_signatures_done) struct pcr_signatures theirs = {};
        _cleanup_free_ char *key = load("pcr-policy/key.pem", NULL), *text = NULL, *plain = NULL,
                            *uki = NULL;
        const struct pcr_signature *s;
        struct pcr_prediction prediction;
        struct sha256 fingerprint;
        struct error err = {};
        size_t size, text_size;

        text = load("pcr-signature/should-pass-systemd-measure.json", &text_size);
        assert_ok(pcr_signatures_parse(text, text_size, &theirs, &err), &err);
        s = theirs.list.items;
        plain = make_uki(key, &size);
        assert_ok(pcr_policy_attach(plain, size, s->signature, s->size, &uki, &size, &err), &err);
        assert_ok(pcr_policy_check(uki, size, &prediction, &fingerprint, &err), &err);
        assert_true(sha256_equal(&fingerprint, &s->key));
        assert_memory_equal(section(uki, size, ".pcrsig"), text, text_size);
}

/* The stub's .sbat and the kernel's version count, .pcrsig does not. */
static void what_is_measured(void **state _unused_)
{
        static const char *const names[] = { ".uname", ".sbat", ".ucode", ".pcrsig", ".sdmagic" };
        static const bool counts[] = { true, true, true, false, false };
        _cleanup_free_ char *plain = NULL;
        struct pcr_prediction before;
        struct error err = {};
        size_t size;

        plain = make_uki(NULL, &size);
        assert_ok(pcr_predict(plain, size, &before, &err), &err);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const struct uki_section more = { names[i], "more", 4 };
                _cleanup_free_ char *uki = NULL;
                struct pcr_prediction after;
                size_t n;

                assert_ok(pe_append(plain, size, &more, 1, &uki, &n, &err), &err);
                assert_ok(pcr_predict(uki, n, &after, &err), &err);
                assert_int_equal(memcmp(&before, &after, sizeof(before)) != 0, counts[i]);
        }
}

/* Memory behind the bytes of the file is measured as zeros. */
static void memory_behind_the_file(void **state _unused_)
{
        enum { VIRTUAL_SIZE = 8 /* in a section's row */, FILE_BYTES = 512, MORE = 600 };
        static char zeros[MORE] = "text";
        const struct uki_section whole = { ".uname", zeros, MORE }, half = { ".uname", zeros, 4 };
        _cleanup_free_ char *plain = NULL, *a = NULL, *b = NULL;
        struct pcr_prediction first, second;
        uint32_t memory_size = MORE;
        struct error err = {};
        size_t size, n, m;
        struct pe pe;

        plain = make_uki(NULL, &size);
        assert_ok(pe_append(plain, size, &whole, 1, &a, &n, &err), &err);
        assert_ok(pe_append(plain, size, &half, 1, &b, &m, &err), &err);
        assert_ok(pe_read(b, m, &pe, &err), &err);
        assert_int_equal(pe.sections[pe.n_sections - 1].file_size, FILE_BYTES);
        memcpy(b + pe.table_offset + (pe.n_sections - 1) * 40 + VIRTUAL_SIZE, &memory_size, 4);
        assert_ok(pcr_predict(a, n, &first, &err), &err);
        assert_ok(pcr_predict(b, m, &second, &err), &err);
        assert_memory_equal(&first, &second, sizeof(first));
}

/* ---- our own keys ---- */

static void signed_and_checked(void **state _unused_)
{
        _cleanup_signer_ struct signer signer = make_signer();
        struct pcr_prediction prediction, again;
        _cleanup_free_ char *uki = NULL;
        struct sha256 fingerprint;
        struct error err = {};
        size_t size;

        uki = make_signed(&signer, &size);
        assert_ok(pcr_policy_check(uki, size, &prediction, &fingerprint, &err), &err);
        assert_ok(pcr_predict(uki, size, &again, &err), &err);
        assert_memory_equal(&prediction, &again, sizeof(again));
}

/* One changed byte of anything that is measured, of the key or of the signature is noticed. */
static void changed(void **state _unused_)
{
        static const char *const names[] = { ".linux",  ".osrel",   ".cmdline",
                                             ".initrd", ".pcrpkey", ".pcrsig" };
        _cleanup_signer_ struct signer signer = make_signer();
        _cleanup_free_ char *uki = NULL;
        struct pcr_prediction prediction;
        struct sha256 fingerprint;
        struct error err = {};
        size_t size;

        uki = make_signed(&signer, &size);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                char *bytes = section(uki, size, names[i]);
                /* Deep inside of the base64 of key and signature. */
                size_t at = startswith(names[i], ".pcr") ? 300 : 3;
                char old = bytes[at];
                int r;

                bytes[at] = old == 'A' ? 'B' : 'A';
                r = pcr_policy_check(uki, size, &prediction, &fingerprint, &err);
                if (r != -EKEYREJECTED && r != -EINVAL)
                        fail_msg("%s: %d %s", names[i], r, r < 0 ? err.message : "");
                bytes[at] = old;
        }
        assert_ok(pcr_policy_check(uki, size, &prediction, &fingerprint, &err), &err);
}

static void foreign_signature(void **state _unused_)
{
        _cleanup_signer_ struct signer signer = make_signer(), other = make_signer();
        _cleanup_free_ char *pem = NULL, *plain = NULL, *signature = NULL, *uki = NULL;
        struct pcr_prediction prediction;
        struct sha256 digest;
        size_t size, signature_size, n;
        struct error err = {};

        assert_ok(signer_public_key(&signer, &pem, &err), &err);
        plain = make_uki(pem, &size);
        assert_ok(pcr_predict(plain, size, &prediction, &err), &err);
        assert_int_equal(pcr_policy_sign(plain, size, &prediction, &other, &uki, &n, &err),
                         -EKEYREJECTED);
        pcr_policy_digest(&prediction, &digest);
        assert_ok(signer_sign(&other, digest.bytes, SHA256_SIZE, &signature, &signature_size, &err),
                  &err);
        assert_int_equal(pcr_policy_attach(plain, size, signature, signature_size, &uki, &n, &err),
                         -EKEYREJECTED);
        assert_null(uki);
        free(signature);
        assert_ok(
                signer_sign(&signer, digest.bytes, SHA256_SIZE, &signature, &signature_size, &err),
                &err);
        assert_ok(pcr_policy_attach(plain, size, signature, signature_size, &uki, &n, &err), &err);
}

static void sections_that_lack(void **state _unused_)
{
        const struct uki_section profile = { ".profile", "x", 1 };
        _cleanup_signer_ struct signer signer = make_signer();
        _cleanup_free_ char *pem = NULL, *bare = NULL, *unsigned_ = NULL, *other = NULL,
                            *uki = NULL;
        struct pcr_prediction prediction;
        struct sha256 fingerprint;
        struct error err = {};
        size_t size, n;

        bare = make_uki(NULL, &size);
        assert_int_equal(pcr_policy_check(bare, size, &prediction, &fingerprint, &err), -ENOKEY);
        assert_ok(pcr_predict(bare, size, &prediction, &err), &err);
        assert_int_equal(pcr_policy_sign(bare, size, &prediction, &signer, &uki, &n, &err),
                         -ENOKEY);
        assert_ok(pe_append(bare, size, &profile, 1, &other, &n, &err), &err);
        assert_int_equal(pcr_predict(other, n, &prediction, &err), -EOPNOTSUPP);
        assert_ok(signer_public_key(&signer, &pem, &err), &err);
        unsigned_ = make_uki(pem, &size);
        assert_int_equal(pcr_policy_check(unsigned_, size, &prediction, &fingerprint, &err),
                         -ENOKEY);
        assert_string_equal(err.message, "PCR policy: no section .pcrsig");
}

/* ---- the text ---- */

static void texts(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/pcr-signature");
        size_t passed = 0, failed = 0;
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                _cleanup_pcr_signatures_ struct pcr_signatures s = {};
                _cleanup_free_ char *text = NULL, *name = NULL;
                struct error err = {};
                size_t size;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                name = string_format("pcr-signature/%s", entry->d_name);
                text = load(name, &size);
                r = pcr_signatures_parse(text, size, &s, &err);
                if ((r < 0) == !!startswith(entry->d_name, "should-pass-"))
                        fail_msg("%s: %d %s", entry->d_name, r, err.message);
                passed += r >= 0;
                failed += r < 0;
        }
        assert_true(passed >= 2 && failed >= 20);
}

static void text_too_long(void **state _unused_)
{
        _cleanup_free_ char *text = calloc(1, PCR_SIGNATURE_TEXT_MAX + 1);
        struct pcr_signatures s;

        assert_non_null(text);
        assert_int_equal(pcr_signatures_parse(text, PCR_SIGNATURE_TEXT_MAX + 1, &s, NULL), -EFBIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(predicted_as_systemd_does),
                cmocka_unit_test(signed_as_systemd_does),
                cmocka_unit_test(what_is_measured),
                cmocka_unit_test(memory_behind_the_file),
                cmocka_unit_test(signed_and_checked),
                cmocka_unit_test(changed),
                cmocka_unit_test(foreign_signature),
                cmocka_unit_test(sections_that_lack),
                cmocka_unit_test(texts),
                cmocka_unit_test(text_too_long),
        };

        return test_run(tests);
}
