/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The answer of an HTTP/1 server, taken in as it comes (RFC 9112). */

#include "sink.h"
#include "strv.h"

enum { HTTP_HEADERS_MAX = 64 * 1024, HTTP_LINE_MAX = 32 * 1024 };

enum http_reply_state {
        REPLY_STATUS,
        REPLY_HEADERS,
        REPLY_LENGTH,     /* a body as long as Content-Length says */
        REPLY_TO_THE_END, /* a body until the server closes the connection */
        REPLY_CHUNK_SIZE,
        REPLY_CHUNK,
        REPLY_CHUNK_END,
        REPLY_TRAILERS,
        REPLY_DONE,
};

/* All zeros but for the first two is a new one. */
struct http_reply {
        struct sink *body; /* gets the body of a 200; others are passed over */
        bool is_head;      /* an answer to HEAD: without body, whatever its headers say */

        unsigned status;   /* once the state is past REPLY_HEADERS */
        uint64_t received; /* bytes that went into the sink */
        bool sink_failed;  /* the error is the sink's */
        enum http_reply_state state;
        uint64_t passed_over;  /* bytes of a body that nobody wants: no more than some are read */
        uint64_t left;         /* bytes of the body, or of the chunk, to come */
        struct buffer line;    /* the beginning of one */
        struct buffer headers; /* "name: value\0" one after another */
};

void http_reply_done(struct http_reply *r);
/* Takes what came, up to the answer's end (REPLY_DONE; what comes after it is passed over).
 * -EBADMSG with the reason when it is no HTTP, or the sink's failure. */
int http_reply_feed(struct http_reply *r, const char *data, size_t size,
                    struct error *err) _must_check_;
/* The server closed the connection: -EBADMSG when the answer breaks off. */
int http_reply_end(struct http_reply *r, struct error *err) _must_check_;
/* The first header of that name, without spaces around it; NULL. Borrowed. */
const char *http_reply_header(const struct http_reply *r, const char *name);
