/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signatures for firmware: the same bytes every time, good for the image and the certificate they
 * are of and for no other. Other programs' opinion of them is in tests/cli. */

#include "test.h"

#include "authenticode.h"
#include "pe-certificate.h"
#include "strv.h"
#include "trust-keys.h"

struct world {
        char *directory;
        struct signer db, other;
        char *image, *with; /* unsigned, signed */
        size_t size, with_size;
};

static int setup(void **state)
{
        static struct world w;
        _cleanup_free_ char *keys = NULL;
        struct error err = {};

        w.directory = test_mkdir();
        keys = string_format("%s/keys", w.directory);
        assert_ok(trust_keys_generate(keys, &err), &err);
        assert_ok(signer_open(keys, SIGNER_DB, &w.db, &err), &err);
        assert_ok(signer_open(keys, SIGNER_VERITY, &w.other, &err), &err);
        assert_ok(file_read(AT_FDCWD, TEST_DATA_DIR "/pe/stub-minimal.efi", MIB, &w.image, &w.size,
                            &err),
                  &err);
        assert_ok(authenticode_sign(&w.db, "image", w.image, w.size, &w.with, &w.with_size, &err),
                  &err);
        *state = &w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;

        test_rmdir(w->directory);
        signer_done(&w->db);
        signer_done(&w->other);
        free(w->image);
        free(w->with);
        return 0;
}

static int verify(const struct world *w, const void *image, size_t size)
{
        return authenticode_verify(image, size, w->db.certificate, NULL);
}

static void test_good(void **state)
{
        struct world *w = *state;
        _cleanup_free_ char *again = NULL;
        size_t size;

        assert_int_equal(verify(w, w->with, w->with_size), 0);
        assert_int_equal(authenticode_sign(&w->db, "image", w->image, w->size, &again, &size, NULL),
                         0);
        assert_int_equal(size, w->with_size);
        assert_memory_equal(again, w->with, size);
}

static void test_rejected(void **state)
{
        struct world *w = *state;
        _cleanup_free_ char *foreign = NULL;
        size_t size;

        assert_int_equal(verify(w, w->image, w->size), -ENODATA);
        assert_int_equal(
                authenticode_sign(&w->other, "image", w->image, w->size, &foreign, &size, NULL), 0);
        assert_int_equal(verify(w, foreign, size), -EKEYREJECTED);
        assert_int_equal(authenticode_verify(foreign, size, w->other.certificate, NULL), 0);
}

/* One signature of several is enough, wherever it stands. */
static void test_several(void **state)
{
        struct world *w = *state;
        _cleanup_free_ char *both = NULL, *rev = NULL, *first = NULL;
        size_t size, first_size;

        assert_int_equal(
                authenticode_sign(&w->other, "image", w->with, w->with_size, &both, &size, NULL),
                0);
        assert_int_equal(verify(w, both, size), 0);
        assert_int_equal(authenticode_verify(both, size, w->other.certificate, NULL), 0);
        assert_int_equal(
                authenticode_sign(&w->other, "image", w->image, w->size, &first, &first_size, NULL),
                0);
        assert_int_equal(authenticode_sign(&w->db, "image", first, first_size, &rev, &size, NULL),
                         0);
        assert_int_equal(verify(w, rev, size), 0);
}

/* Every byte of the image that counts; and of the signature, as far as it means anything. */
static void test_flipped(void **state)
{
        struct world *w = *state;
        _cleanup_free_ char *image = malloc(w->with_size);
        struct pe pe;
        size_t accepted = 0;

        assert_int_equal(pe_read(w->with, w->with_size, &pe, NULL), 0);
        memcpy(image, w->with, w->with_size);
        for (size_t i = 0x400; i < w->size; i += 64) {
                image[i] ^= 1;
                assert_int_equal(verify(w, image, w->with_size), -EBADMSG);
                image[i] ^= 1;
        }
        for (size_t i = w->size; i < w->with_size; i++) {
                image[i] ^= 1;
                accepted += verify(w, image, w->with_size) >= 0;
                image[i] ^= 1;
        }
        /* The certificate in it is not looked at: what we compare with is ours. */
        assert_true(accepted < 900);
        assert_int_equal(verify(w, image, w->with_size), 0);
}

static void test_cut(void **state)
{
        struct world *w = *state;

        for (size_t size = 0; size < w->with_size; size++)
                assert_true(verify(w, w->with, size) < 0);
}

/* A good signature of another image, and things that are none. */
static void test_transplanted(void **state)
{
        struct world *w = *state;
        _cleanup_free_ char *pkcs7 = NULL, *root = NULL, *image = NULL, *plain = NULL;
        size_t size, n;
        struct sha256 digest = {};

        assert_int_equal(authenticode_make(&w->db, &digest, &pkcs7, &n, NULL), 0);
        assert_int_equal(authenticode_check(pkcs7, n, &digest, w->db.certificate, NULL), 0);
        assert_int_equal(pe_attach(w->image, w->size, pkcs7, n, &image, &size, NULL), 0);
        assert_int_equal(verify(w, image, size), -EBADMSG);
        /* What signs a root hash is no signature of an image, though by the same key. */
        assert_int_equal(signer_pkcs7(&w->db, "data", 4, true, &root, &n, NULL), 0);
        assert_int_equal(authenticode_check(root, n, &digest, w->db.certificate, NULL),
                         -EKEYREJECTED);
        assert_int_equal(signer_signed_data(&w->db, "data", 4, &plain, &n, NULL), 0);
        assert_int_equal(authenticode_check(plain, n, &digest, w->db.certificate, NULL),
                         -EKEYREJECTED);
        assert_int_equal(authenticode_check("", 0, &digest, w->db.certificate, NULL),
                         -EKEYREJECTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),    cmocka_unit_test(test_rejected),
                cmocka_unit_test(test_several), cmocka_unit_test(test_flipped),
                cmocka_unit_test(test_cut),     cmocka_unit_test(test_transplanted),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
