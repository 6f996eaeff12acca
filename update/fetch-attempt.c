/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See fetch-internal.h. One request and its answer: what is asked for, what of the answer is
 * believed, and where its bytes go. An answer is judged at its body's first byte, and a wrong one
 * is not read any further. */

#include <curl/curl.h>

#include "content-range.h"
#include "fetch-internal.h"

enum {
        DISCARD_MAX = 64 * 1024,  /* of the body of an answer that nobody wants */
        BUFFER_SIZE = 256 * 1024, /* curl's, for each connection */
};

/* ---- pieces ---- */

bool piece_take(struct slot *s)
{
        struct fetch *x = s->fetch;
        const struct fetch_range *range = &x->ranges[x->next];
        uint64_t size;

        if (x->next == x->count)
                return false;
        size = MIN(range->size - x->cut, (uint64_t)FETCH_RANGE_MAX);
        s->range = x->next;
        s->start = range->offset + x->cut;
        s->end = s->start + size;
        s->filled = 0;
        x->cut += size;
        if (x->cut == range->size) {
                x->next++;
                x->cut = 0;
        }
        return true;
}

uint64_t piece_wanted(const struct slot *s)
{
        return s->start + s->filled;
}

/* ---- the attempt's end, as its callbacks see it ---- */

int attempt_settle(struct slot *s, enum outcome outcome, int code, const char *why)
{
        s->outcome = outcome;
        error_set(&s->error, code, "%s", why);
        return code;
}

unsigned attempt_status(const struct slot *s)
{
        long status = 0;

        s->fetch->f->curl.easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
        return (unsigned)status;
}

