/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include "keyring.h"

static const char text[] = "release 1.0.1";

struct fixture {
        char *root;
        int fd;
        struct ed25519_secret secrets[3];
        char lines[3][ED25519_PUBLIC_TEXT_SIZE];
};

static void setup(struct fixture *f)
{
        struct error err = {};

        f->root = test_mkdir();
        f->fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < ARRAY_SIZE(f->secrets); i++) {
                struct ed25519_public public;

                assert_ok(ed25519_generate(&f->secrets[i], &err), &err);
                ed25519_public_of(&f->secrets[i], &public);
                ed25519_public_text(&public, f->lines[i]);
        }
        assert_ok(path_mkdirs(f->fd, "keys.d", 0755, &err), &err);
        assert_ok(path_mkdirs(f->fd, "more.d", 0755, &err), &err);
        assert_ok(path_mkdirs(f->fd, "revoked.d", 0755, &err), &err);
}

static void teardown(struct fixture *f)
{
        close(f->fd);
        test_rmdir(f->root);
}

static void put(struct fixture *f, const char *path, const char *content)
{
        struct error err = {};

        assert_ok(file_write(f->fd, path, content, strlen(content), 0644, &err), &err);
}

static int load(struct fixture *f, struct keyring *k, struct error *err)
{
        char *keys[] = { (char *)"/keys.d", (char *)"/more.d", (char *)"/absent.d", NULL };
        char *revoked[] = { (char *)"/absent.d", (char *)"/revoked.d", NULL };

        return keyring_load(f->root, keys, revoked, k, err);
}

/* Whether the keyring takes a signature by one of the fixture's keys. */
static bool takes(struct fixture *f, const struct keyring *k, size_t key)
{
        struct ed25519_signature s[2] = {};
        struct error err = {};
        int r;

        assert_ok(ed25519_sign(&f->secrets[key], text, sizeof(text), &s[1], &err), &err);
        r = keyring_verify(k, text, sizeof(text), s, 2, &err);
        assert_true(r == 0 || r == -EKEYREJECTED);
        assert_int_equal(keyring_verify(k, "other", 5, s, 2, &err), -EKEYREJECTED);
        return r == 0;
}

static void test_rotation(void **state _unused_)
{
        struct error err = {};
        struct fixture f;
        struct keyring k = {};
        char content[512];

        setup(&f);
        assert_int_equal(load(&f, &k, &err), -ENOKEY);
        snprintf(content, sizeof(content), "# of 2026\n\n  %s\t# the first\r\n%s\n", f.lines[0],
                 f.lines[0]);
        put(&f, "keys.d/a.ed25519", content);
        put(&f, "keys.d/README", "not a key\n");
        put(&f, "keys.d/.b.ed25519", "a draft\n");
        assert_ok(load(&f, &k, &err), &err);
        assert_int_equal(k.count, 1);
        assert_true(takes(&f, &k, 0));
        assert_false(takes(&f, &k, 1));
        put(&f, "more.d/b.ed25519", f.lines[1]);
        assert_ok(load(&f, &k, &err), &err);
        assert_true(takes(&f, &k, 0) && takes(&f, &k, 1));
        assert_false(takes(&f, &k, 2));
        put(&f, "revoked.d/a.ed25519", f.lines[0]);
        assert_ok(load(&f, &k, &err), &err);
        assert_int_equal(k.count, 1);
        assert_false(takes(&f, &k, 0));
        assert_true(takes(&f, &k, 1));
        put(&f, "revoked.d/b.ed25519", f.lines[1]);
        assert_int_equal(load(&f, &k, &err), -ENOKEY);
        assert_non_null(strstr(err.message, "revoked"));
        teardown(&f);
}

static void test_unsigned(void **state _unused_)
{
        struct keyring k = { .count = 1 };
        struct error err = {};

        assert_int_equal(keyring_verify(&k, text, sizeof(text), NULL, 0, &err), -EKEYREJECTED);
        assert_non_null(strstr(err.message, "not signed"));
}

/* What cannot be understood ends everything, in both kinds of directory. */
static void test_bad_files(void **state _unused_)
{
        static const char *const bad[] = { "x", "AAAA", "=", "\x01" };
        struct error err = {};
        struct fixture f;
        struct keyring k = { .count = 7 };
        char long_file[KEYRING_FILE_MAX + 2];

        setup(&f);
        put(&f, "keys.d/a.ed25519", f.lines[0]);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                put(&f, "revoked.d/r.ed25519", bad[i]);
                assert_int_equal(load(&f, &k, &err), -EINVAL);
                assert_non_null(strstr(err.message, "r.ed25519:1"));
        }
        memset(long_file, '\n', sizeof(long_file) - 1);
        long_file[sizeof(long_file) - 1] = '\0';
        put(&f, "revoked.d/r.ed25519", long_file);
        assert_int_equal(load(&f, &k, &err), -EFBIG);
        assert_ok(file_write(f.fd, "revoked.d/r.ed25519", "\n\0x", 3, 0644, &err), &err);
        assert_int_equal(load(&f, &k, &err), -EINVAL);
        assert_int_equal(k.count, 7);
        teardown(&f);
}

static void test_too_many(void **state _unused_)
{
        char content[(KEYRING_KEYS_MAX + 1) * ED25519_PUBLIC_TEXT_SIZE + 1] = "";
        struct error err = {};
        struct fixture f;
        struct keyring k;

        setup(&f);
        for (size_t i = 0; i <= KEYRING_KEYS_MAX; i++) {
                struct ed25519_public key = { { (uint8_t)i } };
                char line[ED25519_PUBLIC_TEXT_SIZE];

                strcat(content, ed25519_public_text(&key, line));
                strcat(content, "\n");
        }
        put(&f, "keys.d/a.ed25519", content);
        assert_int_equal(load(&f, &k, &err), -E2BIG);
        teardown(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rotation),
                cmocka_unit_test(test_unsigned),
                cmocka_unit_test(test_bad_files),
                cmocka_unit_test(test_too_many),
        };

        return test_run(tests);
}
