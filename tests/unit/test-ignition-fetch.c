/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What fetching decides without a network: proxies, addresses of objects, parts of URLs, pauses. */

#include "base64.h"
#include "fetch-internal.h"
#include "test.h"
#include "url.h"

/* ---- proxies ---- */

static const struct {
        const char *bypass, *url;
        bool direct;
} proxy_cases[] = {
        { "", "http://example.com/", false },
        { "", "http://localhost/", true },
        { "", "http://LOCALHOST:8080/", true },
        { "", "http://127.0.0.1/", true },
        { "", "http://127.9.9.9:80/", true },
        { "", "http://[::1]:80/", true },
        { "", "http://[::ffff:127.0.0.1]/", true },
        { "", "http://localhost.example.com/", false },
        { "*", "http://example.com/", true },
        { "other, *", "http://10.0.0.1/", true },
        /* names */
        { "example.com", "http://example.com/", true },
        { "example.com", "http://www.example.com/", true },
        { "EXAMPLE.com", "http://www.Example.com/", true },
        { "example.com", "http://anexample.com/", false },
        { "example.com", "http://example.com.org/", false },
        { ".example.com", "http://www.example.com/", true },
        { ".example.com", "http://example.com/", false },
        { "*.example.com", "http://www.example.com/", true },
        { "*.example.com", "http://example.com/", false },
        { "example.com:80", "http://example.com/", true },
        { "example.com:80", "http://example.com:8080/", false },
        { "example.com:8080", "http://me:pw@example.com:8080/x?y#z", true },
        { "a,,b , example.com", "http://example.com/", true },
        /* addresses */
        { "10.0.0.1", "http://10.0.0.1/", true },
        { "10.0.0.1", "http://10.0.0.10/", false },
        { "10.0.0.1:80", "http://10.0.0.1/", true },
        { "10.0.0.1:81", "http://10.0.0.1/", false },
        { "0.0.1", "http://10.0.0.1/", false },
        { "fd00::1", "http://[fd00::1]/", true },
        { "[fd00::1]", "http://[fd00:0::1]/", true },
        { "[fd00::1]:80", "http://[fd00::1]/", true },
        { "[fd00::1]:81", "http://[fd00::1]/", false },
        { "10.0.0.1", "http://[::ffff:10.0.0.1]/", true },
        /* networks */
        { "10.0.0.0/8", "http://10.200.0.1/", true },
        { "10.0.0.0/8", "http://11.0.0.1/", false },
        { "10.0.0.0/8", "http://example.com/", false },
        { "10.128.0.0/9", "http://10.127.0.1/", false },
        { "10.128.0.0/9", "http://10.128.0.1/", true },
        { "0.0.0.0/0", "http://10.127.0.1/", true },
        { "::/0", "http://10.127.0.1/", false },
        { "fd00::/8", "http://[fdff::1]/", true },
        { "fd00::/8", "http://[fe00::1]/", false },
        /* what is none of this is ignored */
        { "10.0.0.0/33", "http://10.0.0.1/", false },
        { "10.0.0.0/-1", "http://10.0.0.1/", false },
        { ":80", "http://example.com/", false },
        { "[]", "http://example.com/", false },
        { ".", "http://example.com/", false },
};

static void test_proxies(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(proxy_cases); i++) {
                char *bypass[] = { (char *)proxy_cases[i].bypass, NULL };
                struct proxies p = { (char *)"http://p:1", NULL, bypass };
                const char *proxy = proxy_for(&p, proxy_cases[i].url);

                if (!proxy != proxy_cases[i].direct)
                        fail_msg("%s with '%s': %s", proxy_cases[i].url, proxy_cases[i].bypass,
                                 proxy ?: "direct");
        }
}

static void test_proxy_by_scheme(void **state _unused_)
{
        struct proxies p = { (char *)"http://a:1", (char *)"http://b:1", NULL };
        struct proxies none = { (char *)"", (char *)"", NULL };

        assert_string_equal(proxy_for(&p, "http://h/"), "http://a:1");
        assert_string_equal(proxy_for(&p, "HTTPS://h/"), "http://b:1");
        assert_null(proxy_for(&p, "tftp://h/"));
        assert_null(proxy_for(&none, "http://h/"));
        assert_null(proxy_for(&none, "https://h/"));
}

/* ---- objects ---- */