static const char *header_of(const struct slot *s, const char *name)
{
        struct curl_header *h;

        if (s->fetch->f->curl.easy_header(s->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
                return NULL;
        return h->value;
}

static int check_total(struct slot *s, uint64_t found)
{
        char text[96];

        if (found == s->fetch->total)
                return 0;
        snprintf(text, sizeof(text), "the file has %ju bytes, not %ju", (uintmax_t)found,
                 (uintmax_t)s->fetch->total);
        return attempt_settle(s, OUTCOME_FINAL, -EREMOTEIO, text);
}

/* 206: exactly the range that was asked for, of a file of the right size. */
static int begin_partial(struct slot *s)
{
        struct fetch *x = s->fetch;
        const char *text = header_of(s, "Content-Range"), *etag = header_of(s, "ETag");
        struct content_range found;

        if (!text || content_range_parse(text, &found) < 0)
                return attempt_settle(s, OUTCOME_AGAIN, -EREMOTEIO,
                                      "the server does not say what it sends");
        if (check_total(s, found.total) < 0)
                return s->error.code;
        if (x->whole || found.first != piece_wanted(s) || found.last != s->end - 1)
                return attempt_settle(s, OUTCOME_AGAIN, -EREMOTEIO,
                                      "the server sends another range than asked for");
        x->answered = true;
        if (etag && *etag == '"' && strlen(etag) < ETAG_MAX && !x->etag[0] && !x->changed)
                strcpy(x->etag, etag);
        return 0;
}

/* 200: a server without ranges, or another file than before. */
static int begin_whole(struct slot *s)
{
        struct fetch *x = s->fetch;
        curl_off_t length = -1;

        x->f->curl.easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length >= 0 && check_total(s, (uint64_t)length) < 0)
                return s->error.code;
        if (s->conditional) {
                x->changed = true;
                x->etag[0] = '\0';
                return attempt_settle(s, OUTCOME_AGAIN, -EREMOTEIO, "the file changed meanwhile");
        }
        if (x->answered && !x->whole)
                return attempt_settle(s, OUTCOME_AGAIN, -EREMOTEIO,
                                      "the server has no ranges any more");
        x->answered = x->whole = true;
        return 0;
}

int attempt_begin(struct slot *s)
{
        unsigned status = attempt_status(s);

        s->began = true;
        if (status == 206)
                return begin_partial(s);
        if (status == 200)
                return begin_whole(s);
        s->unwanted = true;
        return 0;
}

/* ---- bytes ---- */

static int deliver(struct slot *s)
{
        const struct fetch *x = s->fetch;
        struct error error = {};
        int r = x->sink(x->userdata, s->range, s->start, s->buffer, s->filled, &error);

        if (r >= 0)
                s->start += s->filled;
        s->filled = 0;
        if (r == -EBADMSG) {
                s->bad++;
                s->fresh = s->distrust = true;
        }
        return r < 0 ? attempt_settle(s, r == -EBADMSG ? OUTCOME_AGAIN : OUTCOME_FINAL, r,
                                      error.message)
                     : 0;
}

/* Takes what belongs to the piece; returns how much that was, or a failure. */
static ssize_t feed(struct slot *s, const char *data, size_t size)
{
        size_t room = (size_t)MIN(s->end - s->start, (uint64_t)FETCH_CHUNK) - s->filled;
        size_t n = MIN(room, size);
        int r = 0;

        memcpy(s->buffer + s->filled, data, n);
        s->filled += n;
        s->gained += n;
        if (n == room)
                r = deliver(s);
        return r < 0 ? r : (ssize_t)n;
}

/* Who sends more than was asked for is not listened to any longer; what was, is here. */
static int take_partial(struct slot *s, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n;

                if (s->start == s->end)
                        return attempt_settle(s, OUTCOME_COMPLETE, -ECANCELED, "enough");
                n = feed(s, data, size);
                if (n < 0)
                        return (int)n;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

/* One piece after the other, until none is left; the end of the body is nobody's concern then. */
static int take_whole(struct slot *s, const char *data, size_t size)
{
        while (size > 0) {
                uint64_t skip = MIN(piece_wanted(s) - s->position, (uint64_t)size);
                ssize_t n = (ssize_t)skip;

                if (skip == 0)
                        n = feed(s, data, size);
                if (n < 0)
                        return (int)n;
                data += n;
                size -= (size_t)n;
                s->position += (uint64_t)n;
                if (s->start == s->end && !piece_take(s))
                        return attempt_settle(s, OUTCOME_COMPLETE, -ECANCELED, "enough");
        }
        return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
        struct slot *s = userdata;
        size_t n = size * count;
        int r = s->began ? 0 : attempt_begin(s);

        s->fetch->f->statistics.bytes += n;
        if (r < 0)
                return 0;
        if (s->unwanted) {
                s->discarded += n;
                return s->discarded > DISCARD_MAX ? 0 : n;
        }
        r = s->fetch->whole ? take_whole(s, data, n) : take_partial(s, data, n);
        return r < 0 ? 0 : n;
}

/* ---- an attempt's beginning ---- */

static bool set_number(struct slot *s, CURLoption option, long value)
{
        return s->fetch->f->curl.easy_setopt(s->easy, option, value) == CURLE_OK;
}

static bool set_pointer(struct slot *s, CURLoption option, const void *value)
{
        return s->fetch->f->curl.easy_setopt(s->easy, option, value) == CURLE_OK;
}

static bool set_numbers(struct slot *s)
{
        const struct fetch_patience *p = &s->fetch->f->patience;
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_FOLLOWLOCATION, 0 },
                { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS },
                { CURLOPT_PIPEWAIT, 1 }, /* rather a stream more than a connection */
                { CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
                { CURLOPT_SUPPRESS_CONNECT_HEADERS, 1 },
                { CURLOPT_CONNECTTIMEOUT, p->connect_seconds },
                { CURLOPT_LOW_SPEED_TIME, p->stall_seconds },
                { CURLOPT_LOW_SPEED_LIMIT, p->stall_speed },
                { CURLOPT_FRESH_CONNECT, s->fresh },
        };
        bool ok = true;

        (void)set_number(s, CURLOPT_BUFFERSIZE,
                         BUFFER_SIZE); /* curl refuses to change it at times */
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                ok &= set_number(s, numbers[i].option, numbers[i].value);
        return ok;
}

static bool add_header(struct slot *s, const char *name, const char *value)
{
        char line[ETAG_MAX + 32];
        struct curl_slist *list;

        snprintf(line, sizeof(line), "%s: %s", name, value);
        list = s->fetch->f->curl.slist_append(s->headers, line);
        s->headers = list ?: s->headers;
        return list;
}

static bool set_headers(struct slot *s)
{
        const struct fetch *x = s->fetch;
        char range[64];
        bool ok = true;

        snprintf(range, sizeof(range), "bytes=%ju-%ju", (uintmax_t)piece_wanted(s),
                 (uintmax_t)(s->end - 1));
        s->conditional = !x->whole && x->etag[0];
        if (!x->whole)
                ok &= add_header(s, "Range", range);
        if (s->conditional)
                ok &= add_header(s, "If-Range", x->etag);
        if (s->distrust)
                ok &= add_header(s, "Cache-Control", "no-cache");
        return ok && set_pointer(s, CURLOPT_HTTPHEADER, s->headers);
}

static bool set_options(struct slot *s)
{
        const char *authorities = getenv("SSL_CERT_FILE");
        CURL *easy = s->easy;

        return set_numbers(s) && set_headers(s) &&
               set_pointer(s, CURLOPT_URL, s->fetch->location ?: s->fetch->url) &&
               set_pointer(s, CURLOPT_PROTOCOLS_STR, "http,https") &&
               set_pointer(s, CURLOPT_USERAGENT, "slipway/" SLIPWAY_VERSION) &&
               (!authorities || set_pointer(s, CURLOPT_CAINFO, authorities)) &&
               set_pointer(s, CURLOPT_ERRORBUFFER, s->message) &&
               set_pointer(s, CURLOPT_PRIVATE, s) && set_pointer(s, CURLOPT_WRITEDATA, s) &&
               s->fetch->f->curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
}

int attempt_start(struct slot *s, struct error *err)
{
        struct fetcher *f = s->fetch->f;

        f->curl.easy_reset(s->easy);
        f->curl.slist_free_all(TAKE_PTR(s->headers));
        s->outcome = OUTCOME_OPEN;
        s->began = s->unwanted = false;
        s->position = s->discarded = 0;
        s->message[0] = '\0';
        if (!set_options(s) || f->curl.multi_add_handle(f->multi, s->easy) != CURLM_OK)
                return error_set(err, -ENOMEM, "libcurl refuses the request");
        f->statistics.requests++;
        s->state = SLOT_ACTIVE;
        return 0;
}
