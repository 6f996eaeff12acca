/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Health checks, which a release must pass before it counts as good: JSON files in
 * /usr/lib/slipway/health.d and /etc/slipway/health.d (one of the same name there replaces it),
 * each
 *
 *   { "checks": [ { "name": "registry", "http": { "url": "http://127.0.0.1:5000/v2/" }, "timeout":
 * 30 } ], "deadline": 300 }
 *
 * A check is one of: units (all active), noFailedUnits, http (GET, status), command (argv, exit 0),
 * container (name: is running). Each is tried until it passes; the deadline is for all together.
 *
 * A file that cannot be read is a check that fails: what it asked for is not known to be well. */

#include "record.h"

enum {
        HEALTH_CHECKS_MAX = 64,
        HEALTH_TIMEOUT_DEFAULT = 30, /* seconds, of one try */
        HEALTH_DEADLINE_DEFAULT = 300,
        HEALTH_DEADLINE_MAX = 24 * 3600,
        HEALTH_NAME_MAX = 127,
        HEALTH_REASON_MAX = 511,
};

struct health_http {
        char *url;
        uint64_t status; /* that is wanted */
};

struct health_check {
        char *name;
        uint64_t timeout;             /* seconds, of one try */
        const struct health_ops *ops; /* of the one that is set of: */
        char **units;
        bool no_failed_units;
        struct health_http http;
        char **command;
        char *container;
        char *broken; /* why its file cannot be read */
};

/* A kind of check. */
struct health_ops {
        const char *key; /* in the file */
        bool (*is_set)(const struct health_check *c);
        /* One try, in a process of its own that is ended when it takes too long. -EBADMSG: no other
         * try will do better. */
        int (*try)(const struct health_check *c, struct error *err);
};

extern const struct health_ops health_units_ops, health_no_failed_units_ops, health_http_ops,
        health_command_ops, health_container_ops, health_broken_ops;

struct health {
        struct field_array checks;
        uint64_t deadline; /* seconds; the largest of all files' */
};

extern const struct record health_record; /* one file */

int health_load(const char *root, struct health *ret, struct error *err) _must_check_;
void health_done(struct health *h);

struct health_failure {
        char check[HEALTH_NAME_MAX + 1], reason[HEALTH_REASON_MAX + 1];
};

/* Who wants to know how it goes: a check passed (reason NULL), or did not pass in time. */
struct health_watcher {
        void (*tell)(void *userdata, const struct health_check *c, const char *reason);
        void *userdata;
};

/* Runs all checks, side by side, until each has passed (0), or the deadline (-ETIME: ret says which
 * did not, and why its last try failed). watcher may be NULL. */
int health_run(const struct health *h, const struct health_watcher *watcher,
               struct health_failure *ret, struct error *err) _must_check_;

/* Asks systemd to reboot. */
int health_reboot(struct error *err) _must_check_;
