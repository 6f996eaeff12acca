/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clouds whose user data is one GET from a metadata service: one row each. Some want a token first,
 * which a PUT gives. */

#include "fetch.h"
#include "provider.h"

#define LINK_LOCAL "http://169.254.169.254/"

enum { TOKEN_MAX = 4096 };

struct token {
        const char *url, *header, *value; /* of the PUT */
        const char *name;                 /* of the header that carries the token */
        bool optional;                    /* 404: the service knows no tokens */
};

static int fetch(struct agent *a, struct config_text *ret, struct error *err);

static const struct service {
        struct provider provider;
        const char *url, *header, *value;
        struct token token;
        unsigned retry_codes[2];
        bool privileged_port, base64, maybe_gzip, through_proxy;
} services[] = {
        { .provider = { .name = "akamai", .fetch = fetch },
          .url = LINK_LOCAL "v1/user-data",
          .token = { LINK_LOCAL "v1/token", "Metadata-Token-Expiry-Seconds", "300",
                     "Metadata-Token", false },
          .base64 = true,
          .maybe_gzip = true },
        { .provider = { .name = "aliyun", .fetch = fetch },
          .url = "http://100.100.100.200/latest/user-data" },
        { .provider = { .name = "aws", .fetch = fetch },
          .url = LINK_LOCAL "2019-10-01/user-data",
          .token = { LINK_LOCAL "latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600",
                     "X-aws-ec2-metadata-token", true } },
        { .provider = { .name = "digitalocean", .fetch = fetch },
          .url = LINK_LOCAL "metadata/v1/user-data" },
        { .provider = { .name = "exoscale", .fetch = fetch }, .url = LINK_LOCAL "1.0/user-data" },
        { .provider = { .name = "gcp", .fetch = fetch },
          .url = LINK_LOCAL "computeMetadata/v1/instance/attributes/user-data",
          .header = "Metadata-Flavor",
          .value = "Google" },
        { .provider = { .name = "hetzner", .fetch = fetch },
          .url = LINK_LOCAL "hetzner/v1/userdata" },
        { .provider = { .name = "oraclecloud", .fetch = fetch },
          .url = LINK_LOCAL "opc/v2/instance/metadata/user_data",
          .header = "Authorization",
          .value = "Bearer Oracle",
          .retry_codes = { 429 },
          .base64 = true },
        { .provider = { .name = "packet", .fetch = fetch },
          .url = "https://metadata.packet.net/userdata",
          .header = "Accept",
          .value = "*/*",
          .through_proxy = true },
        { .provider = { .name = "scaleway", .fetch = fetch },
          .url = "http://169.254.42.42/user_data/cloud-init",
          .privileged_port = true },
        { .provider = { .name = "upcloud", .fetch = fetch },
          .url = LINK_LOCAL "metadata/v1/user_data" },
        { .provider = { .name = "vultr", .fetch = fetch },
          .url = LINK_LOCAL "user-data/user-data" },
};

static const struct service *find(const char *platform)
{
        for (size_t i = 0; i < ARRAY_SIZE(services); i++)
                if (streq(services[i].provider.name, platform))
                        return &services[i];
        return NULL;
}

const struct provider *metadata_find(const char *platform)
{
        const struct service *service = find(platform);

        return service ? &service->provider : NULL;
}

/* *ret stays NULL where the service has no tokens. */
static int fetch_token(struct agent *a, const struct token *token, char **ret, struct error *err)
{
        const struct http_header header = { .name = token->header, .value = token->value };
        const struct fetch_request request = {
                .url = token->url,
                .method = "PUT",
                .headers = &header,
                .header_count = 1,
                .direct = true,
        };
        size_t size;
        int r = fetch_text(a, &request, ret, &size, err);

        if (r == FETCH_NOT_FOUND)
                return token->optional ? 0
                                       : error_prefix(err, -EREMOTEIO, "metadata service's token");
        if (r >= 0 && (size == 0 || size > TOKEN_MAX || strlen(*ret) != size))
                return error_set(err, -EBADMSG, "metadata service's token: %zu bytes", size);
        return r;
}

static int fetch(struct agent *a, struct config_text *ret, struct error *err)
{
        const struct service *s = find(provider_find(a->options.platform)->name);
        _cleanup_free_ char *token = NULL;
        struct http_header headers[2];
        struct fetch_request request = {
                .url = s->url,
                .headers = headers,
                .retry_codes = s->retry_codes,
                .privileged_port = s->privileged_port,
                .direct = !s->through_proxy,
        };
        int r = 0;

        if (s->token.url)
                r = fetch_token(a, &s->token, &token, err);
        if (token)
                headers[request.header_count++] =
                        (struct http_header){ .name = s->token.name, .value = token };
        if (s->header)
                headers[request.header_count++] =
                        (struct http_header){ .name = s->header, .value = s->value };
        if (r >= 0)
                r = fetch_text(a, &request, &ret->text, &ret->size, err);
        if (r < 0)
                return r;
        ret->source = strdup(s->url);
        if (!ret->source)
                return error_oom(err);
        if (s->base64)
                r = config_text_unbase64(ret, err);
        if (r >= 0 && s->maybe_gzip && ret->size >= 2 && memcmp(ret->text, "\x1f\x8b", 2) == 0)
                r = config_text_gunzip(ret, err);
        return r;
}
