/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /var/lib/slipway/history.jsonl: what happened to releases on this machine, one JSON object a
 * line, oldest first, appended and synced:
 *
 *   { "time": 1790000000, "event": "unhealthy", "version": "1.0.1", "rootHash": "…", "tries": 1,
 *     "bootId": "…", "check": "units", "reason": "…", "journal": [ "…" ] }
 *
 * What runs now may be older than what wrote a line: keys that it does not know are passed over,
 * and so are lines that say nothing to it, or that a power cut tore. */

#include "digest.h"
#include "json.h"

#define HISTORY_PATH "/var/lib/slipway/history.jsonl"

enum {
        HISTORY_LINE_MAX = 64 * 1024,
        HISTORY_SIZE_MAX = 1024 * 1024,
        HISTORY_JOURNAL_LINES = 20,
        HISTORY_TEXT_MAX = 512, /* of one text: then a line is never too long */
};

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
        size_t passed_over; /* lines */
};

extern const char *const history_kind_names[]; /* NULL-terminated */

/* No such file: nothing happened yet. */
int history_load(const char *path, struct history *ret, struct error *err) _must_check_;
int history_parse(const char *text, size_t size, struct history *ret,
                  struct error *err) _must_check_;
void history_done(struct history *h);
void history_event_done(struct history_event *e);
json_object *history_event_json(const struct history_event *e);

/* Appends durably; beyond HISTORY_SIZE_MAX the older half is dropped, by rename. The directory is
 * made; several processes may append. Texts are cut to HISTORY_TEXT_MAX, and lose what is no ASCII
 * that can be printed. */
int history_append(const char *path, const struct history_event *event,
                   struct error *err) _must_check_;
/* Whether the release with this root hash fell back and has not been good since: it is not tried
 * again. */
bool history_failed(const struct history *h, const struct sha256 *root_hash);
/* The last lines of the journal of a boot (NULL: the one that runs). */
int history_journal(const char *boot_id, char ***ret, struct error *err) _must_check_;
/* For people, or as an array of JSON. Part of the program: it prints. */
void history_print(const struct history *h, bool json);
