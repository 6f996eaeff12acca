/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See fetch.h. fetch*.c are the only files of the agent that include libcurl, which is loaded with
 * the first fetcher: verbs that fetch nothing start without it.
 *
 * One thread drives curl's multi interface by hand, so that a signal ends everything at once.
 * Ranges are cut into pieces of at most FETCH_RANGE_MAX. Each of FETCH_CONNECTIONS slots has one
 * piece at a time and keeps it, through failures and pauses, until all of it has arrived: so what
 * is to be done is a cursor into the ranges and what the slots hold, however many ranges there are.
 *
 * The first request goes out alone: its answer tells whether this server knows ranges. If not
 * (200), its body is read from the start and given to one range after the other.
 *
 * A failure is worth another attempt when the network or the server may be the reason. One that
 * brought the piece further starts the count anew: a line that breaks every few megabytes gets
 * everything through, and a server that always ends at the same byte does not keep us for ever.
 *
 * The first answer's ETag goes along with each further request (If-Range). A file that changed
 * comes with 200 then: that is an attempt that failed, and the tag is forgotten, for the file may
 * have been published again with the same bytes. Whether they are, the sink knows. */

#include <strings.h>
#include <time.h>

#include "fetch-internal.h"
#include "interrupt.h"
#include "library.h"

enum {
        POLL_MS = 100,
        PROGRESS = 64 * 1024, /* bytes that make an attempt one that got further */
};

#define CURL_LIBRARY "libcurl.so.4"

#define SYMBOL(name) LIBRARY_SYMBOL(curl, "curl_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(global_init),         SYMBOL(global_cleanup), SYMBOL(easy_init),
        SYMBOL(easy_cleanup),        SYMBOL(easy_reset),     SYMBOL(easy_setopt),
        SYMBOL(easy_getinfo),        SYMBOL(easy_header),    SYMBOL(easy_strerror),
        SYMBOL(multi_init),          SYMBOL(multi_cleanup),  SYMBOL(multi_add_handle),
        SYMBOL(multi_remove_handle), SYMBOL(multi_perform),  SYMBOL(multi_poll),
        SYMBOL(multi_info_read),     SYMBOL(slist_append),   SYMBOL(slist_free_all),
};
LIBRARY_NOTE("update", "Fetching releases", CURL_LIBRARY);

static uint64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Takes it off what curl works on, whatever it does. */
static void slot_stop(struct slot *s)
{
        if (s->state == SLOT_ACTIVE)
                s->fetch->f->curl.multi_remove_handle(s->fetch->f->multi, s->easy);
        s->state = SLOT_FREE;
}

static void slot_done(struct slot *s, const struct curl *curl)
{
        curl->slist_free_all(TAKE_PTR(s->headers));
        curl->easy_cleanup(TAKE_PTR(s->easy));
        free(TAKE_PTR(s->buffer));
}

/* ---- what follows an attempt ---- */

static bool is_scheme(const char *url, const char *prefix)
{
        return strncasecmp(url, prefix, strlen(prefix)) == 0;
}

static void slot_wait(struct slot *s, uint64_t ms)
{
        s->state = SLOT_WAITING;
        s->not_before = now_ms() + ms;
}

/* Another attempt, or the end of it all. Each begins where the site's URL leads then. */
static int slot_retry(struct slot *s, uint64_t wait_ms, struct error *err)
{
        struct fetch *x = s->fetch;

        if (s->gained >= PROGRESS && !x->whole)
                s->attempts = 0;
        s->gained = 0;
        s->attempts++;
        if (s->attempts >= FETCH_ATTEMPTS || s->bad >= FETCH_BAD_MAX)
                return error_set(err, s->error.code, "%s", s->error.message);
        free(TAKE_PTR(x->location));
        s->redirects = 0;
        s->fresh = true;
        slot_wait(s, MAX(wait_ms, (uint64_t)x->f->patience.pause_ms << (s->attempts - 1)));
        return 0;
}

