/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A first line as a URL of everything that is fetched, the rest as a list of what needs no proxy
 * and as a bundle of certificates. An address that is made of a URL is one itself, and leads
 * nowhere but to the cloud it is for. */

#include <assert.h>

#include "data-url.h"
#include "fetch-internal.h"
#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const char *address, const char *domain)
{
        char host[URL_HOST_MAX], scheme[URL_SCHEME_MAX];
        unsigned port;

        assert(url_scheme(address, scheme) == 0 && streq(scheme, "https"));
        assert(url_host(address, host, &port) == 0 && port == 443 && strstr(host, domain));
}

static void try_objects(const char *url)
{
        _cleanup_(s3_object_done) struct s3_object o = {};
        _cleanup_free_ char *s3 = NULL, *gs = NULL;
        char scheme[URL_SCHEME_MAX];
        struct error err = {};

        if (url_scheme(url, scheme) < 0)
                return;
        if ((streq(scheme, "s3") || streq(scheme, "arn")) && s3_parse(url, &o, &err) == 0) {
                s3 = s3_address(&o, "eu-west-1");
                check_address(s3, ".amazonaws.com");
        }
        if (streq(scheme, "gs") && gs_address(url, &gs, &err) == 0)
                check_address(gs, "storage.googleapis.com");
}

static void try_authority(const char *url, char *rest)
{
        char *bypass[] = { rest, NULL };
        const struct proxies p = { (char *)"http://p", (char *)"http://p", bypass };
        char host[URL_HOST_MAX] = "", text[URL_TEXT_MAX];
        unsigned port = 0;

        if (url_host(url, host, &port) == 0)
                assert(*host && port <= UINT16_MAX);
        assert(strlen(url_text(url, text)) < URL_TEXT_MAX);
        proxy_for(&p, url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(authorities_free_p) struct authorities *list = NULL;
        _cleanup_free_ char *url = strndup((const char *)data, size);
        char *rest = url ? strchr(url, '\n') : NULL;
        struct error err = {};

        if (!url)
                return 0;
        if (rest)
                *rest++ = '\0';
        else
                rest = url + strlen(url);
        try_objects(url);
        try_authority(url, rest);
        if (authorities_add(&list, (const char *)data, size, &err) < 0)
                assert(*err.message);
        return 0;
}