static const struct {
        const char *url, *region, *want; /* want NULL: refused */
} objects[] = {
        { "s3://bucket/key", "us-east-1",
          "https://bucket.s3.dualstack.us-east-1.amazonaws.com/key" },
        { "s3://bucket/a/b%20c+d?versionId=x%2By", "eu-west-1",
          "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/a/b%20c%2Bd?versionId=x%2By" },
        { "s3://bucket/key?a=b&versionId=v#f", "eu-west-1",
          "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/key?versionId=v" },
        { "s3://dotted.bucket/key", "us-east-1",
          "https://s3.dualstack.us-east-1.amazonaws.com/dotted.bucket/key" },
        { "s3://Old_Bucket/key", "us-east-1",
          "https://s3.dualstack.us-east-1.amazonaws.com/Old_Bucket/key" },
        { "s3://bucket/key", "cn-north-1",
          "https://bucket.s3.dualstack.cn-north-1.amazonaws.com.cn/key" },
        { "arn:aws:s3:::bucket/key/more", "eu-west-1",
          "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/key/more" },
        { "arn:aws-us-gov:s3:::bucket/key:1?versionId=v", "us-gov-west-1",
          "https://bucket.s3.dualstack.us-gov-west-1.amazonaws.com/key%3A1?versionId=v" },
        { "arn:aws:s3:us-west-2:123456789012:accesspoint/test/object/unit/01", "us-west-2",
          "https://test-123456789012.s3-accesspoint.dualstack.us-west-2.amazonaws.com/unit/01" },
        { "s3://bucket", "", NULL },
        { "s3://bucket/", "", NULL },
        { "s3:///key", "", NULL },
        { "s3:bucket/key", "", NULL },
        { "s3://evil.example:80/key", "", NULL },
        { "s3://me@bucket/key", "", NULL },
        { "s3://bucket/a%00b", "", NULL },
        { "s3://bucket/a%2", "", NULL },
        { "arn:aws:s3:::bucket", "", NULL },
        { "arn:aws:s3:", "", NULL },
        { "arn:aws:sqs:::bucket/key", "", NULL },
        { "arn:aws:s3:evil.example/:1:accesspoint/test/object/x", "", NULL },
        { "arn:aws:s3::1:accesspoint/test/object/x", "", NULL },
        { "arn:aws:s3:us-west-2:1:accesspoint/test/x", "", NULL },
        { "arn:aws:s3:us-west-2:1:accesspoint/te.st/object/x", "", NULL },
};

static void test_s3(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
                _cleanup_(s3_object_done) struct s3_object o = {};
                _cleanup_free_ char *address = NULL;
                struct error err = {};
                int r = s3_parse(objects[i].url, &o, &err);

                if (r != (objects[i].want ? 0 : -EINVAL))
                        fail_msg("%s: %d %s", objects[i].url, r, err.message);
                if (!objects[i].want)
                        continue;
                address = s3_address(&o, objects[i].region);
                assert_string_equal(address, objects[i].want);
        }
}

static void test_gs(void **state _unused_)
{
        static const char *const bad[] = { "gs://bucket", "gs://bucket/", "gs:///x", "gs:b/x",
                                           "gs://bucket/%00" };
        _cleanup_free_ char *address = NULL;
        struct error err = {};

        assert_ok(gs_address("gs://bucket/a/b%20c?x", &address, &err), &err);
        assert_string_equal(address, "https://storage.googleapis.com/storage/v1/b/bucket/o/"
                                     "a%2Fb%20c?alt=media");
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char *none = NULL;

                if (gs_address(bad[i], &none, &err) != -EINVAL)
                        fail_msg("%s: %s", bad[i], none);
        }
}

/* ---- URLs and times ---- */

