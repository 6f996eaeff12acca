/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exchanges by libcurl, which has everything that HTTP has. The only file of the agent that
 * includes it.
 *
 * curl's multi interface is driven by hand, for one transfer at a time: so a signal, a deadline and
 * the time limit of each phase end it at once. What curl would do by itself is switched off:
 * environment variables for proxies, redirects, decoding of contents, headers that nobody asked
 * for. */

#include <curl/curl.h>
#include <strings.h>

#include "http-internal.h"
#include "library.h"
#include "strv.h"
#include "url.h"

/* What is used of libcurl. It is loaded with the first request: it brings thirty other libraries
 * along, which cost a stage that fetches nothing more time than all that it does. */
#define CURL_LIBRARY "libcurl.so.4"

struct curl {
        __typeof__(curl_global_init) *global_init;
        __typeof__(curl_global_cleanup) *global_cleanup;
        __typeof__(curl_easy_init) *easy_init;
        __typeof__(curl_easy_cleanup) *easy_cleanup;
        __typeof__(curl_easy_reset) *easy_reset;
        __typeof__(curl_easy_setopt) *easy_setopt;
        __typeof__(curl_easy_getinfo) *easy_getinfo;
        __typeof__(curl_easy_header) *easy_header;
        __typeof__(curl_easy_strerror) *easy_strerror;
        __typeof__(curl_multi_init) *multi_init;
        __typeof__(curl_multi_cleanup) *multi_cleanup;
        __typeof__(curl_multi_add_handle) *multi_add_handle;
        __typeof__(curl_multi_remove_handle) *multi_remove_handle;
        __typeof__(curl_multi_perform) *multi_perform;
        __typeof__(curl_multi_poll) *multi_poll;
        __typeof__(curl_multi_info_read) *multi_info_read;
        __typeof__(curl_slist_append) *slist_append;
        __typeof__(curl_slist_free_all) *slist_free_all;
};

#define SYMBOL(name) LIBRARY_SYMBOL(curl, "curl_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(global_init),         SYMBOL(global_cleanup), SYMBOL(easy_init),
        SYMBOL(easy_cleanup),        SYMBOL(easy_reset),     SYMBOL(easy_setopt),
        SYMBOL(easy_getinfo),        SYMBOL(easy_header),    SYMBOL(easy_strerror),
        SYMBOL(multi_init),          SYMBOL(multi_cleanup),  SYMBOL(multi_add_handle),
        SYMBOL(multi_remove_handle), SYMBOL(multi_perform),  SYMBOL(multi_poll),
        SYMBOL(multi_info_read),     SYMBOL(slist_append),   SYMBOL(slist_free_all),
};
LIBRARY_NOTE("network", "Fetching configurations and files", CURL_LIBRARY);

struct http_curl {
        struct curl curl;
        CURLM *multi;
        CURL *easy; /* used again and again: keeps connections */
};

struct call {
        const struct curl *curl;
        CURL *easy;
        struct exchange *x;
        struct curl_slist *headers;
        char *url;
        bool headers_done;
        uint64_t discarded; /* bytes of a body that nobody wants */
        struct http_progress progress;
        struct error failure; /* of the sink */
        char message[CURL_ERROR_SIZE];
};

static bool is_scheme(const char *url, const char *prefix)
{
        return strncasecmp(url, prefix, strlen(prefix)) == 0;
}

static unsigned status_of(const struct call *c)
{
        long status = 0;

        c->curl->easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        return (unsigned)status;
}

/* ---- what curl calls ---- */

/* The empty line ends the headers, unless they were those of an interim answer. */
static size_t on_header(char *data, size_t size, size_t count, void *userdata)
{
        struct call *c = userdata;

        if (size * count <= 2 && (*data == '\r' || *data == '\n'))
                c->headers_done = status_of(c) >= 200;
        return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
        struct call *c = userdata;
        size_t n = size * count;

        if (!is_scheme(c->x->url, "tftp:") && status_of(c) != 200) {
                c->discarded += n;
                return c->discarded > HTTP_DISCARD_MAX ? 0 : n;
        }
        c->x->received += n;
        return c->x->sink->write(c->x->sink, data, n, &c->failure) < 0 ? 0 : n;
}

