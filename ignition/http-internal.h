/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between http.c and the two that talk: http-plain.c and http-curl.c. */

#include "http.h"

enum { HTTP_POLL_MS = 100, HTTP_DISCARD_MAX = 64 * 1024 /* of a body that nobody wants */ };

enum http_phase { PHASE_CONNECT, PHASE_HANDSHAKE, PHASE_HEADERS, PHASE_BODY };

/* How far an exchange is, for its time limits. */
struct http_progress {
        enum http_phase phase;
        uint64_t since; /* when the phase began, or when last something of the body came */
        uint64_t seen;  /* bytes of the body until then */
};

/* Time for a connection. */
uint64_t http_connect_ms(const struct exchange *x);
/* -EINTR when a signal asks to stop; -ETIMEDOUT, and the failure is transient, when the phase that
 * the exchange is in now lasts too long, or its deadline has come. */
int http_check(struct exchange *x, struct http_progress *p, enum http_phase now,
               struct error *err) _must_check_;

/* Whether http_plain_exchange() can do it. */
bool http_plain_suits(const struct exchange *x);
int http_plain_exchange(struct exchange *x, struct error *err) _must_check_;

struct http_curl;
int http_curl_new(struct http_curl **ret, struct error *err) _must_check_;
void http_curl_free(struct http_curl *h);
int http_curl_exchange(struct http_curl *h, struct exchange *x, struct error *err) _must_check_;
