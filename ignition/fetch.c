/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See fetch.h. An attempt is one exchange and those that its redirects lead to. What fails in a way
 * that may pass is tried again after a pause, as long as there is time: the request's own limit or
 * the configured one, and the stage's deadline (--deadline) in any case. */

#include <stdarg.h>
#include <strings.h>

#include "data-url.h"
#include "fetch-internal.h"
#include "text-sink.h"
#include "url.h"

enum {
        TFTP_ATTEMPTS = 5,
        QUICK_REDIRECTS = 20, /* so many without a pause in between */
        FIRST_ERROR_STATUS = 500,
        STATUS_OK = 200,
        STATUS_NO_CONTENT = 204,
        STATUS_NOT_FOUND = 404,
};

/* Whoever sets the limit of a fetch. */
struct limit {
        uint64_t deadline, ms;
        const char *name;
};

struct attempts {
        struct agent *agent;
        struct fetcher *fetcher;
        struct fetch_call *call;
        struct limit limit;
        char **headers; /* of the first exchange of an attempt */
        char *url;      /* of the next exchange */
        unsigned number, redirects;
        uint64_t pause;
        struct error last; /* of the attempt before; code 0: none */
};

void target_done(struct target *t)
{
        free(t->url);
        strv_free(t->headers);
        free(t->signing);
        if (t->signing_key)
                explicit_bzero(t->signing_key, strlen(t->signing_key));
        free(t->signing_key);
        *t = (struct target){};
}

static void attempts_done(struct attempts *t)
{
        strv_free(t->headers);
        free(t->url);
}

void fetcher_free(struct fetcher *f)
{
        if (!f)
                return;
        http_free(f->http);
        authorities_free(f->authorities);
        proxies_done(&f->proxies);
        free(f);
}

int fetcher_get(struct agent *a, struct fetcher **ret, struct error *err)
{
        struct fetcher *f = a->fetcher;

        if (!f) {
                f = a->fetcher = calloc(1, sizeof(*f));
                if (!f)
                        return error_oom(err);
                f->headers_ms = FETCH_HEADERS_MS;
                f->total_ms = a->options.fetch_timeout_ms;
        }
        *ret = f;
        return 0;
}

uint64_t fetch_next_pause(uint64_t pause_ms)
{
        return pause_ms == 0 ? FETCH_FIRST_PAUSE_MS
                             : MIN(pause_ms * 2, (uint64_t)FETCH_LAST_PAUSE_MS);
}

/* ---- headers ---- */

static const struct {
        const char *name, *value;
} default_headers[] = {
        { "User-Agent", "Ignition/" SLIPWAY_VERSION },
        { "Accept", FETCH_ACCEPT },
        { "Accept-Encoding", "identity" },
};

static bool is_header_name(const char *name)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789!#$%&'*+-.^_`|~";

        return *name && name[strspn(name, allowed)] == '\0';
}

static bool is_header_value(const char *value)
{
        for (; *value; value++)
                if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
                        return false;
        return true;
}

int header_add(char ***headers, const char *name, const char *value, struct error *err)
{
        _cleanup_free_ char *line = NULL;

        if (!value || !is_header_name(name) || !is_header_value(value))
                return error_set(err, -EINVAL, "unable to parse HTTP header '%s'", name);
        line = string_format("%s: %s", name, value);
        return !line || strv_extend(headers, line) < 0 ? error_oom(err) : 0;
}

/* The request's, the target's, and of the defaults what is missing. */
static int make_headers(const struct fetch_call *call, char ***ret, struct error *err)
{
        const struct fetch_request *request = call->request;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < request->header_count; i++)
                r = header_add(ret, request->headers[i].name, request->headers[i].value, err);
        STRV_FOREACH (line, call->target->headers)
                if (r >= 0 && strv_extend(ret, *line) < 0)
                        r = error_oom(err);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(default_headers); i++)
                if (!http_has_header(*ret, default_headers[i].name))
                        r = header_add(ret, default_headers[i].name, default_headers[i].value, err);
        return r;
}

/* ---- one attempt ---- */

static const char *method_of(const struct attempts *t)
{
        return t->call->request->method ?: "GET";
}

/* What is asked for where a redirect leads, as browsers and Go do it. */
static const char *next_method(const char *method, unsigned status)
{
        if (status == 307 || status == 308 || (method && streq(method, "HEAD")))
                return method;
        return NULL;
}

static bool is_redirect(unsigned status)
{
        static const unsigned codes[] = { 301, 302, 303, 307, 308 };

        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
                if (codes[i] == status)
                        return true;
        return false;
}

static bool may_pass(const struct fetch_request *request, unsigned status)
{
        const unsigned *code = request->retry_codes;

        while (code && *code && *code != status)
                code++;
        return status >= FIRST_ERROR_STATUS || (code && *code);
}

