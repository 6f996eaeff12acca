/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Getting bytes from a URL: http, https, tftp, what is built on them (s3, arn, gs, Azure blobs),
 * and data:. Requests are retried with back-off until they succeed, are refused for good, or a
 * deadline passes; each retry is a line in the log. Proxy, extra CAs and timeouts are those of the
 * configuration known so far; the environment's proxy variables are ignored. */

#include "agent.h"
#include "clock.h"
#include "sink.h"

enum {
        FETCH_TEXT_MAX = CONFIG_SIZE_MAX,
        FETCH_FIRST_PAUSE_MS = 200, /* doubles to */
        FETCH_LAST_PAUSE_MS = 5000,
        FETCH_HEADERS_MS = 10000, /* time for an answer's headers, unless configured */
};

struct fetch_request {
        const char *url;
        const char *method;                /* NULL: GET */
        const struct http_header *headers; /* replace defaults of the same name */
        size_t header_count;
        const void *body; /* of a PUT or POST */
        size_t body_size;
        const unsigned *retry_codes; /* besides transport errors and >= 500; ends with 0 */
        unsigned attempts;           /* at most so many; 0: until a deadline passes */
        uint64_t timeout_ms;         /* instead of the configured total; 0: the configured one */
        bool privileged_port;        /* from a source port below 1024 */
        bool no_redirects;
        bool direct; /* never through a proxy: metadata services */
};

/* The Accept header that asks for a configuration. */
#define FETCH_ACCEPT                                                                               \
        "application/vnd.coreos.ignition+json;version=" CONFIG_STABLE_VERSION ", */*;q=0.1"

/* fetch results besides 0 and errors: 404, and refused because a->offline. */
enum { FETCH_NOT_FOUND = -ENODATA, FETCH_OFFLINE = -ENETDOWN };

/* Streams the body of a 200 (or nothing for a 204) into the sink. A reply that breaks off after
 * bytes reached the sink is retried only through `restart` (NULL: then it is an error), which must
 * make the sink forget what it has. */
int fetch_stream(struct agent *a, const struct fetch_request *request, struct sink *sink,
                 int (*restart)(struct sink *sink, struct error *err),
                 struct error *err) _must_check_;
/* The same into memory, NUL-terminated, at most FETCH_TEXT_MAX bytes. */
int fetch_text(struct agent *a, const struct fetch_request *request, char **ret, size_t *ret_size,
               struct error *err) _must_check_;

/* From here on the client has this configuration's timeouts, proxy and CAs. The CAs' contents are
 * fetched (with the settings before) and replaced in the configuration's tree by data: URLs without
 * compression and headers, so that later stages need no network for them. */
int fetch_configure(struct agent *a, struct config *c, struct error *err) _must_check_;
void fetcher_free(struct fetcher *f);

/* The pause before the next attempt, given the one before (0: there was none). */
uint64_t fetch_next_pause(uint64_t pause_ms);
