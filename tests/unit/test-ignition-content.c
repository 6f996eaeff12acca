/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What resources stand for: data: URLs, other URLs as far as they are looked at, gzip, checksums.
 */

#include "data-url.h"
#include "digest.h"
#include "resource.h"
#include "test.h"

static const struct {
        const char *url, *want; /* NULL: refused */
} urls[] = {
        { "data:,", "" },
        { "data:,hello", "hello" },
        { "data:,a%20b%0Ac", "a b\nc" },
        { "data:,a+b", "a+b" },
        { "data:text/plain,x", "x" },
        { "data:text/plain;charset=utf-8,x", "x" },
        { "data:text/plain;charset=\"utf,8\",x", "x" },
        { "data:;charset=utf-8,x", "x" },
        { "data:;base64,aGk=", "hi" },
        { "data:;base64,aGk+", "hi>" },
        { "data:text/plain;charset=utf-8;base64,aGVsbG8K", "hello\n" },
        { "data:;base64,", "" },
        { "data:;base64,YQ==", "a" },
        { "data:,a,b;c", "a,b;c" },
        { "data:;base64,YQ", NULL },       /* no padding */
        { "data:;base64,YQ=", NULL },      /* not enough of it */
        { "data:;base64,YQ===", NULL },    /* too much */
        { "data:;base64,YQ==YQ==", NULL }, /* something behind it */
        { "data:;base64,Y=Q=", NULL },
        { "data:;base64,a-_b", NULL },   /* URL-safe alphabet */
        { "data:;base64,aG k", NULL },   /* white space */
        { "data:,a%2", NULL },           /* cut off */
        { "data:,a%", NULL },            /* cut off */
        { "data:,a%zz", NULL },          /* no hex digits */
        { "data:,a b", NULL },           /* must be escaped */
        { "data:,\xc3\xa4", NULL },      /* must be escaped */
        { "data:hello", NULL },          /* no comma */
        { "data:text,x", NULL },         /* no subtype */
        { "data:;charset,x", NULL },     /* no value */
        { "data:;charset=,x", NULL },    /* no value */
        { "data:;charset=\"x,y", NULL }, /* no end */
        { "data", NULL },
        { "", NULL },
        { "http://h/", NULL },
};

static void test_data_urls(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
                _cleanup_free_ char *data = NULL;
                struct error err = {};
                size_t size = 0;
                int r = data_url_decode(urls[i].url, &data, &size, &err);

                if (r != (urls[i].want ? 0 : -EINVAL))
                        fail_msg("%s: %d %s", urls[i].url, r, err.message);
                if (!urls[i].want)
                        continue;
                assert_int_equal(size, strlen(urls[i].want));
                assert_string_equal(data, urls[i].want);
        }
}

static void test_zero_bytes(void **state _unused_)
{
        _cleanup_free_ char *data = NULL, *base64 = NULL;
        struct error err = {};
        size_t size;

        assert_ok(data_url_decode("data:,a%00b", &data, &size, &err), &err);
        assert_int_equal(size, 3);
        assert_memory_equal(data, "a\0b", 4);
        assert_ok(data_url_decode("data:;base64,AAAA", &base64, &size, &err), &err);
        assert_int_equal(size, 3);
        assert_memory_equal(base64, "\0\0\0", 4);
}