static int judge_status(struct attempts *t, struct exchange *x, struct error *err)
{
        struct fetch_call *call = t->call;

        if (call->want_header && x->header) {
                free(call->header);
                call->header = TAKE_PTR(x->header);
                return 0;
        }
        if (x->status == STATUS_OK || x->status == STATUS_NO_CONTENT)
                return 0;
        x->transient = may_pass(call->request, x->status);
        return error_set(err, x->status == STATUS_NOT_FOUND ? FETCH_NOT_FOUND : -EREMOTEIO,
                         "HTTP status %u", x->status);
}

/* Prepares the exchange for where the redirect leads: without any header. Many in a row get slower
 * and slower, and time bounds their number. */
static int follow(struct attempts *t, struct exchange *x, struct error *err)
{
        char text[URL_TEXT_MAX], scheme[URL_SCHEME_MAX];

        log_line(&t->agent->log, LOG_INFO, "%s redirected (%u) to %s", method_of(t), x->status,
                 url_text(x->location, text));
        if (url_scheme(x->location, scheme) < 0 ||
            !(streq(scheme, "http") || streq(scheme, "https")))
                return error_set(err, -EPROTONOSUPPORT, "redirect to %s", text);
        free(t->url);
        x->url = t->url = TAKE_PTR(x->location);
        x->method = next_method(x->method, x->status);
        x->body = x->method ? x->body : NULL;
        x->body_size = x->method ? x->body_size : 0;
        x->headers = NULL;
        x->signing = NULL;
        x->proxy = t->call->request->direct ? NULL : proxy_for(&t->fetcher->proxies, x->url);
        if (++t->redirects <= QUICK_REDIRECTS)
                return 0;
        t->pause = fetch_next_pause(t->pause);
        if (clock_left(t->limit.deadline) <= t->pause)
                return error_set(err, -ELOOP, "%u redirects", t->redirects);
        return clock_sleep(t->pause, err);
}

static int exchange_and_follow(struct attempts *t, struct exchange *x, struct error *err)
{
        for (;;) {
                int r = http_exchange(t->fetcher->http, x, err);

                if (r < 0)
                        return r;
                if (!is_redirect(x->status) || !x->location || t->call->request->no_redirects ||
                    x->header)
                        return judge_status(t, x, err);
                x->transient = false;
                r = follow(t, x, err);
                if (r < 0)
                        return r;
        }
}

/* A failed attempt may have given bytes to the sink, which must be forgotten. */
static int rewind_sink(struct attempts *t, const struct exchange *x, struct error *err)
{
        if (x->received > 0 && !t->call->restart)
                return -ESPIPE;
        return x->received > 0 ? t->call->restart(t->call->sink, err) : 0;
}

static int attempt(struct attempts *t, bool *ret_again, struct error *err)
{
        const struct fetch_request *request = t->call->request;
        const struct target *target = t->call->target;
        _cleanup_(exchange_done) struct exchange x = {
                .url = target->url,
                .method = request->method,
                .headers = t->headers,
                .body = request->body,
                .body_size = request->body_size,
                .proxy = request->direct ? NULL : proxy_for(&t->fetcher->proxies, target->url),
                .authorities = t->fetcher->authorities,
                .signing = target->signing,
                .signing_key = target->signing_key,
                .privileged_port = request->privileged_port,
                .headers_ms = t->fetcher->headers_ms,
                .deadline = t->limit.deadline,
                .want_header = t->call->want_header,
                .sink = t->call->sink,
        };
        char text[URL_TEXT_MAX];
        struct error failed;
        int r;

        t->number++;
        t->redirects = 0;
        log_line(&t->agent->log, LOG_INFO, "%s %s: attempt #%u", method_of(t),
                 url_text(target->url, text), t->number);
        r = exchange_and_follow(t, &x, err);
        *ret_again = false;
        if (r >= 0)
                return 0;
        t->call->spoiled = rewind_sink(t, &x, &failed) < 0;
        *ret_again = x.transient && !t->call->spoiled;
        return r;
}

/* ---- attempts ---- */

static struct limit find_limit(const struct agent *a, const struct fetcher *f,
                               const struct fetch_request *request)
{
        uint64_t ms = request->timeout_ms > 0 ? request->timeout_ms : f->total_ms;
        struct limit limit = { clock_deadline(ms), ms,
                               request->timeout_ms > 0 ? "its limit"
                               : f->configured         ? "ignition.timeouts.httpTotal"
                                                       : "--fetch-timeout" };

        if (a->deadline > 0 && clock_earlier(a->deadline, limit.deadline) == a->deadline)
                limit = (struct limit){ a->deadline, a->options.deadline_ms, "--deadline" };
        return limit;
}

static int give_up(const struct attempts *t, struct error *err, const char *format, ...)
        _printf_(3, 4);