static int slot_redirect(struct slot *s, struct error *err)
{
        struct fetch *x = s->fetch;
        char *to = NULL, *from = NULL;

        x->f->curl.easy_getinfo(s->easy, CURLINFO_EFFECTIVE_URL, &from);
        x->f->curl.easy_getinfo(s->easy, CURLINFO_REDIRECT_URL, &to);
        if (!from || !to)
                return error_set(err, -EREMOTEIO, "HTTP status %u leads nowhere",
                                 attempt_status(s));
        if (!is_scheme(to, "https://") &&
            (!is_scheme(to, "http://") || is_scheme(from, "https://")))
                return error_set(err, -EREMOTEIO, "leads to %s, where we do not go", to);
        if (++s->redirects > FETCH_REDIRECTS_MAX)
                return error_set(err, -EREMOTEIO, "leads from one place to the next, too often");
        to = strdup(to);
        if (!to)
                return error_oom(err);
        free(x->location);
        x->location = to;
        slot_wait(s, 0);
        return 0;
}

static bool status_may_pass(unsigned status)
{
        return status >= 500 || status == 408 || status == 425 || status == 429;
}

/* An answer that is not the file. */
static int slot_status(struct slot *s, struct error *err)
{
        unsigned status = attempt_status(s);
        curl_off_t after = 0;
        char text[64];

        if (status / 100 == 3 && status != 304)
                return slot_redirect(s, err);
        snprintf(text, sizeof(text), "HTTP status %u", status);
        attempt_settle(s, OUTCOME_AGAIN, status == 404 || status == 410 ? -ENOENT : -EREMOTEIO,
                       text);
        if (!status_may_pass(status))
                return error_set(err, s->error.code, "%s", text);
        s->fetch->f->curl.easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &after);
        return slot_retry(s, 1000 * MIN((uint64_t)MAX(after, 0), (uint64_t)FETCH_RETRY_AFTER_MAX),
                          err);
}

static bool code_may_pass(CURLcode code)
{
        static const CURLcode permanent[] = {
                CURLE_UNSUPPORTED_PROTOCOL,     CURLE_URL_MALFORMAT,      CURLE_OUT_OF_MEMORY,
                CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_NOT_BUILT_IN,
        };

        for (size_t i = 0; i < ARRAY_SIZE(permanent); i++)
                if (permanent[i] == code)
                        return false;
        return true;
}

/* The connection's fault, or a body that ended before it should. */
static int slot_broken(struct slot *s, CURLcode code, struct error *err)
{
        const char *why = s->message[0] ? s->message : s->fetch->f->curl.easy_strerror(code);

        attempt_settle(s, OUTCOME_AGAIN, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EREMOTEIO,
                       code == CURLE_OK ? "the answer ends early" : why);
        return code_may_pass(code) ? slot_retry(s, 0, err)
                                   : error_set(err, s->error.code, "%s", s->error.message);
}

static int slot_end(struct slot *s, CURLcode code, struct error *err)
{
        if (code == CURLE_OK && !s->began)
                (void)attempt_begin(s); /* without a body; what is wrong is in s->outcome */
        slot_stop(s);
        if (s->outcome == OUTCOME_FINAL)
                return error_set(err, s->error.code, "%s", s->error.message);
        if (s->outcome == OUTCOME_AGAIN)
                return slot_retry(s, 0, err);
        if (s->outcome == OUTCOME_COMPLETE)
                return 0;
        if (s->unwanted)
                return slot_status(s, err);
        return s->start == s->end ? 0 : slot_broken(s, code, err);
}

/* ---- all of them ---- */

static void slot_assign(struct slot *s, struct fetch *x)
{
        s->fetch = x;
        s->attempts = s->bad = s->redirects = 0;
        s->gained = 0;
        s->fresh = s->distrust = x->f->distrust;
        if (piece_take(s))
                slot_wait(s, 0);
}

