/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ranges of files on a web server (RFC 9110 §14), over several connections, or multiplexed where
 * the server has HTTP/2. fetch*.c are the only files of the agent that include libcurl. http and
 * https only, also where a redirect leads, and never from https to http. */

#include "error.h"

enum {
        FETCH_CONNECTIONS = 4,
        FETCH_RANGE_MAX = 4 * 1024 * 1024, /* longer ones are cut: proxies dislike them */
        FETCH_CHUNK = 1024 * 1024,         /* what the sink gets at once */
        FETCH_ATTEMPTS = 5,                /* of one range without getting further */
        FETCH_BAD_MAX = 2,                 /* times that a sink may refuse a chunk of one range */
        FETCH_RETRY_AFTER_MAX = 60,        /* seconds that a server may ask us to wait */
        FETCH_REDIRECTS_MAX = 5,
};

struct fetcher; /* keeps connections; one thread at a time */

struct fetch_statistics {
        uint64_t requests, bytes; /* bytes of bodies, discarded ones too */
};

struct fetch_patience {
        unsigned connect_seconds;
        unsigned stall_seconds; /* below stall_speed for so long ends an attempt */
        unsigned stall_speed;   /* bytes a second */
        unsigned pause_ms;      /* before a second attempt; doubles with each further one */
};
#define FETCH_PATIENCE                                                                             \
        ((struct fetch_patience){ .connect_seconds = 15,                                           \
                                  .stall_seconds = 30,                                             \
                                  .stall_speed = 1024,                                             \
                                  .pause_ms = 500 })

int fetcher_new(struct fetcher **ret, struct error *err) _must_check_;
void fetcher_free(struct fetcher *f);
DEFINE_CLEANUP(struct fetcher, fetcher_free)
const struct fetch_statistics *fetcher_statistics(const struct fetcher *f);
/* Others than FETCH_PATIENCE. */
void fetcher_set_patience(struct fetcher *f, const struct fetch_patience *patience);
/* What came last was wrong: the next call begins on fresh connections, and past caches. */
void fetcher_distrust(struct fetcher *f);

struct fetch_range {
        uint64_t offset, size; /* size > 0 */
};

/* Bytes of the file: FETCH_CHUNK of them, counted from the range's start, or as many as the range's
 * last chunk has; chunks in any order. What it refuses with -EBADMSG is fetched once more, on a
 * fresh connection and past caches; other failures end everything. */
typedef int (*fetch_sink)(void *userdata, size_t range, uint64_t offset, const void *data,
                          size_t size, struct error *err);

/* Fetches ranges (in order, none touching the next) of a file of exactly `total` bytes. A server
 * that answers 200 to the first request gets no others: its one body serves them all. -ENOENT: 404
 * or 410; -EBADMSG: the sink's; -EREMOTEIO or -ETIMEDOUT: the server's fault, of which the message
 * tells; -EINTR after SIGINT or SIGTERM (base/interrupt). */
int fetch_ranges(struct fetcher *f, const char *url, uint64_t total,
                 const struct fetch_range *ranges, size_t count, fetch_sink sink, void *userdata,
                 struct error *err) _must_check_;
