/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Objects of Amazon's S3:
 *
 *   s3://BUCKET/KEY[?versionId=ID]
 *   arn:PARTITION:s3:::BUCKET/KEY[?versionId=ID]
 *   arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY[?versionId=ID]
 *
 * A bucket is in one region, which any region of the same partition tells in the header of an
 * answer to anybody. Then the object has an https address, with the bucket in the host's name
 * unless it has dots or capitals, which no certificate would match. On aws the request is signed
 * with what the instance's role lends. */

#include <ctype.h>
#include <strings.h>

#include "fetch-internal.h"
#include "url.h"

#define METADATA   "http://169.254.169.254/latest/"
#define UPPER_CASE "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum { NAME_LENGTH_MAX = 255, LABEL_MAX = 63 };

/* Of each partition, the region to ask for others and the domain. */
static const struct {
        const char *name, *region_prefix, *region, *domain;
} partitions[] = {
        { "aws", "", "us-east-1", "amazonaws.com" },
        { "aws-cn", "cn-", "cn-north-1", "amazonaws.com.cn" },
        { "aws-us-gov", "us-gov-", "us-gov-west-1", "amazonaws.com" },
};

static const char *domain_of(const char *region)
{
        const char *domain = partitions[0].domain;

        for (size_t i = 1; i < ARRAY_SIZE(partitions); i++)
                if (startswith(region, partitions[i].region_prefix))
                        domain = partitions[i].domain;
        return domain;
}

void s3_object_done(struct s3_object *o)
{
        free(o->bucket);
        free(o->key);
        free(o->version);
        free(o->access_point);
        free(o->region);
        *o = (struct s3_object){};
}

/* ---- names ---- */

static bool is_label(const char *s, const char *extra)
{
        const char *p = s;

        while (*p &&
               ((unsigned char)*p < 0x80 && (isalnum((unsigned char)*p) || strchr(extra, *p))))
                p++;
        return *s && !*p && *s != '.' && *s != '-' && p - s <= NAME_LENGTH_MAX;
}

/* Whether the bucket can be the first part of a host's name that certificates match. */
static bool is_host_label(const char *s)
{
        return is_label(s, "-") && strlen(s) <= LABEL_MAX && !s[strcspn(s, UPPER_CASE)];
}

/* Decodes what a URL has and encodes it as signatures want it. */
static int normalise(const char *text, size_t size, const char *keep, char **ret)
{
        _cleanup_free_ char *plain = strndup(text, size);

        if (!plain)
                return -ENOMEM;
        if (!url_unescape(plain) || !*plain)
                return -EINVAL;
        *ret = url_escape(plain, strlen(plain), keep);
        return *ret ? 0 : -ENOMEM;
}

/* KEY[?versionId=ID][#…] */
static int parse_key(const char *text, struct s3_object *ret)
{
        size_t size = strcspn(text, "?#");
        const char *query = text[size] == '?' ? text + size + 1 : NULL;
        int r = normalise(text, size, "/", &ret->key);

        while (r >= 0 && query && *query && *query != '#') {
                size_t n = strcspn(query, "&#");
                const char *id = startswith(query, "versionId=");

                if (id && !ret->version)
                        r = normalise(id, n - (size_t)(id - query), "", &ret->version);
                query += n + (query[n] == '&');
        }
        return r;
}

static int parse_bucket(const char *text, struct s3_object *ret)
{
        size_t n = strcspn(text, "/?#");

        ret->bucket = strndup(text, n);
        if (!ret->bucket)
                return -ENOMEM;
        return text[n] == '/' && is_label(ret->bucket, "-_.") ? parse_key(text + n + 1, ret)
                                                              : -EINVAL;
}

