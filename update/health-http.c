/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A GET whose answer must have a certain status. One try has a process of its own, which is ended
 * when it takes too long: so there are no time limits here. libcurl is loaded when it is needed. */

#include <curl/curl.h>

#include "health.h"
#include "library.h"

#define CURL_LIBRARY "libcurl.so.4"

struct curl {
        __typeof__(curl_easy_init) *easy_init;
        __typeof__(curl_easy_setopt) *easy_setopt;
        __typeof__(curl_easy_perform) *easy_perform;
        __typeof__(curl_easy_getinfo) *easy_getinfo;
        __typeof__(curl_easy_strerror) *easy_strerror;
        __typeof__(curl_easy_cleanup) *easy_cleanup;
};

#define SYMBOL(name) LIBRARY_SYMBOL(curl, "curl_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(easy_init),    SYMBOL(easy_setopt),   SYMBOL(easy_perform),
        SYMBOL(easy_getinfo), SYMBOL(easy_strerror), SYMBOL(easy_cleanup),
};
LIBRARY_NOTE("http", "Health checks by HTTP", CURL_LIBRARY);

static size_t discard(char *data _unused_, size_t size, size_t count, void *userdata _unused_)
{
        return size * count;
}

/* No proxy: what is asked is mostly on this machine. */
static int perform(const struct curl *curl, CURL *easy, const char *url, long *ret_status,
                   struct error *err)
{
        char message[CURL_ERROR_SIZE] = "";
        CURLcode code = CURLE_OUT_OF_MEMORY;

        if (curl->easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
            curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
            curl->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
            curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
            curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, message) == CURLE_OK &&
            curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard) == CURLE_OK)
                code = curl->easy_perform(easy);
        if (code != CURLE_OK)
                return error_set(err, -EIO, "%s: %s", url,
                                 *message ? message : curl->easy_strerror(code));
        curl->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
        return 0;
}

static bool http_set(const struct health_check *c)
{
        return c->http.url;
}

static int http_try(const struct health_check *c, struct error *err)
{
        struct curl curl;
        long status = 0;
        CURL *easy;
        int r;

        r = library_load(CURL_LIBRARY, symbols, ARRAY_SIZE(symbols), &curl, err);
        if (r < 0)
                return r;
        easy = curl.easy_init();
        if (!easy)
                return error_oom(err);
        r = perform(&curl, easy, c->http.url, &status, err);
        curl.easy_cleanup(easy);
        if (r < 0 || (uint64_t)status == c->http.status)
                return r;
        return error_set(err, -EPROTO, "%s: status %ld, not %ju", c->http.url, status,
                         (uintmax_t)c->http.status);
}

const struct health_ops health_http_ops = { "http", http_set, http_try };
