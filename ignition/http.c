/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See http.h. Who talks: http-plain.c to an address in numbers without TLS, which is what metadata
 * services of clouds are; libcurl to everybody else. The time limits are the same for both: each
 * phase of an exchange has one (connecting, TLS, waiting for headers, waiting for more of the
 * body), and the whole has its deadline. */

#include <strings.h>

#include "http-internal.h"
#include "interrupt.h"
#include "strv.h"

struct http {
        struct http_curl *curl; /* made for the first exchange that needs it */
};

void exchange_done(struct exchange *x)
{
        free(TAKE_PTR(x->location));
        free(TAKE_PTR(x->header));
}

uint64_t http_connect_ms(const struct exchange *x)
{
        return x->connect_ms > 0 ? x->connect_ms : HTTP_CONNECT_MS;
}

bool http_has_header(char **headers, const char *name)
{
        STRV_FOREACH (line, headers)
                if (strncasecmp(*line, name, strlen(name)) == 0 && (*line)[strlen(name)] == ':')
                        return true;
        return false;
}

int http_check(struct exchange *x, struct http_progress *p, enum http_phase now, struct error *err)
{
        const struct {
                uint64_t limit_ms;
                const char *text;
        } phases[] = {
                [PHASE_CONNECT] = { http_connect_ms(x), "no connection" },
                [PHASE_HANDSHAKE] = { HTTP_HANDSHAKE_MS, "no TLS handshake" },
                [PHASE_HEADERS] = { x->headers_ms, "no response headers" },
                [PHASE_BODY] = { HTTP_STALL_MS, "no more data" },
        };
        char text[CLOCK_TEXT_MAX];
        uint64_t time = clock_ms();
        int r = interrupt_check(err);

        if (r < 0)
                return r;
        if (now != p->phase || x->received != p->seen || p->since == 0)
                *p = (struct http_progress){ now, time, x->received };
        x->transient = true;
        if (clock_left(x->deadline) == 0)
                return error_set(err, -ETIMEDOUT, "%s when time was up", phases[now].text);
        if (phases[now].limit_ms > 0 && time - p->since >= phases[now].limit_ms)
                return error_set(err, -ETIMEDOUT, "%s within %s", phases[now].text,
                                 clock_text(phases[now].limit_ms, text));
        x->transient = false;
        return 0;
}

int http_exchange(struct http *h, struct exchange *x, struct error *err)
{
        int r;

        exchange_done(x);
        x->status = 0;
        x->received = 0;
        x->transient = false;
        if (http_plain_suits(x))
                return http_plain_exchange(x, err);
        r = h->curl ? 0 : http_curl_new(&h->curl, err);
        return r < 0 ? r : http_curl_exchange(h->curl, x, err);
}

void http_free(struct http *h)
{
        if (h)
                http_curl_free(h->curl);
        free(h);
}

int http_new(struct http **ret, struct error *err)
{
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : error_oom(err);
}