static CURLcode on_tls(CURL *easy _unused_, void *ssl_ctx, void *userdata)
{
        struct call *c = userdata;

        return authorities_trust(c->x->authorities, ssl_ctx) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

/* ---- settings ---- */

static bool set_number(struct call *c, CURLoption option, long value)
{
        return c->curl->easy_setopt(c->easy, option, value) == CURLE_OK;
}

/* A string, a list, or the data of a callback. */
static bool set_pointer(struct call *c, CURLoption option, const void *value)
{
        return c->curl->easy_setopt(c->easy, option, value) == CURLE_OK;
}

static bool set_numbers(struct call *c)
{
        static const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_FOLLOWLOCATION, 0 },
                { CURLOPT_HTTP_CONTENT_DECODING, 0 },
                { CURLOPT_SUPPRESS_CONNECT_HEADERS, 1 },
                { CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
                { CURLOPT_PROXY_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
                { CURLOPT_TCP_KEEPALIVE, 1 },
        };
        bool ok = true;

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                ok &= set_number(c, numbers[i].option, numbers[i].value);
        return ok && set_number(c, CURLOPT_CONNECTTIMEOUT_MS,
                                (long)(http_connect_ms(c->x) + HTTP_HANDSHAKE_MS));
}

/* The system's pool where Go programs look for it. A file or directory that is not there is none,
 * while curl would refuse to work. */
static bool set_system_authorities(struct call *c)
{
        static const char *const files[] = {
                "/etc/ssl/certs/ca-certificates.crt",
                "/etc/pki/tls/certs/ca-bundle.crt",
                "/etc/ssl/ca-bundle.pem",
                "/etc/pki/tls/cacert.pem",
                "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                "/etc/ssl/cert.pem",
        };
        const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");

        for (size_t i = 0; !file && i < ARRAY_SIZE(files); i++)
                file = access(files[i], R_OK) == 0 ? files[i] : NULL;
        dir = dir ?: access("/etc/ssl/certs", R_OK) == 0 ? "/etc/ssl/certs" : NULL;
        return set_pointer(c, CURLOPT_CAINFO, file) && set_pointer(c, CURLOPT_CAPATH, dir) &&
               set_pointer(c, CURLOPT_PROXY_CAINFO, file) &&
               set_pointer(c, CURLOPT_PROXY_CAPATH, dir);
}

static bool sends_body(const struct exchange *x)
{
        return x->method && !streq(x->method, "GET") && !streq(x->method, "HEAD");
}

static bool add_line(struct call *c, const char *line)
{
        struct curl_slist *list = c->curl->slist_append(c->headers, line);

        c->headers = list ?: c->headers;
        return list;
}

/* Ours, and a word for each that curl would add by itself: only where it would, for some versions
 * of curl sign the word. To curl, "Name:" is a header to leave out and "Name;" one without value.
 */
static bool set_headers(struct call *c)
{
        static const struct {
                const char *name;
                bool with_body;
        } unwanted[] = { { "Accept", false }, { "Content-Type", true }, { "Expect", true } };
        bool ok = true;

        STRV_FOREACH (line, c->x->headers) {
                const char *colon = strchr(*line, ':');
                _cleanup_free_ char *empty = NULL;

                if (colon && colon[1 + strspn(colon + 1, " ")] == '\0')
                        empty = string_format("%.*s;", (int)(colon - *line), *line);
                ok = ok && add_line(c, empty ?: *line);
        }
        for (size_t i = 0; i < ARRAY_SIZE(unwanted); i++) {
                char line[32];

                snprintf(line, sizeof(line), "%s:", unwanted[i].name);
                if ((sends_body(c->x) || !unwanted[i].with_body) &&
                    !http_has_header(c->x->headers, unwanted[i].name))
                        ok = ok && add_line(c, line);
        }
        return ok && set_pointer(c, CURLOPT_HTTPHEADER, c->headers);
}

/* A PUT or POST without body says so by its length. */
static bool set_method(struct call *c)
{
        const char *method = c->x->method ?: "GET";

        if (!sends_body(c->x))
                return set_number(c, CURLOPT_NOBODY, (long)streq(method, "HEAD"));
        return set_pointer(c, CURLOPT_POSTFIELDS, c->x->body ?: "") &&
               set_number(c, CURLOPT_POSTFIELDSIZE, (long)c->x->body_size) &&
               set_pointer(c, CURLOPT_CUSTOMREQUEST, method);
}

static bool set_proxy(struct call *c)
{
        return set_pointer(c, CURLOPT_PROXY, c->x->proxy ?: "") &&
               set_pointer(c, CURLOPT_NOPROXY, "");
}

static bool set_signing(struct call *c)
{
        return !c->x->signing || (set_pointer(c, CURLOPT_AWS_SIGV4, c->x->signing) &&
                                  set_pointer(c, CURLOPT_USERPWD, c->x->signing_key));
}

/* A port that only root may use; one that is taken is passed over. */
static bool set_port(struct call *c)
{
        return !c->x->privileged_port || (set_number(c, CURLOPT_LOCALPORT, 600L) &&
                                          set_number(c, CURLOPT_LOCALPORTRANGE, 424L) &&
                                          set_number(c, CURLOPT_FRESH_CONNECT, 1L));
}

/* The name of a tftp file is the whole path, with its slash, which curl takes away. Without a limit
 * curl would wait more than a minute before it asks again for a lost packet. */
static bool set_url(struct call *c)
{
        const char *path = url_path(c->x->url);

        if (is_scheme(c->x->url, "tftp:")) {
                c->url = string_format("%.*s/%s", (int)(path - c->x->url), c->x->url, path);
                set_number(c, CURLOPT_TIMEOUT_MS, (long)TFTP_TRANSFER_MS);
        } else {
                c->url = strdup(c->x->url);
        }
        return c->url && set_pointer(c, CURLOPT_URL, c->url) &&
               set_pointer(c, CURLOPT_PROTOCOLS_STR, "http,https,tftp");
}

static bool set_callbacks(struct call *c)
{

        return set_pointer(c, CURLOPT_ERRORBUFFER, c->message) &&
               c->curl->easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
               set_pointer(c, CURLOPT_HEADERDATA, c) &&
               c->curl->easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
               set_pointer(c, CURLOPT_WRITEDATA, c) &&
               c->curl->easy_setopt(c->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls) == CURLE_OK &&
               set_pointer(c, CURLOPT_SSL_CTX_DATA, c);
}

/* ---- how far it is ---- */

static bool has_happened(const struct call *c, CURLINFO what)
{
        curl_off_t t = 0;

        return c->curl->easy_getinfo(c->easy, what, &t) == CURLE_OK && t > 0;
}

static enum http_phase phase_of(const struct call *c)
{
        if (c->headers_done || is_scheme(c->x->url, "tftp:"))
                return PHASE_BODY;
        if (has_happened(c, CURLINFO_PRETRANSFER_TIME_T))
                return PHASE_HEADERS;
        return has_happened(c, CURLINFO_CONNECT_TIME_T) ? PHASE_HANDSHAKE : PHASE_CONNECT;
}

/* ---- the exchange ---- */

static int run(struct http_curl *h, struct call *c, CURLcode *ret, struct error *err)
{
        int running = 1, left, r;
        CURLMsg *m;

        while (running > 0) {
                if (h->curl.multi_perform(h->multi, &running) != CURLM_OK)
                        return error_set(err, -EIO, "libcurl failed");
                r = running > 0 ? http_check(c->x, &c->progress, phase_of(c), err) : 0;
                if (r < 0)
                        return r;
                if (running > 0)
                        h->curl.multi_poll(h->multi, NULL, 0, HTTP_POLL_MS, NULL);
        }
        while ((m = h->curl.multi_info_read(h->multi, &left)))
                if (m->msg == CURLMSG_DONE)
                        *ret = m->data.result;
        return 0;
}

static int code_errno(CURLcode code, bool *ret_transient)
{
        static const struct {
                CURLcode code;
                int error;
        } permanent[] = {
                { CURLE_UNSUPPORTED_PROTOCOL, -EPROTONOSUPPORT },
                { CURLE_URL_MALFORMAT, -EINVAL },
                { CURLE_NOT_BUILT_IN, -EOPNOTSUPP },
                { CURLE_OUT_OF_MEMORY, -ENOMEM },
                { CURLE_BAD_FUNCTION_ARGUMENT, -EINVAL },
                { CURLE_SSL_CACERT_BADFILE, -EACCES },
                { CURLE_TFTP_NOTFOUND, -ENODATA },
                { CURLE_TFTP_PERM, -EACCES },
                { CURLE_TFTP_ILLEGAL, -EPROTO },
        };

        for (size_t i = 0; i < ARRAY_SIZE(permanent); i++)
                if (permanent[i].code == code)
                        return permanent[i].error;
        *ret_transient = true;
        return code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -ECOMM;
}

static int take_answer(struct call *c, struct error *err)
{
        struct exchange *x = c->x;
        struct curl_header *header;
        char *location = NULL;

        x->status = is_scheme(x->url, "tftp:") ? 200 : status_of(c);
        if (c->curl->easy_getinfo(c->easy, CURLINFO_REDIRECT_URL, &location) == CURLE_OK &&
            location && !(x->location = strdup(location)))
                return error_oom(err);
        if (x->want_header &&
            c->curl->easy_header(c->easy, x->want_header, 0, CURLH_HEADER, -1, &header) ==
                    CURLHE_OK &&
            !(x->header = strdup(header->value)))
                return error_oom(err);
        return 0;
}

static int conclude(struct call *c, CURLcode code, struct error *err)
{
        c->x->transient = false;
        if (c->failure.code < 0) {
                *err = c->failure;
                return err->code;
        }
        if (code == CURLE_OK || c->discarded > HTTP_DISCARD_MAX)
                return take_answer(c, err);
        return error_set(err, code_errno(code, &c->x->transient), "%s",
                         c->message[0] ? c->message : c->curl->easy_strerror(code));
}

static void call_done(struct call *c)
{
        c->curl->slist_free_all(c->headers);
        free(c->url);
}

int http_curl_exchange(struct http_curl *h, struct exchange *x, struct error *err)
{
        _cleanup_(call_done) struct call c = { .curl = &h->curl, .easy = h->easy, .x = x };
        CURLcode code = CURLE_FAILED_INIT;
        int r;

        h->curl.easy_reset(h->easy);
        if (!set_numbers(&c) || !set_system_authorities(&c) || !set_url(&c) || !set_callbacks(&c) ||
            !set_headers(&c) || !set_method(&c) || !set_proxy(&c) || !set_signing(&c) ||
            !set_port(&c) || h->curl.multi_add_handle(h->multi, h->easy) != CURLM_OK)
                return error_set(err, -ENOMEM, "libcurl refuses the request");
        r = run(h, &c, &code, err);
        if (r >= 0)
                r = conclude(&c, code, err);
        h->curl.multi_remove_handle(h->multi, h->easy);
        h->curl.easy_reset(h->easy); /* it keeps no pointer to what ends here */
        return r;
}

void http_curl_free(struct http_curl *h)
{
        if (!h)
                return;
        h->curl.easy_cleanup(h->easy);
        h->curl.multi_cleanup(h->multi);
        h->curl.global_cleanup();
        free(h);
}

int http_curl_new(struct http_curl **ret, struct error *err)
{
        _cleanup_free_ struct http_curl *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return error_oom(err);
        r = library_load(CURL_LIBRARY, symbols, ARRAY_SIZE(symbols), &h->curl, err);
        if (r < 0)
                return r;
        if (h->curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_set(err, -ENOMEM, "libcurl cannot start");
        h->multi = h->curl.multi_init();
        h->easy = h->curl.easy_init();
        if (!h->multi || !h->easy) {
                http_curl_free(TAKE_PTR(h));
                return error_oom(err);
        }
        *ret = TAKE_PTR(h);
        return 0;
}
