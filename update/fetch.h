/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ranges of files on a web server (RFC 9110 §14), over several connections, or multiplexed where
 * the server has HTTP/2. fetch.c is the only file of the agent that includes libcurl. http and
 * https only, also where a redirect leads, and never from https to http. */

#include "strv.h"

enum {
        FETCH_CONNECTIONS = 4,
        FETCH_RANGE_MAX = 4 * 1024 * 1024, /* longer ones are cut: proxies dislike them */
        FETCH_ATTEMPTS = 5,                /* of one range, with growing pauses */
        FETCH_STALL_SECONDS = 30,          /* below FETCH_STALL_SPEED for so long ends an attempt */
        FETCH_STALL_SPEED = 1024,          /* bytes a second */
};

struct fetcher; /* keeps connections; one thread at a time */

struct fetch_statistics {
        uint64_t requests, bytes; /* bytes of bodies, discarded ones too */
};

int fetcher_new(struct fetcher **ret, struct error *err) _must_check_;
void fetcher_free(struct fetcher *f);
DEFINE_CLEANUP(struct fetcher, fetcher_free)
const struct fetch_statistics *fetcher_statistics(const struct fetcher *f);

struct fetch_range {
        uint64_t offset, size;
};

/* Bytes of the file as they arrive; in order within a range, ranges mixed. What it refuses with
 * -EBADMSG counts as a failed attempt of that range; other failures end everything. */
typedef int (*fetch_sink)(void *userdata, size_t range, uint64_t offset, const void *data,
                          size_t size, struct error *err);

/* Fetches ranges of a file of exactly `total` bytes, each completely or not at all as far as the
 * result says. A server that answers 200 to the first of them gets no others: its one body serves
 * them all. -ENOENT: 404 or 410; -EREMOTEIO: the server's fault, of which the message tells;
 * -ECANCELED after SIGINT or SIGTERM (base/interrupt). */
int fetch_ranges(struct fetcher *f, const char *url, uint64_t total,
                 const struct fetch_range *ranges, size_t count, fetch_sink sink, void *userdata,
                 struct error *err) _must_check_;