static void test_schemes(void **state _unused_)
{
        static const struct {
                const char *url, *scheme; /* NULL: no URL */
        } cases[] = {
                { "http://h/a?b#c", "http" },
                { "HTTPS://u:p@h:8/", "https" },
                { "data:,x%zz", "data" },
                { "path/only", "" },
                { "//h/x", "" },
                { "s3://b/k", "s3" },
                { "http://h:x/", NULL },
                { "http://h/%zz", NULL },
                { "http://[::1]:80/", "http" },
                { "http://[::1/", NULL },
                { "http://a\x01", NULL },
                { ":x", NULL },
                { "http://h/#%z", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char scheme[URL_SCHEME_MAX] = "unset";
                int r = url_scheme(cases[i].url, scheme);

                if (r != (cases[i].scheme ? 0 : -EINVAL))
                        fail_msg("%s: %d", cases[i].url, r);
                if (cases[i].scheme)
                        assert_string_equal(scheme, cases[i].scheme);
        }
}

struct text_sink {
        struct sink sink;
        char text[64];
        size_t size;
};

static int take(struct sink *sink, const void *data, size_t size, struct error *err)
{
        struct text_sink *s = (struct text_sink *)sink;

        if (size >= sizeof(s->text) - s->size)
                return error_set(err, -EFBIG, "too much");
        memcpy(s->text + s->size, data, size);
        s->size += size;
        s->text[s->size] = '\0';
        return 0;
}

/* "hello\n" and "world\n" as members of their own. */
static const char hello[] = "1f8b0800000000000203cb48cdc9c9e7020020303a3606000000";

static size_t bytes(const char *hex, uint8_t *ret)
{
        size_t n = strlen(hex) / 2;

        assert_int_equal(hex_decode(hex, ret, n), 0);
        return n;
}

static int inflate_bytes(const uint8_t *data, size_t size, struct text_sink *s)
{
        struct error err = {};
        int r;

        *s = (struct text_sink){ .sink.write = take };
        r = gzip_decompress(data, size, &s->sink, &err);
        assert_int_equal(r < 0, err.message[0] != '\0');
        return r;
}

static void test_gzip(void **state _unused_)
{
        uint8_t data[128];
        struct text_sink s;
        size_t n = bytes(hello, data);

        assert_int_equal(inflate_bytes(data, n, &s), 0);
        assert_string_equal(s.text, "hello\n");
        /* two members are one content */
        memcpy(data + n, data, n);
        assert_int_equal(inflate_bytes(data, 2 * n, &s), 0);
        assert_string_equal(s.text, "hello\nhello\n");
        /* every cut is an error */
        for (size_t size = 0; size < n; size++)
                assert_int_equal(inflate_bytes(data, size, &s), -EBADMSG);
        for (size_t size = n + 1; size < 2 * n; size++)
                assert_int_equal(inflate_bytes(data, size, &s), -EBADMSG);
        /* so is anything behind it; a flipped bit is found, or was one that fills up a byte */
        data[n] = 'x';
        assert_int_equal(inflate_bytes(data, n + 1, &s), -EBADMSG);
        for (size_t bit = 8 * 10; bit < 8 * n; bit++) {
                data[bit / 8] ^= (uint8_t)(1U << bit % 8);
                assert_true(inflate_bytes(data, n, &s) < 0 || streq(s.text, "hello\n"));
                data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        /* the sink's refusal is passed on */
        for (int i = 0; i < 16 && n * (i + 1U) <= sizeof(data); i++)
                memcpy(data + n * (unsigned)i, data, n);
        assert_int_equal(inflate_bytes((const uint8_t *)"hello", 5, &s), -EBADMSG);
}

static void test_checksums(void **state _unused_)
{
        static const struct {
                const char *name, *hex;
        } cases[] = {
                { "sha256-", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" },
                { "sha512-", "e7c22b994c59d9cf2b48e549b1e24666636045930d3da7c1acb299d1c3b7f931"
                             "f94aae41edda2c2b207a36e10f8bcb8d45223e54878f5b316e7ce3b6bc019629" },
        };
        struct error err = {};
        void *context;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char hex[CHECKSUM_HEX_MAX];

                assert_ok(checksum_open(cases[i].name, &context, &err), &err);
                assert_ok(checksum_update(context, "hel", 3, &err), &err);
                assert_ok(checksum_update(context, "lo\n", 3, &err), &err);
                assert_ok(checksum_hex(context, hex, &err), &err);
                assert_string_equal(hex, cases[i].hex);
                checksum_close(context);
        }
        assert_int_equal(checksum_open("md5-", &context, &err), -EINVAL);
}

/* resource_write(): what reaches the file, and what is refused. */
static void test_resources(void **state _unused_)
{
        static const struct {
                const char *source, *compression, *hash, *want; /* want NULL: refused */
        } cases[] = {
                { NULL, NULL, NULL, "" },
                { "", NULL, NULL, "" },
                { "data:,hello%0A", NULL, NULL, "hello\n" },
                { "data:,hello%0A", NULL,
                  "sha256-5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
                  "hello\n" },
                { "data:,hello", NULL,
                  "sha256-5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", NULL },
                /* the hash is that of the decompressed data */
                { "data:;base64,H4sIAAAAAAACA8tIzcnJ5wIAIDA6NgYAAAA=", "gzip",
                  "sha256-5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
                  "hello\n" },
                { "data:,hello", "gzip", NULL, NULL },
                { "http://h/x", NULL, NULL, NULL }, /* the agent is offline */
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct resource resource = { .source = cases[i].source,
                                                   .compression = cases[i].compression,
                                                   .verification.hash = cases[i].hash };
                _cleanup_fclose_ FILE *file = tmpfile();
                struct agent a = { .offline = true };
                struct error err = {};
                char text[64] = "";
                int r;

                assert_non_null(file);
                r = resource_write(&a, &resource, fileno(file), &err);
                if ((r >= 0) != (cases[i].want != NULL))
                        fail_msg("%s: %d %s", cases[i].source, r, err.message);
                if (!cases[i].want)
                        continue;
                assert_true(pread(fileno(file), text, sizeof(text) - 1, 0) >= 0);
                assert_string_equal(text, cases[i].want);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_data_urls), cmocka_unit_test(test_zero_bytes),
                cmocka_unit_test(test_schemes),   cmocka_unit_test(test_gzip),
                cmocka_unit_test(test_checksums), cmocka_unit_test(test_resources),
        };

        return test_run(tests);
}
