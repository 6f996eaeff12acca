/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* URLs that stand for a request to a cloud's storage, and who the machine is there. On the cloud's
 * own machines the metadata service says what they may read as; when it does not, or on any other
 * machine, objects are asked for anonymously.
 *
 *   gs://BUCKET/OBJECT   Google's JSON API, with the token of the service account on gcp
 *   s3:, arn:            see fetch-s3.c
 *   https://ACCOUNT.blob.core.windows.net/…   on azure with the token of the managed identity, and
 *                        without when that is refused */

#include <strings.h>

#include "data-url.h"
#include "fetch-internal.h"
#include "json.h"
#include "url.h"

enum { METADATA_ATTEMPTS = 3, METADATA_MS = 5000 };

#define METADATA "http://169.254.169.254/"

int metadata_get(struct agent *a, const char *method, const char *url, const char *header,
                 const char *value, char **ret, struct error *err)
{
        const struct http_header headers[] = { { NULL, header, value } };
        const struct fetch_request request = { .url = url,
                                               .method = method,
                                               .headers = headers,
                                               .header_count = header ? 1 : 0,
                                               .attempts = METADATA_ATTEMPTS,
                                               .timeout_ms = METADATA_MS,
                                               .no_redirects = true,
                                               .direct = true };
        size_t size;

        return fetch_text(a, &request, ret, &size, err);
}

char *json_text_member(const char *text, const char *key)
{
        _cleanup_json_ struct json_document d = {};
        struct error ignored;
        json_object *value;

        if (json_load("metadata", text, strlen(text), true, &d, &ignored) < 0 ||
            !json_object_is_type(d.root, json_type_object) ||
            !json_object_object_get_ex(d.root, key, &value) ||
            !json_object_is_type(value, json_type_string))
                return NULL;
        return strdup(json_object_get_string(value));
}

/* Asks for a token and adds it to the target; false: there is none. */
static bool add_token(struct agent *a, const char *url, const char *header, const char *value,
                      struct target *t)
{
        _cleanup_free_ char *reply = NULL, *token = NULL, *authorization = NULL;
        struct error err = {};

        if (metadata_get(a, NULL, url, header, value, &reply, &err) >= 0)
                token = json_text_member(reply, "access_token");
        if (!token) {
                log_line(&a->log, LOG_INFO, "no token from the metadata service: %s",
                         *err.message ? err.message : "the reply has none");
                return false;
        }
        authorization = string_format("Bearer %s", token);
        return authorization && header_add(&t->headers, "Authorization", authorization, &err) == 0;
}

int gs_address(const char *url, char **ret, struct error *err)
{
        _cleanup_free_ char *object = NULL, *escaped = NULL;
        const char *path = url_path(url);
        char bucket[URL_HOST_MAX];
        unsigned port;

        object = strndup(path, strcspn(path, "?#"));
        if (!object)
                return error_oom(err);
        if (url_host(url, bucket, &port) < 0 || !url_unescape(object) || strlen(object) < 2)
                return error_set(err, -EINVAL, "not gs://BUCKET/OBJECT");
        escaped = url_escape(object + 1, strlen(object + 1), "");
        if (escaped)
                *ret = string_format(
                        "https://storage.googleapis.com/storage/v1/b/%s/o/%s?alt=media", bucket,
                        escaped);
        return escaped && *ret ? 0 : error_oom(err);
}

static int target_gs(struct agent *a, const char *url, struct target *ret, struct error *err)
{
        int r = gs_address(url, &ret->url, err);

        if (r >= 0 && streq(a->options.platform, "gcp"))
                add_token(a, METADATA "computeMetadata/v1/instance/service-accounts/default/token",
                          "Metadata-Flavor", "Google", ret);
        return r;
}

static int target_https(struct agent *a, const char *url, struct target *ret, struct error *err)
{
        char host[URL_HOST_MAX];
        unsigned port;

        ret->url = strdup(url);
        if (!ret->url)
                return error_oom(err);
        if (!streq(a->options.platform, "azure") || url_host(url, host, &port) < 0 ||
            !endswith(host, ".blob.core.windows.net"))
                return 0;
        ret->has_fallback =
                add_token(a,
                          METADATA "metadata/identity/oauth2/token?api-version=2018-02-01&resource="
                                   "https%3A%2F%2Fstorage.azure.com%2F",
                          "Metadata", "true", ret);
        return ret->has_fallback ? header_add(&ret->headers, "x-ms-version", "2021-08-06", err) : 0;
}

static int target_plain(struct agent *a _unused_, const char *url, struct target *ret,
                        struct error *err)
{
        ret->url = strdup(url);
        return ret->url ? 0 : error_oom(err);
}

static bool has_authorization(const struct fetch_request *request)
{
        for (size_t i = 0; i < request->header_count; i++)
                if (strcasecmp(request->headers[i].name, "Authorization") == 0)
                        return true;
        return false;
}

int target_find(struct agent *a, const struct fetch_request *request, struct target *ret,
                struct error *err)
{
        static const struct {
                const char *scheme;
                int (*find)(struct agent *a, const char *url, struct target *ret,
                            struct error *err);
        } schemes[] = { { "http", target_plain }, { "https", target_https },
                        { "tftp", target_plain }, { "s3", target_s3 },
                        { "arn", target_s3 },     { "gs", target_gs } };
        char scheme[URL_SCHEME_MAX], text[URL_TEXT_MAX];

        if (url_scheme(request->url, scheme) < 0)
                return error_set(err, -EINVAL, "unable to parse url");
        if (has_authorization(request))
                return target_plain(a, request->url, ret, err);
        for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
                if (streq(schemes[i].scheme, scheme))
                        return error_prefix(err, schemes[i].find(a, request->url, ret, err), "%s",
                                            url_text(request->url, text));
        return error_set(err, -EPROTONOSUPPORT, "invalid url scheme '%s'", scheme);
}
