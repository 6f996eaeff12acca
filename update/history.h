/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /var/lib/slipway/history.jsonl: what happened to releases on this machine, one JSON object a
 * line, oldest first, appended and synced. A torn last line (power cut) is passed over. */

#include "digest.h"
#include "json.h"

#define HISTORY_PATH "/var/lib/slipway/history.jsonl"

enum { HISTORY_LINE_MAX = 64 * 1024, HISTORY_SIZE_MAX = 1024 * 1024, HISTORY_JOURNAL_LINES = 20 };

enum history_kind {
        HISTORY_STAGED,      /* a slot holds the release, and it has a boot entry */
        HISTORY_BOOTED,      /* first boot of it that reached the host */
        HISTORY_GOOD,        /* blessed */
        HISTORY_UNHEALTHY,   /* a boot of it failed its checks: check, reason, journal */
        HISTORY_FELL_BACK,   /* seen by the old release: all tries of it are spent */
        HISTORY_ROLLED_BACK, /* by hand */
        _HISTORY_KIND_MAX,
};

struct history_event {
        uint64_t time; /* seconds since the epoch */
        int kind;      /* enum history_kind */
        char *version;
        struct sha256 root_hash;
        uint64_t tries; /* spent so far */
        char *boot_id;  /* of the boot it is about; NULL: unknown */
        char *check;    /* that failed; NULL */
        char *reason;   /* NULL */
        char **journal; /* last lines of that boot; may be NULL */
};

struct history {
        struct history_event *items;
        size_t count;
};

int history_load(const char *path, struct history *ret, struct error *err) _must_check_;
void history_done(struct history *h);
/* Appends durably; beyond HISTORY_SIZE_MAX the older half is dropped, by rename. */
int history_append(const char *path, const struct history_event *event,
                   struct error *err) _must_check_;
/* Whether the release with this root hash fell back and has not been good since: it is not tried
 * again. */
bool history_failed(const struct history *h, const struct sha256 *root_hash);
/* For people. */
void history_print(const struct history *h, bool json);
