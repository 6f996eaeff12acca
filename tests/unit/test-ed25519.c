/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signatures: the test vectors of RFC 8032 §7.1, what must not verify, and the text forms. */

#include "ed25519.h"
#include "test.h"
#include "uuid.h"

static const struct {
        const char *seed, *public, *message, *signature;
} vectors[] = {
        { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
          "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
          "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
        { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
          "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
          "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290"
          "ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
};

static void load(size_t i, struct ed25519_secret *secret, uint8_t *message, size_t *size,
                 struct ed25519_signature *signature)
{
        *size = strlen(vectors[i].message) / 2;
        assert_int_equal(hex_decode(vectors[i].seed, secret->bytes, 32), 0);
        assert_int_equal(hex_decode(vectors[i].public, secret->bytes + 32, 32), 0);
        assert_int_equal(hex_decode(vectors[i].message, message, *size), 0);
        assert_int_equal(hex_decode(vectors[i].signature, signature->bytes, 64), 0);
}

static void rfc8032(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
                struct ed25519_signature expected, made;
                struct ed25519_secret secret;
                struct ed25519_public public;
                struct error err = {};
                uint8_t message[8];
                size_t size;

                load(i, &secret, message, &size, &expected);
                ed25519_public_of(&secret, &public);
                assert_ok(ed25519_sign(&secret, message, size, &made, &err), &err);
                assert_memory_equal(made.bytes, expected.bytes, sizeof(made.bytes));
                assert_int_equal(ed25519_verify(&public, message, size, &made), 0);
        }
}

static void rejected(void **state _unused_)
{
        struct ed25519_signature signature;
        struct ed25519_public public;
        struct ed25519_secret secret;
        uint8_t message[8];
        size_t size;

        load(2, &secret, message, &size, &signature);
        ed25519_public_of(&secret, &public);
        assert_int_equal(ed25519_verify(&public, message, size, &signature), 0);
        assert_int_equal(ed25519_verify(&public, message, size - 1, &signature), -EKEYREJECTED);
        message[0] ^= 1;
        assert_int_equal(ed25519_verify(&public, message, size, &signature), -EKEYREJECTED);
        message[0] ^= 1;
        for (size_t i = 0; i < 64; i += 9) {
                signature.bytes[i] ^= 0x40;
                assert_int_equal(ed25519_verify(&public, message, size, &signature), -EKEYREJECTED);
                signature.bytes[i] ^= 0x40;
        }
        public.bytes[5] ^= 1;
        assert_int_equal(ed25519_verify(&public, message, size, &signature), -EKEYREJECTED);
}

static void generated(void **state _unused_)
{
        struct ed25519_secret a, b, again;
        struct ed25519_public public, public_again;
        struct ed25519_signature signature;
        char text[ED25519_SECRET_TEXT_SIZE];
        struct error err = {};

        assert_ok(ed25519_generate(&a, &err), &err);
        assert_ok(ed25519_generate(&b, &err), &err);
        assert_memory_not_equal(a.bytes, b.bytes, 32);
        ed25519_public_of(&a, &public);
        assert_ok(ed25519_sign(&a, "x", 1, &signature, &err), &err);
        assert_int_equal(ed25519_verify(&public, "x", 1, &signature), 0);
        assert_int_equal(ed25519_secret_parse(ed25519_secret_text(&a, text), &again), 0);
        assert_memory_equal(&a, &again, sizeof(a));
        assert_int_equal(ed25519_public_parse(ed25519_public_text(&public, text), &public_again),
                         0);
        assert_memory_equal(&public, &public_again, sizeof(public));
}

static void bad_texts(void **state _unused_)
{
        static const char *const public_texts[] = {
                "",
                "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHUR",     /* short */
                "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURp=",   /* stray bits */
                "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n", /* a line end */
                "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHU\nRo",
                "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHUR!=",
                "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURoA",
        };
        struct ed25519_public public = {}, none = {};
        struct ed25519_secret secret = {};
        char text[ED25519_SECRET_TEXT_SIZE];
        struct error err = {};

        for (size_t i = 0; i < ARRAY_SIZE(public_texts); i++)
                assert_int_equal(ed25519_public_parse(public_texts[i], &public), -EINVAL);
        assert_memory_equal(&public, &none, sizeof(public));
        assert_int_equal(
                ed25519_public_parse("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", &public), 0);
        assert_int_equal(public.bytes[0], 0xd7);

        /* Halves that do not belong together. */
        assert_ok(ed25519_generate(&secret, &err), &err);
        secret.bytes[40] ^= 1;
        assert_int_equal(ed25519_secret_parse(ed25519_secret_text(&secret, text), &secret),
                         -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rfc8032),
                cmocka_unit_test(rejected),
                cmocka_unit_test(generated),
                cmocka_unit_test(bad_texts),
        };

        return test_run(tests);
}