/* NAME/object/KEY behind "accesspoint/" */
static int parse_access_point(const char *text, const char *account, struct s3_object *ret)
{
        size_t n = strcspn(text, "/");
        const char *key = startswith(text + n, "/object/");

        ret->access_point = string_format("%.*s-%s", (int)n, text, account);
        if (!ret->access_point)
                return -ENOMEM;
        return key && *ret->region && is_host_label(ret->access_point) ? parse_key(key, ret)
                                                                       : -EINVAL;
}

enum { ARN_PARTITION, ARN_SERVICE, ARN_REGION, ARN_ACCOUNT, ARN_PARTS };

static int parse_arn(const char *text, struct s3_object *ret)
{
        char part[ARN_PARTS][64];
        const char *access_point;

        for (size_t i = 0; i < ARN_PARTS; i++) {
                size_t n = strcspn(text, ":");

                if (text[n] != ':' || n >= sizeof(part[i]))
                        return -EINVAL;
                memcpy(part[i], text, n);
                part[i][n] = '\0';
                text += n + 1;
        }
        for (size_t i = 0; i < ARRAY_SIZE(partitions); i++)
                if (streq(partitions[i].name, part[ARN_PARTITION]))
                        ret->partition = partitions[i].name;
        ret->region = strdup(part[ARN_REGION]);
        if (!ret->region)
                return -ENOMEM;
        if (!streq(part[ARN_SERVICE], "s3") || (*ret->region && !is_label(ret->region, "-")))
                return -EINVAL;
        access_point = startswith(text, "accesspoint/");
        if (access_point)
                return parse_access_point(access_point, part[ARN_ACCOUNT], ret);
        if (!*ret->region)
                free(TAKE_PTR(ret->region));
        return parse_bucket(text, ret);
}

int s3_parse(const char *url, struct s3_object *ret, struct error *err)
{
        const char *rest = strchr(url, ':') + 1;
        int r;

        *ret = (struct s3_object){};
        if (strncasecmp(url, "arn:", 4) == 0)
                r = parse_arn(rest, ret);
        else
                r = startswith(rest, "//") ? parse_bucket(rest + 2, ret) : -EINVAL;
        if (r >= 0)
                return 0;
        s3_object_done(ret);
        return r == -ENOMEM ? error_oom(err)
                            : error_set(err, r, "not the address of an object in S3");
}

char *s3_address(const struct s3_object *o, const char *region)
{
        const char *domain = domain_of(region), *mark = o->version ? "?versionId=" : "";
        const char *version = o->version ?: "";

        if (o->access_point)
                return string_format("https://%s.s3-accesspoint.dualstack.%s.%s/%s%s%s",
                                     o->access_point, region, domain, o->key, mark, version);
        if (is_host_label(o->bucket))
                return string_format("https://%s.s3.dualstack.%s.%s/%s%s%s", o->bucket, region,
                                     domain, o->key, mark, version);
        return string_format("https://s3.dualstack.%s.%s/%s/%s%s%s", region, domain, o->bucket,
                             o->key, mark, version);
}

/* ---- the region ---- */

/* Asks one region; it may not know the bucket. */
static int ask_region(struct agent *a, const char *bucket, const char *region, char **ret,
                      struct error *err)
{
        _cleanup_target_ struct target target = { .url = string_format(
                                                          "https://s3.dualstack.%s.%s/%s", region,
                                                          domain_of(region), bucket) };
        const struct fetch_request request = { .method = "HEAD" };
        struct fetch_call call = { .request = &request,
                                   .target = &target,
                                   .want_header = "x-amz-bucket-region" };
        int r = target.url ? fetch_run(a, &call, err) : error_oom(err);

        if (r >= 0 && (!call.header || !is_label(call.header, "-"))) {
                free(TAKE_PTR(call.header));
                return error_set(err, -EPROTO, "the answer does not tell the bucket's region");
        }
        *ret = call.header;
        return r;
}

