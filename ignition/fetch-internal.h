/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of fetching share. */

#include "fetch.h"
#include "http.h"
#include "proxy.h"
#include "strv.h"

struct fetcher {
        struct http *http; /* NULL until something goes over the network */
        struct authorities *authorities;
        struct proxies proxies;
        bool configured; /* total_ms and headers_ms are a configuration's */
        uint64_t headers_ms, total_ms;
};

/* Where a request really goes. A target that asks the cloud for rights falls back to one that does
 * not when it is refused. */
struct target {
        char *url;
        char **headers;              /* strv, besides those of the request */
        char *signing, *signing_key; /* see http.h */
        bool has_fallback;           /* the plain request follows a failure */
};
void target_done(struct target *t);
#define _cleanup_target_ _cleanup_(target_done)

/* Adds "<name>: <value>" to a strv. -EINVAL when that would not be one header. */
int header_add(char ***headers, const char *name, const char *value,
               struct error *err) _must_check_;

/* The fetcher, made at the first call. */
int fetcher_get(struct agent *a, struct fetcher **ret, struct error *err) _must_check_;

/* One request after all indirections. want_header: an answer that has it is success whatever its
 * status, and *ret_header its value. */
struct fetch_call {
        const struct fetch_request *request;
        const struct target *target;
        struct sink *sink;
        int (*restart)(struct sink *sink, struct error *err);
        const char *want_header;
        char *header;
        bool spoiled; /* failed with bytes in the sink that could not be taken back */
};
int fetch_run(struct agent *a, struct fetch_call *call, struct error *err) _must_check_;

/* fetch-cloud.c: the target of a URL that is not plain http, https or tftp, or may profit from the
 * machine's identity. */
int target_find(struct agent *a, const struct fetch_request *request, struct target *ret,
                struct error *err) _must_check_;
/* The same for one cloud; the URL has its scheme. */
int target_s3(struct agent *a, const char *url, struct target *ret, struct error *err) _must_check_;
/* gs://bucket/object → the address of its content. */
int gs_address(const char *url, char **ret, struct error *err) _must_check_;
/* Asks a metadata service, for a short time. */
int metadata_get(struct agent *a, const char *method, const char *url, const char *header,
                 const char *value, char **ret, struct error *err) _must_check_;
/* A member that is a string, of a text that is a JSON object; NULL: there is none. */
char *json_text_member(const char *text, const char *key);

/* fetch-s3.c: an object as s3: and arn: URLs name it. key and version are percent-encoded. */
struct s3_object {
        char *bucket, *key, *version; /* version: NULL is the newest */
        char *access_point;           /* "<name>-<account>" instead of the bucket; NULL */
        char *region;                 /* NULL: has to be asked for */
        const char *partition;        /* of the world of regions; NULL: not known */
};
int s3_parse(const char *url, struct s3_object *ret, struct error *err) _must_check_;
void s3_object_done(struct s3_object *o);
/* Where it is when its region is known; NULL: out of memory. */
char *s3_address(const struct s3_object *o, const char *region);
