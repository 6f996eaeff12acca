/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An answer of an HTTP server, as a whole and byte by byte: it is understood alike, and the body is
 * never longer than what came. */

#include <assert.h>

#include "http-reply.h"
#include "text-sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(const char *data, size_t size, size_t piece, struct http_reply *r)
{
        struct error err = {};
        int n = 0;

        for (size_t at = 0; n >= 0 && at < size; at += piece)
                n = http_reply_feed(r, data + at, MIN(piece, size - at), &err);
        if (n >= 0)
                n = http_reply_end(r, &err);
        assert(n >= 0 || *err.message);
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct text_sink bodies[2];
        struct http_reply replies[2] = { { .body = &bodies[0].sink }, { .body = &bodies[1].sink } };
        int r[2];

        for (size_t i = 0; i < 2; i++) {
                text_sink_init(&bodies[i], size);
                r[i] = take((const char *)data, size, i == 0 ? size : 1, &replies[i]);
        }
        assert(r[0] == r[1] && replies[0].received == replies[1].received);
        assert(replies[0].received <= size && bodies[0].buffer.size == bodies[1].buffer.size);
        if (bodies[0].buffer.size > 0)
                assert(memcmp(bodies[0].buffer.data, bodies[1].buffer.data,
                              bodies[0].buffer.size) == 0);
        if (r[0] >= 0)
                assert(replies[0].status == replies[1].status && replies[0].state == REPLY_DONE);
        for (size_t i = 0; i < 2; i++) {
                http_reply_done(&replies[i]);
                text_sink_done(&bodies[i]);
        }
        return 0;
}
