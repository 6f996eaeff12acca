/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One question to a service of the platform. The other side may be young and say so, may be
 * overrun, may break off in the middle of an answer or trickle it, or say nothing for ever: every
 * attempt has its time, all of them together have theirs, and the run as a whole has one
 * (--deadline). What may pass is asked again; everything else is an error at once. */

#include "azure.h"
#include "fetch.h"
#include "http.h"
#include "strv.h"
#include "text-sink.h"

enum { RETRY_AFTER_MAX_S = 30, LAST_TRY_MS = 500 };

struct asking {
        struct azure *azure;
        struct azure_question *question;
        uint64_t deadline, pause_ms, started;
        uint64_t last_try_ms; /* what the last attempt has at least */
        unsigned number;      /* of the attempt */
};

void azure_done(struct azure *z)
{
        http_free(z->http);
        azure_instance_done(&z->instance);
}

static bool may_pass(const struct azure_question *q)
{
        const unsigned *status = q->patience->statuses;

        while (*status && *status != q->status)
                status++;
        return *status || q->status >= 500;
}

/* The answer is there; *ret_again: what is wrong with it may be better next time. */
static int judge(struct azure_question *q, struct text_sink *body, bool *ret_again,
                 struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (q->status < 200 || q->status >= 300) {
                *ret_again = may_pass(q);
                return error_set(err, -EREMOTEIO, "HTTP status %u", q->status);
        }
        r = text_sink_take(body, &text, &size, err);
        if (r < 0 || !q->take)
                return r;
        r = q->take(text, size, q->userdata, err);
        *ret_again = r == -EBADMSG;
        return r;
}

/* Seconds only; a date would need a clock that is right. */
static uint64_t retry_after(const char *header)
{
        unsigned long s =
                header && *header >= '0' && *header <= '9' ? strtoul(header, NULL, 10) : 0;

        return MIN(s, (unsigned long)RETRY_AFTER_MAX_S) * 1000;
}

static int attempt(struct asking *a, bool *ret_again, struct error *err)
{
        struct azure_question *q = a->question;
        _cleanup_text_sink_ struct text_sink body;
        _cleanup_(exchange_done) struct exchange x = {
                .url = q->url,
                .method = q->body ? "POST" : NULL,
                .headers = (char **)q->headers,
                .body = q->body,
                .body_size = q->body ? strlen(q->body) : 0,
                .connect_ms = q->patience->connect_ms,
                .headers_ms = q->patience->attempt_ms,
                .deadline = clock_earlier(clock_deadline(q->patience->attempt_ms), a->deadline),
                .want_header = "Retry-After",
                .sink = &body.sink,
        };
        int r;

        text_sink_init(&body, AZURE_TEXT_MAX);
        q->status = 0;
        a->number++;
        log_line(a->azure->log, LOG_INFO, "%s: %s %s: attempt #%u", q->what,
                 q->body ? "POST" : "GET", q->url, a->number);
        r = http_exchange(a->azure->http, &x, err);
        if (r < 0) {
                *ret_again = x.transient;
                return r;
        }
        q->status = x.status;
        r = judge(q, &body, ret_again, err);
        a->pause_ms = MAX(a->pause_ms, retry_after(x.header));
        return r;
}

static int give_up(const struct asking *a, struct error *err, bool time_is_over)
{
        const struct error why = *err;
        char text[CLOCK_TEXT_MAX];

        return error_set(err, why.code, "%s: %s: attempt %u: %.512s%s%s", a->question->what,
                         a->question->url, a->number, why.message,
                         time_is_over ? "; given up after " : "",
                         time_is_over ? clock_text(clock_ms() - a->started, text) : "");
}

/* The pause before the next attempt. The last one has time for an answer, so that what is reported
 * is what the service said. */
static int wait_for_next(struct asking *a, struct error *err)
{
        const struct azure_patience *p = a->question->patience;
        uint64_t left = clock_left(a->deadline), pause;
        char text[CLOCK_TEXT_MAX];

        if (left < 2 * a->last_try_ms || (p->attempts > 0 && a->number >= p->attempts))
                return give_up(a, err, true);
        pause = MIN(a->pause_ms, left / 2);
        log_line(a->azure->log, LOG_INFO, "%s: %s; next attempt in %s", a->question->what,
                 err->message, clock_text(pause, text));
        a->pause_ms = MIN(fetch_next_pause(pause), p->pause_ms);
        return clock_sleep(pause, err);
}

int azure_ask(struct azure *z, struct azure_question *q, struct error *err)
{
        struct asking a = {
                .azure = z,
                .question = q,
                .deadline = clock_earlier(z->deadline, clock_deadline(q->patience->total_ms)),
                .pause_ms = FETCH_FIRST_PAUSE_MS,
                .started = clock_ms(),
        };
        int r = z->http ? 0 : http_new(&z->http, err);

        a.last_try_ms = MIN(clock_left(a.deadline) / 4, (uint64_t)LAST_TRY_MS);
        while (r >= 0) {
                bool again = false;

                r = attempt(&a, &again, err);
                if (r >= 0)
                        return 0;
                r = again ? wait_for_next(&a, err) : give_up(&a, err, false);
        }
        return r;
}
