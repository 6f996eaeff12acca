/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What fetch.c (who does what, and when again) and fetch-attempt.c (one request) share. */

#include <curl/curl.h>

#include "fetch.h"

enum { ETAG_MAX = 256 };

struct curl {
        __typeof__(curl_global_init) *global_init;
        __typeof__(curl_global_cleanup) *global_cleanup;
        __typeof__(curl_easy_init) *easy_init;
        __typeof__(curl_easy_cleanup) *easy_cleanup;
        __typeof__(curl_easy_reset) *easy_reset;
        __typeof__(curl_easy_setopt) *easy_setopt;
        __typeof__(curl_easy_getinfo) *easy_getinfo;
        __typeof__(curl_easy_header) *easy_header;
        __typeof__(curl_easy_strerror) *easy_strerror;
        __typeof__(curl_multi_init) *multi_init;
        __typeof__(curl_multi_cleanup) *multi_cleanup;
        __typeof__(curl_multi_add_handle) *multi_add_handle;
        __typeof__(curl_multi_remove_handle) *multi_remove_handle;
        __typeof__(curl_multi_perform) *multi_perform;
        __typeof__(curl_multi_poll) *multi_poll;
        __typeof__(curl_multi_info_read) *multi_info_read;
        __typeof__(curl_slist_append) *slist_append;
        __typeof__(curl_slist_free_all) *slist_free_all;
};

enum slot_state {
        SLOT_FREE,
        SLOT_WAITING, /* has a piece, and waits until `not_before` */
        SLOT_ACTIVE,
};

/* What has become of an attempt. */
enum outcome {
        OUTCOME_OPEN,
        OUTCOME_COMPLETE, /* the piece, or all there is to do, is there: the rest is not needed */
        OUTCOME_AGAIN,    /* failed, and worth another attempt */
        OUTCOME_FINAL,    /* failed for good */
};

struct slot {
        struct fetch *fetch;
        CURL *easy;
        struct curl_slist *headers;
        uint8_t *buffer; /* FETCH_CHUNK bytes */
        enum slot_state state;

        /* the piece */
        size_t range;
        uint64_t start, end; /* what the sink has not got */
        size_t filled;       /* bytes from `start` on that are in the buffer */
        unsigned attempts, bad, redirects;
        uint64_t gained;     /* bytes since the last failure */
        uint64_t not_before; /* monotonic milliseconds */
        bool fresh, distrust;

        /* the attempt */
        enum outcome outcome;
        struct error error; /* of the outcomes that are failures */
        bool began, unwanted, conditional;
        uint64_t position; /* in the body of a whole file */
        uint64_t discarded;
        char message[CURL_ERROR_SIZE];
};

struct fetcher {
        struct curl curl;
        CURLM *multi;
        struct fetch_statistics statistics;
        struct fetch_patience patience;
        bool distrust;
        struct slot slots[FETCH_CONNECTIONS];
};

/* One call of fetch_ranges(). */
struct fetch {
        struct fetcher *f;
        const char *url;
        char *location; /* where redirects led; NULL: nowhere */
        char etag[ETAG_MAX];
        uint64_t total;
        const struct fetch_range *ranges;
        size_t count;
        fetch_sink sink;
        void *userdata;

        size_t next;   /* the range to cut the next piece from, */
        uint64_t cut;  /* and how much of it is cut off */
        bool answered; /* the server has shown what it can: */
        bool whole;    /* whole files only */
        bool changed;  /* an answer said so: no conditions any more */
};

/* Cuts the next piece off for the slot; false when nothing is left. */
bool piece_take(struct slot *s);
/* The first byte that is not here yet. */
uint64_t piece_wanted(const struct slot *s);

int attempt_start(struct slot *s, struct error *err) _must_check_;
/* Judges an answer by its headers; what is wrong is in the outcome. */
int attempt_begin(struct slot *s);
/* Sets the outcome; returns code. */
int attempt_settle(struct slot *s, enum outcome outcome, int code, const char *why);
unsigned attempt_status(const struct slot *s);
