/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See request.h. http and https only, also where a redirect leads, and never from https to http. */

#include <curl/curl.h>

#include "interrupt.h"
#include "request.h"
#include "strv.h"

enum { REDIRECTS_MAX = 5, CONNECT_SECONDS = 20 };

struct exchange {
        const struct request *request;
        struct buffer body;
        bool too_long;
};

static void curl_free_p(CURL **curl)
{
        curl_easy_cleanup(*curl);
}

static void slist_free_p(struct curl_slist **list)
{
        curl_slist_free_all(*list);
}

static size_t take_body(char *data, size_t size, size_t count, void *userdata)
{
        struct exchange *x = userdata;

        size *= count;
        if (size > x->request->limit - x->body.size) {
                x->too_long = true;
                return CURL_WRITEFUNC_ERROR;
        }
        buffer_append(&x->body, data, size);
        return size;
}

static int on_progress(void *userdata _unused_, curl_off_t a _unused_, curl_off_t b _unused_,
                       curl_off_t c _unused_, curl_off_t d _unused_)
{
        return interrupt_check(NULL) < 0;
}

static int add_headers(const struct request *request, struct curl_slist **list, struct error *err)
{
        struct curl_slist *more = NULL;

        for (size_t i = 0; i < REQUEST_HEADERS_MAX && request->headers[i]; i++) {
                more = curl_slist_append(*list, request->headers[i]);
                if (!more)
                        return error_oom(err);
                *list = more;
        }
        return 0;
}

static void set_up(CURL *curl, struct exchange *x, struct curl_slist *headers, char *message)
{
        const struct request *request = x->request;
        bool secure = startswith(request->url, "https://");

        curl_easy_setopt(curl, CURLOPT_URL, request->url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->body ? 0L : 1L);
        curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)REQUEST_SECONDS);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "slipway-update/" SLIPWAY_VERSION);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        if (request->body)
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
}

static int result(const struct exchange *x, CURLcode code, long status, const char *message,
                  struct error *err)
{
        int r = interrupt_check(err);

        if (r < 0)
                return r;
        if (x->too_long)
                return error_set(err, -EFBIG, "longer than %zu bytes", x->request->limit);
        if (code != CURLE_OK)
                return error_set(err, -EREMOTEIO, "%s",
                                 *message ? message : curl_easy_strerror(code));
        if (status == 404 || status == 410)
                return error_set(err, -ENOENT, "not there (%ld)", status);
        if (status < 200 || status > 299)
                return error_set(err, -EREMOTEIO, "the server answers %ld", status);
        return 0;
}

static int run(struct exchange *x, struct error *err)
{
        _cleanup_(slist_free_p) struct curl_slist *headers = NULL;
        _cleanup_(curl_free_p) CURL *curl = curl_easy_init();
        char message[CURL_ERROR_SIZE] = "";
        CURLcode code;
        long status = 0;
        int r;

        if (!curl)
                return error_oom(err);
        r = add_headers(x->request, &headers, err);
        if (r < 0)
                return r;
        set_up(curl, x, headers, message);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        return result(x, code, status, message, err);
}

int request_run(const struct request *request, char **ret, size_t *ret_size, struct error *err)
{
        struct exchange x = { .request = request };
        int r = run(&x, err);

        if (r < 0)
                r = error_prefix(err, r, "%s", request->url);
        else if (buffer_take(&x.body, ret, ret_size) < 0)
                r = error_oom(err);
        buffer_done(&x.body);
        return r;
}