/* Gives work to who has none, and starts who has waited long enough. *ret: slots that are busy. */
static int start_slots(struct fetch *x, unsigned *ret, struct error *err)
{
        unsigned busy = 0;
        int r = 0;

        for (size_t i = 0; i < FETCH_CONNECTIONS; i++)
                busy += x->f->slots[i].state != SLOT_FREE;
        for (size_t i = 0; r >= 0 && i < FETCH_CONNECTIONS; i++) {
                struct slot *s = &x->f->slots[i];

                if (s->state == SLOT_FREE && (busy == 0 || (x->answered && !x->whole))) {
                        slot_assign(s, x);
                        busy += s->state != SLOT_FREE;
                }
                if (s->state == SLOT_WAITING && s->not_before <= now_ms())
                        r = attempt_start(s, err);
        }
        *ret = busy;
        return r;
}

/* *ret: whether an attempt ended, so that there may be something to start. */
static int end_slots(struct fetcher *f, bool *ret, struct error *err)
{
        int left, r = 0;
        CURLMsg *m;

        while (r >= 0 && (m = f->curl.multi_info_read(f->multi, &left))) {
                CURLcode code = m->data.result;
                char *s = NULL;

                if (m->msg != CURLMSG_DONE)
                        continue;
                f->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
                r = slot_end((struct slot *)s, code, err);
                *ret = true;
        }
        return r;
}

static int run(struct fetch *x, struct error *err)
{
        struct fetcher *f = x->f;
        unsigned busy;
        int running, r;

        for (;;) {
                bool ended = false;

                r = interrupt_check(err);
                if (r >= 0)
                        r = start_slots(x, &busy, err);
                if (r < 0 || busy == 0)
                        return r;
                if (f->curl.multi_perform(f->multi, &running) != CURLM_OK)
                        return error_set(err, -EIO, "libcurl failed");
                r = end_slots(f, &ended, err);
                if (r < 0)
                        return r;
                if (!ended)
                        f->curl.multi_poll(f->multi, NULL, 0, POLL_MS, NULL);
        }
}

int fetch_ranges(struct fetcher *f, const char *url, uint64_t total,
                 const struct fetch_range *ranges, size_t count, fetch_sink sink, void *userdata,
                 struct error *err)
{
        struct fetch x = {
                .f = f,
                .url = url,
                .total = total,
                .ranges = ranges,
                .count = count,
                .sink = sink,
                .userdata = userdata,
        };
        int r = run(&x, err);

        for (size_t i = 0; i < FETCH_CONNECTIONS; i++)
                slot_stop(&f->slots[i]);
        f->distrust = false;
        free(x.location);
        return error_prefix(err, r, "%s", url);
}

/* ---- the fetcher ---- */

void fetcher_distrust(struct fetcher *f)
{
        f->distrust = true;
}

void fetcher_set_patience(struct fetcher *f, const struct fetch_patience *patience)
{
        f->patience = *patience;
}

const struct fetch_statistics *fetcher_statistics(const struct fetcher *f)
{
        return &f->statistics;
}

void fetcher_free(struct fetcher *f)
{
        if (!f)
                return;
        for (size_t i = 0; i < FETCH_CONNECTIONS; i++)
                slot_done(&f->slots[i], &f->curl);
        f->curl.multi_cleanup(f->multi);
        f->curl.global_cleanup();
        free(f);
}

int fetcher_new(struct fetcher **ret, struct error *err)
{
        _cleanup_free_ struct fetcher *f = calloc(1, sizeof(*f));
        bool ok;
        int r;

        if (!f)
                return error_oom(err);
        r = library_load(CURL_LIBRARY, symbols, ARRAY_SIZE(symbols), &f->curl, err);
        if (r < 0)
                return r;
        if (f->curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_set(err, -ENOMEM, "libcurl cannot start");
        f->patience = FETCH_PATIENCE;
        f->multi = f->curl.multi_init();
        ok = f->multi;
        for (size_t i = 0; i < FETCH_CONNECTIONS; i++) {
                f->slots[i].easy = f->curl.easy_init();
                f->slots[i].buffer = malloc(FETCH_CHUNK);
                ok &= f->slots[i].easy && f->slots[i].buffer;
        }
        if (!ok) {
                fetcher_free(TAKE_PTR(f));
                return error_oom(err);
        }
        *ret = TAKE_PTR(f);
        return 0;
}