static void test_hosts(void **state _unused_)
{
        static const struct {
                const char *url, *host; /* NULL: refused */
                unsigned port;
        } cases[] = {
                { "http://Host/", "host", 80 },
                { "https://host", "host", 443 },
                { "tftp://host/x:y", "host", 69 },
                { "foo://host/", "host", 0 },
                { "http://u:p@host:81?x", "host", 81 },
                { "http://u@x@host:/", "host", 80 },
                { "http://[fe80::1%25eth0]:82/", "fe80::1", 82 },
                { "http://[::1]", "::1", 80 },
                { "http://[::1", NULL, 0 },
                { "http:///x", NULL, 0 },
                { "http://:80/", NULL, 0 },
                { "http://h:65536/", NULL, 0 },
                { "http://h:8x/", NULL, 0 },
                { "http:h", NULL, 0 },
                { "", NULL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char host[URL_HOST_MAX] = "";
                unsigned port = 0;
                int r = url_host(cases[i].url, host, &port);

                if (r != (cases[i].host ? 0 : -EINVAL) || port != cases[i].port ||
                    !streq(host, cases[i].host ?: ""))
                        fail_msg("%s: %d '%s' %u", cases[i].url, r, host, port);
        }
}

static void test_texts(void **state _unused_)
{
        char text[URL_TEXT_MAX], longer[2 * URL_TEXT_MAX] = "http://h/";

        assert_string_equal(url_text("http://u:secret@h/x?y", text), "http://u:xxxxx@h/x?y");
        assert_string_equal(url_text("http://u@h/x:y@z", text), "http://u@h/x:y@z");
        assert_string_equal(url_text("", text), "");
        memset(longer + 9, 'x', sizeof(longer) - 10);
        assert_true(endswith(url_text(longer, text), "x…"));
}

static void test_pauses(void **state _unused_)
{
        static const uint64_t want[] = { 200, 400, 800, 1600, 3200, 5000, 5000 };
        uint64_t pause = 0;

        for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
                pause = fetch_next_pause(pause);
                assert_int_equal(pause, want[i]);
        }
}

static void test_clock(void **state _unused_)
{
        static const struct {
                uint64_t ms;
                const char *text;
        } cases[] = { { 0, "0ms" },      { 999, "999ms" },    { 1000, "1s" },
                      { 2500, "2.5s" },  { 10000, "10s" },    { 59400, "59s" },
                      { 59600, "1m0s" }, { 118000, "1m58s" }, { 7200000, "120m0s" } };
        char text[CLOCK_TEXT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_string_equal(clock_text(cases[i].ms, text), cases[i].text);
        assert_int_equal(clock_deadline(0), 0);
        assert_int_equal(clock_deadline(UINT64_MAX), UINT64_MAX);
        assert_int_equal(clock_left(0), UINT64_MAX);
        assert_int_equal(clock_left(1), 0);
        assert_int_equal(clock_earlier(0, 5), 5);
        assert_int_equal(clock_earlier(5, 0), 5);
        assert_int_equal(clock_earlier(6, 5), 5);
        assert_int_equal(clock_earlier(0, 0), 0);
}

/* RFC 3986, 5.4.1, but for dot segments. */
static const struct {
        const char *reference, *url;
} references[] = {
        { "g:h", "g:h" },
        { "g", "http://a/b/c/g" },
        { "g/", "http://a/b/c/g/" },
        { "/g", "http://a/g" },
        { "//g", "http://g" },
        { "?y", "http://a/b/c/d;p?y" },
        { "g?y", "http://a/b/c/g?y" },
        { "#s", "http://a/b/c/d;p?q#s" },
        { ";x", "http://a/b/c/;x" },
        { "", "http://a/b/c/d;p?q" },
        { "http://b:8080/x y\xc3\xa4", "http://b:8080/x%20y%C3%A4" },
        { "a:b@c", "a:b@c" },
        { "1:b", "http://a/b/c/1:b" },
};

static void test_references(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(references); i++) {
                _cleanup_free_ char *url =
                        url_resolve("http://a/b/c/d;p?q", references[i].reference);

                assert_string_equal(url, references[i].url);
        }
        for (size_t i = 0; i < 2; i++) {
                static const char *const urls[] = { "http://a/x", "http://a?x" };
                _cleanup_free_ char *url =
                        url_resolve("http://a", urls[i] + strlen("http://a") + (i == 0));

                assert_string_equal(url, urls[i]);
        }
}

static void test_base64(void **state _unused_)
{
        static const char *const texts[] = { "", "a", "ab", "abc", "abcd", "\xff\xfe\xfd" };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_free_ char *encoded = base64_encode(texts[i], strlen(texts[i]));
                _cleanup_free_ char *back = NULL;
                size_t size;

                assert_int_equal(base64_decode(encoded, strlen(encoded), &back, &size), 0);
                assert_int_equal(size, strlen(texts[i]));
                assert_string_equal(back, texts[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_proxies), cmocka_unit_test(test_proxy_by_scheme),
                cmocka_unit_test(test_s3),      cmocka_unit_test(test_gs),
                cmocka_unit_test(test_hosts),   cmocka_unit_test(test_texts),
                cmocka_unit_test(test_pauses),  cmocka_unit_test(test_clock),
                cmocka_unit_test(test_base64),  cmocka_unit_test(test_references),
        };

        return test_run(tests);
}
