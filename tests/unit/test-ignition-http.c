/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers of HTTP servers: what is taken of them however they come in pieces, and what is refused.
 * Exchanges themselves are tested with real servers, in tests/cli/test_ignition_fetch.py. */

#include "test.h"

#include "http-reply.h"
#include "text-sink.h"

enum { ANSWER_MAX = 4096 };

/* In pieces of that size; the body goes into ret. */
static int take(const char *data, size_t size, size_t piece, struct http_reply *r,
                struct text_sink *ret, struct error *err)
{
        int n = 0;

        text_sink_init(ret, ANSWER_MAX);
        r->body = &ret->sink;
        for (size_t at = 0; n >= 0 && at < size; at += piece)
                n = http_reply_feed(r, data + at, MIN(piece, size - at), err);
        return n < 0 ? n : http_reply_end(r, err);
}

static const struct {
        const char *answer, *body; /* NULL: refused */
        unsigned status;
        bool is_head;
} answers[] = {
        { "HTTP/1.0 200 OK\r\n\r\nbody", "body", 200, false },
        { "HTTP/1.1 200 OK\nContent-Length: 4\n\nbody and more", "body", 200, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length:4 \r\n\r\nbody", "body", 200,
          false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "", 200, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nbo\r\n02;x\r\ndy\r\n0\r\nX: y\r\n\r\n",
          "body", 200, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
          "body", 200, false },
        { "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", "", 204, false },
        { "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", "", 304, false },
        { "HTTP/1.1 404\r\ncontent-length: 2\r\n\r\nno", "", 404, false },
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody",
          "body", 200, false },
        { "HTTP/1.1 200 OK\r\nContent-Length:4\r\n\r\nbod", NULL, 0, false },
        { "HTTP/1.1 200 OK\r\nContent-Length:+4\r\n\r\nbody", NULL, 0, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\nbody\r\n0\r\n\r\n", NULL, 0,
          false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n", NULL, 0,
          false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", NULL, 0,
          false },
        { "HTTP/1.1 200 OK\r\nX: y\r\n", NULL, 0, false },
        { "HTTP/2.0 200 OK\r\n\r\n", NULL, 0, false },
        { "HTTP/1.1 2000 OK\r\n\r\n", NULL, 0, false },
        { "HTTP/1.1 099 OK\r\n\r\n", NULL, 0, false },
        { "HTTP/1.1\r\n\r\n", NULL, 0, false },
        { "", NULL, 0, false },
};

static void check_answer(size_t i, size_t piece)
{
        _cleanup_text_sink_ struct text_sink body;
        _cleanup_(http_reply_done) struct http_reply reply = { .is_head = answers[i].is_head };
        struct error err = {};
        int r = take(answers[i].answer, strlen(answers[i].answer), piece, &reply, &body, &err);

        if (r != (answers[i].body ? 0 : -EBADMSG))
                fail_msg("%s: %d %s", answers[i].answer, r, err.message);
        if (r < 0)
                return;
        assert_int_equal(reply.status, answers[i].status);
        assert_int_equal(reply.received, strlen(answers[i].body));
        assert_string_equal(body.buffer.data ?: "", answers[i].body);
}

static void test_answers(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
                for (size_t piece = 1; piece < 20; piece++)
                        check_answer(i, piece);
}

static void test_headers(void **state _unused_)
{
        static const char answer[] = "HTTP/1.1 307 Elsewhere\r\nlocation:\t/a \r\nLocation: /b\r\n"
                                     "Long: one\r\n  two\r\nNone:\r\n\r\n";
        _cleanup_text_sink_ struct text_sink body;
        _cleanup_(http_reply_done) struct http_reply reply = {};
        struct error err = {};

        assert_ok(take(answer, strlen(answer), 7, &reply, &body, &err), &err);
        assert_string_equal(http_reply_header(&reply, "Location"), "/a");
        assert_string_equal(http_reply_header(&reply, "long"), "one two");
        assert_string_equal(http_reply_header(&reply, "None"), "");
        assert_null(http_reply_header(&reply, "Lon"));
}

/* A server that sends for ever is not listened to for ever. */
static void test_limits(void **state _unused_)
{
        static const struct {
                const char *begin, *again;
        } endless[] = {
                { "HTTP/1.1 200 ", "OK" },
                { "HTTP/1.1 200 OK\r\n", "Name: value\r\n" },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4", ";x" },
                { "HTTP/1.1 200 OK\r\n\r\n", "body" }, /* the sink's limit */
        };

        for (size_t i = 0; i < ARRAY_SIZE(endless); i++) {
                _cleanup_text_sink_ struct text_sink body;
                _cleanup_(http_reply_done) struct http_reply reply = { .body = &body.sink };
                struct error err = {};
                size_t n = 0;
                int r;

                text_sink_init(&body, ANSWER_MAX);
                r = http_reply_feed(&reply, endless[i].begin, strlen(endless[i].begin), &err);
                for (; r >= 0 && n < 3 * HTTP_HEADERS_MAX; n += strlen(endless[i].again))
                        r = http_reply_feed(&reply, endless[i].again, strlen(endless[i].again),
                                            &err);
                assert_int_equal(r, i < 3 ? -EBADMSG : -EFBIG);
                assert_int_equal(reply.sink_failed, i == 3);
        }
}

static void test_unwanted_body(void **state _unused_)
{
        _cleanup_(http_reply_done) struct http_reply reply = {};
        static char data[HTTP_HEADERS_MAX + 1];
        static const char head[] = "HTTP/1.1 403 No\r\n\r\n";
        struct error err = {};

        assert_ok(http_reply_feed(&reply, head, strlen(head), &err), &err);
        assert_int_equal(reply.state, REPLY_TO_THE_END);
        assert_ok(http_reply_feed(&reply, data, sizeof(data), &err), &err);
        assert_int_equal(reply.state, REPLY_DONE);
        assert_int_equal(reply.received, 0);
}

static void test_corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/http-reply");
        size_t taken = 0, refused = 0;
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                const char *bad = startswith(entry->d_name, "should-fail-");
                _cleanup_text_sink_ struct text_sink body = {};
                _cleanup_(http_reply_done) struct http_reply reply = {};
                _cleanup_free_ char *text = NULL;
                struct error err = {};
                size_t size;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                assert_ok(file_read(dirfd(dir), entry->d_name, ANSWER_MAX, &text, &size, &err),
                          &err);
                r = take(text, size, 5, &reply, &body, &err);
                if (!bad)
                        assert_ok(r, &err);
                else if (r >= 0)
                        fail_msg("%s was taken", entry->d_name);
                taken += !bad;
                refused += bad != NULL;
        }
        assert_true(taken >= 3 && refused >= 13);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers), cmocka_unit_test(test_headers),
                cmocka_unit_test(test_limits),  cmocka_unit_test(test_unwanted_body),
                cmocka_unit_test(test_corpus),
        };

        return test_run(tests);
}
