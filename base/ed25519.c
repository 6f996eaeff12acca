/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See ed25519.h. OpenSSL takes and gives raw keys: the seed is its private key; the public half
 * that follows in the text form saves libsodium, and so libostree, from computing it. */

#include <assert.h>

#include "base64.h"
#include "ed25519.h"
#include "openssl.h"

enum { SEED_SIZE = ED25519_SECRET_SIZE - ED25519_KEY_SIZE };

static void key_free(EVP_PKEY *key)
{
        if (key)
                openssl()->EVP_PKEY_free(key);
}
DEFINE_CLEANUP(EVP_PKEY, key_free)
#define _cleanup_key_ _cleanup_(key_free_p)

static void context_free(EVP_MD_CTX *context)
{
        if (context)
                openssl()->EVP_MD_CTX_free(context);
}
DEFINE_CLEANUP(EVP_MD_CTX, context_free)
#define _cleanup_context_ _cleanup_(context_free_p)

static int failed(const char *what, struct error *err)
{
        openssl()->ERR_clear_error();
        return error_set(err, -EIO, "OpenSSL: %s failed", what);
}

/* The public half that belongs to the seed. */
static int complete(struct ed25519_secret *secret, struct error *err)
{
        const struct openssl *o = openssl();
        _cleanup_key_ EVP_PKEY *key =
                o->EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret->bytes, SEED_SIZE);
        size_t size = ED25519_KEY_SIZE;

        if (!key || o->EVP_PKEY_get_raw_public_key(key, secret->bytes + SEED_SIZE, &size) != 1 ||
            size != ED25519_KEY_SIZE)
                return failed("an ed25519 key", err);
        return 0;
}

int ed25519_generate(struct ed25519_secret *ret, struct error *err)
{
        struct ed25519_secret secret;
        int r = openssl_load(err);

        if (r < 0)
                return r;
        if (openssl()->RAND_priv_bytes(secret.bytes, SEED_SIZE) != 1)
                return failed("its random generator", err);
        r = complete(&secret, err);
        if (r >= 0)
                *ret = secret;
        explicit_bzero(&secret, sizeof(secret));
        return r;
}

void ed25519_public_of(const struct ed25519_secret *secret, struct ed25519_public *ret)
{
        memcpy(ret->bytes, secret->bytes + SEED_SIZE, ED25519_KEY_SIZE);
}

int ed25519_sign(const struct ed25519_secret *secret, const void *data, size_t size,
                 struct ed25519_signature *ret, struct error *err)
{
        const struct openssl *o = openssl();
        _cleanup_context_ EVP_MD_CTX *context = NULL;
        _cleanup_key_ EVP_PKEY *key = NULL;
        struct ed25519_signature signature;
        size_t n = sizeof(signature.bytes);
        int r = openssl_load(err);

        if (r < 0)
                return r;
        key = o->EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret->bytes, SEED_SIZE);
        context = o->EVP_MD_CTX_new();
        if (!key || !context || o->EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
            o->EVP_DigestSign(context, signature.bytes, &n, data, size) != 1)
                return failed("ed25519 signing", err);
        *ret = signature;
        return 0;
}

int ed25519_verify(const struct ed25519_public *key, const void *data, size_t size,
                   const struct ed25519_signature *signature)
{
        const struct openssl *o = openssl();
        _cleanup_context_ EVP_MD_CTX *context = NULL;
        _cleanup_key_ EVP_PKEY *public = NULL;

        if (openssl_load(NULL) < 0)
                return -EKEYREJECTED;
        public = o->EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes,
                                                ED25519_KEY_SIZE);
        context = o->EVP_MD_CTX_new();
        if (public && context && o->EVP_DigestVerifyInit(context, NULL, NULL, NULL, public) == 1 &&
            o->EVP_DigestVerify(context, signature->bytes, ED25519_SIGNATURE_SIZE, data, size) == 1)
                return 0;
        o->ERR_clear_error();
        return -EKEYREJECTED;
}

/* ---- text ---- */

static_assert(BASE64_SIZE(ED25519_KEY_SIZE) == ED25519_PUBLIC_TEXT_SIZE, "a public key's text");
static_assert(BASE64_SIZE(ED25519_SECRET_SIZE) == ED25519_SECRET_TEXT_SIZE, "a secret key's text");

char *ed25519_public_text(const struct ed25519_public *key, char *ret)
{
        base64_write(key->bytes, ED25519_KEY_SIZE, ret);
        return ret;
}

char *ed25519_secret_text(const struct ed25519_secret *secret, char *ret)
{
        base64_write(secret->bytes, ED25519_SECRET_SIZE, ret);
        return ret;
}

/* Only the one spelling: no line breaks, no stray bits before the padding. */
static int parse(const char *text, uint8_t *ret, size_t size)
{
        char again[ED25519_SECRET_TEXT_SIZE], *bytes = NULL;
        size_t n = 0;
        int r = -EINVAL;

        if (strlen(text) == BASE64_SIZE(size) - 1)
                r = base64_decode(text, strlen(text), &bytes, &n);
        if (r < 0)
                return r;
        base64_write(bytes, n, again);
        if (n == size && streq(again, text))
                memcpy(ret, bytes, size);
        else
                r = -EINVAL;
        explicit_bzero(again, sizeof(again));
        explicit_bzero(bytes, n);
        free(bytes);
        return r;
}

int ed25519_public_parse(const char *text, struct ed25519_public *ret)
{
        return parse(text, ret->bytes, ED25519_KEY_SIZE);
}

int ed25519_secret_parse(const char *text, struct ed25519_secret *ret)
{
        struct ed25519_secret given, computed;
        int r;

        r = parse(text, given.bytes, ED25519_SECRET_SIZE);
        if (r < 0)
                return r;
        computed = given;
        r = openssl_load(NULL);
        if (r >= 0)
                r = complete(&computed, NULL);
        if (r >= 0 && memcmp(&given, &computed, sizeof(given)) != 0)
                r = -EINVAL;
        if (r >= 0)
                *ret = given;
        explicit_bzero(&given, sizeof(given));
        explicit_bzero(&computed, sizeof(computed));
        return r;
}