/* Says which URL, which attempt and why, and what ended it: "GET http://h/x: attempt 3: HTTP status
 * 503; …". */
static int give_up(const struct attempts *t, struct error *err, const char *format, ...)
{
        const struct error why = *err;
        bool add =
                t->last.code < 0 && why.code == -ETIMEDOUT && !streq(t->last.message, why.message);
        char text[URL_TEXT_MAX], end[128];
        va_list ap;

        va_start(ap, format);
        vsnprintf(end, sizeof(end), format, ap);
        va_end(ap);
        return error_set(err, why.code, "%s %s: attempt %u: %.256s%s%.256s%s%s", method_of(t),
                         url_text(t->call->target->url, text), t->number, why.message,
                         add ? " (before: " : "", add ? t->last.message : "", add ? ")" : "", end);
}

/* After a failure that may pass: waits, or says why not. */
static int wait_for_next(struct attempts *t, struct error *err)
{
        char pause[CLOCK_TEXT_MAX], left[CLOCK_TEXT_MAX];
        unsigned most = t->call->request->attempts;
        uint64_t left_ms = clock_left(t->limit.deadline), pause_ms;

        if (most == 0 && startswith(t->call->target->url, "tftp:"))
                most = TFTP_ATTEMPTS;
        if (most > 0 && t->number >= most)
                return give_up(t, err, "; that was the last attempt");
        if (left_ms < FETCH_FIRST_PAUSE_MS)
                return give_up(t, err, "; given up after %s (%s)", clock_text(t->limit.ms, left),
                               t->limit.name);
        t->pause = fetch_next_pause(t->pause);
        pause_ms = MIN(t->pause, left_ms / 2); /* the time that is left is used to its end */
        log_line(&t->agent->log, LOG_INFO, "%s error: %s; next attempt in %s, time left: %s",
                 method_of(t), err->message, clock_text(pause_ms, pause),
                 left_ms == UINT64_MAX ? "unlimited" : clock_text(left_ms, left));
        t->last = *err;
        return clock_sleep(pause_ms, err);
}

int fetch_run(struct agent *a, struct fetch_call *call, struct error *err)
{
        _cleanup_(attempts_done) struct attempts t = { .agent = a, .call = call };
        bool again = false;
        int r;

        r = fetcher_get(a, &t.fetcher, err);
        if (r >= 0 && !t.fetcher->http)
                r = http_new(&t.fetcher->http, err);
        if (r >= 0)
                r = make_headers(call, &t.headers, err);
        if (r < 0)
                return r;
        t.limit = find_limit(a, t.fetcher, call->request);
        do {
                r = attempt(&t, &again, err);
                if (r >= 0)
                        log_line(&a->log, LOG_INFO, "%s result: OK", method_of(&t));
                else
                        r = again ? wait_for_next(&t, err) : give_up(&t, err, "%s", "");
        } while (r >= 0 && again);
        return r;
}

/* ---- public ---- */

static int fetch_data(const char *url, struct sink *sink, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = data_url_decode(url, &data, &size, err);

        return r < 0 ? r : sink->write(sink, data, size, err);
}

int fetch_stream(struct agent *a, const struct fetch_request *request, struct sink *sink,
                 int (*restart)(struct sink *sink, struct error *err), struct error *err)
{
        _cleanup_target_ struct target target = {}, plain = {};
        struct fetch_request once = *request;
        struct fetch_call call = {
                .request = request, .target = &target, .sink = sink, .restart = restart
        };
        char scheme[URL_SCHEME_MAX], text[URL_TEXT_MAX];
        int r;

        if (url_scheme(request->url, scheme) < 0)
                return error_set(err, -EINVAL, "unable to parse url");
        if (streq(scheme, "data"))
                return fetch_data(request->url, sink, err);
        if (a->offline)
                return error_set(err, FETCH_OFFLINE, "%s needs the network",
                                 url_text(request->url, text));
        r = target_find(a, request, &target, err);
        if (r < 0)
                return r;
        once.attempts = 1;
        call.request = target.has_fallback ? &once : request;
        r = fetch_run(a, &call, err);
        if (r >= 0 || !target.has_fallback || call.spoiled)
                return r;
        log_line(&a->log, LOG_INFO, "%s; trying without the machine's identity", err->message);
        plain.url = strdup(request->url);
        call.target = &plain;
        call.request = request;
        return plain.url ? fetch_run(a, &call, err) : error_oom(err);
}

int fetch_text(struct agent *a, const struct fetch_request *request, char **ret, size_t *ret_size,
               struct error *err)
{
        _cleanup_text_sink_ struct text_sink t;
        int r;

        text_sink_init(&t, FETCH_TEXT_MAX);
        r = fetch_stream(a, request, &t.sink, text_sink_restart, err);
        return r < 0 ? r : text_sink_take(&t, ret, ret_size, err);
}