/* Asks the own region's partition, or that of the name, or one after the other. */
static int find_region(struct agent *a, struct s3_object *o, const char *own, struct error *err)
{
        int r = FETCH_NOT_FOUND;

        if (o->region)
                return 0;
        if (own && !o->partition)
                return ask_region(a, o->bucket, own, &o->region, err);
        for (size_t i = 0; i < ARRAY_SIZE(partitions); i++)
                if ((r == FETCH_NOT_FOUND || r == -EREMOTEIO) &&
                    (!o->partition || streq(o->partition, partitions[i].name)))
                        r = ask_region(a, o->bucket, partitions[i].region, &o->region, err);
        return r;
}

/* ---- the machine's rights ---- */

struct role {
        char *region, *key, *token; /* NULL: none; key: "<id>:<secret>" */
};

static void role_done(struct role *role)
{
        char *all[] = { role->region, role->key, role->token };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                if (all[i])
                        explicit_bzero(all[i], strlen(all[i]));
                free(all[i]);
        }
}

static int instance_get(struct agent *a, const char *session, const char *path, const char *name,
                        char **ret, struct error *err)
{
        _cleanup_free_ char *url = string_format(METADATA "meta-data/%s%s", path, name);

        return url ? metadata_get(a, NULL, url, session ? "X-aws-ec2-metadata-token" : NULL,
                                  session, ret, err)
                   : error_oom(err);
}

static int read_credentials(const char *reply, struct role *ret, struct error *err)
{
        _cleanup_free_ char *id = json_text_member(reply, "AccessKeyId");
        _cleanup_free_ char *secret = json_text_member(reply, "SecretAccessKey");

        ret->token = json_text_member(reply, "Token");
        ret->key = id && secret ? string_format("%s:%s", id, secret) : NULL;
        return ret->key && ret->token ? 0 : error_set(err, -EPROTO, "the role lends no key");
}

static int ask_role(struct agent *a, struct role *ret, struct error *err)
{
        _cleanup_free_ char *session = NULL, *name = NULL, *reply = NULL;
        static const char path[] = "iam/security-credentials/";
        int r;

        r = metadata_get(a, "PUT", METADATA "api/token", "X-aws-ec2-metadata-token-ttl-seconds",
                         "21600", &session, err);
        if (r < 0 && r != FETCH_NOT_FOUND)
                return r;
        r = instance_get(a, session, "placement/region", "", &ret->region, err);
        if (r >= 0 && !is_label(ret->region, "-"))
                free(TAKE_PTR(ret->region));
        r = instance_get(a, session, path, "", &name, err);
        if (r < 0)
                return r;
        name[strcspn(name, "\r\n")] = '\0';
        r = instance_get(a, session, path, name, &reply, err);
        return r < 0 ? r : read_credentials(reply, ret, err);
}

static int sign(struct target *t, const struct role *role, const char *region, struct error *err)
{
        static const char hash_of_nothing[] =
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        int r;

        t->signing = string_format("aws:amz:%s:s3", region);
        t->signing_key = strdup(role->key);
        if (!t->signing || !t->signing_key)
                return error_oom(err);
        r = header_add(&t->headers, "x-amz-content-sha256", hash_of_nothing, err);
        return r < 0 ? r : header_add(&t->headers, "x-amz-security-token", role->token, err);
}

int target_s3(struct agent *a, const char *url, struct target *ret, struct error *err)
{
        _cleanup_(s3_object_done) struct s3_object o = {};
        _cleanup_(role_done) struct role role = {};
        struct error no_role = {};
        int r;

        r = s3_parse(url, &o, err);
        if (r < 0)
                return r;
        if (streq(a->options.platform, "aws") && ask_role(a, &role, &no_role) < 0)
                log_line(&a->log, LOG_INFO, "no role of the instance, reading anonymously: %s",
                         no_role.message);
        r = find_region(a, &o, role.region, err);
        if (r < 0)
                return error_prefix(err, r, "region of the bucket");
        ret->url = s3_address(&o, o.region);
        if (!ret->url)
                return error_oom(err);
        return role.key && role.token ? sign(ret, &role, o.region, err) : 0;
}
