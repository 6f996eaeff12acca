/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One exchange with a server over http, https or tftp: no retries, no redirects. */

#include "authorities.h"
#include "clock.h"
#include "sink.h"

enum {
        HTTP_CONNECT_MS = 30000,
        HTTP_HANDSHAKE_MS = 10000,
        HTTP_STALL_MS = 60000, /* without a byte of the body */
        TFTP_TRANSFER_MS = 250000,
};

struct exchange {
        const char *url;
        const char *method; /* NULL: GET */
        char **headers;     /* strv of "Name: value"; nothing else is sent but what HTTP demands */
        const void *body;
        size_t body_size;
        const char *proxy; /* NULL: none */
        const struct authorities *authorities;
        const char *signing;     /* "aws:amz:<region>:<service>"; NULL: not signed */
        const char *signing_key; /* "<id>:<secret>" */
        bool privileged_port;
        int (*connect)(struct error *err); /* returns the server's socket; NULL: the URL says it */
        uint64_t connect_ms;               /* time for a connection; 0: HTTP_CONNECT_MS */
        uint64_t headers_ms;               /* time for the answer's headers; 0: any */
        uint64_t deadline;                 /* see clock.h */
        const char *want_header;
        struct sink *sink; /* gets the body of a 200 */

        /* The answer: after an exchange that was one (tftp: 200). */
        unsigned status;
        char *location; /* where a redirect leads, absolute; NULL */
        char *header;   /* value of want_header; NULL */
        /* Always set: */
        uint64_t received; /* bytes that went into the sink */
        bool transient;    /* failed in a way that another try may not */
};

void exchange_done(struct exchange *x);
/* Whether one of the lines (strv) is a header of that name. */
bool http_has_header(char **headers, const char *name);

struct http;
int http_new(struct http **ret, struct error *err) _must_check_;
void http_free(struct http *h);
/* 0 when there was an answer, whatever it says. Fills in what comes after "The answer". */
int http_exchange(struct http *h, struct exchange *x, struct error *err) _must_check_;
