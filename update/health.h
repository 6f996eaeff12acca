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
 * container (name: is running). Each is tried until it passes; the deadline is for all together. */

#include "record.h"

enum {
        HEALTH_CHECKS_MAX = 64,
        HEALTH_TIMEOUT_DEFAULT = 30, /* seconds, of one try */
        HEALTH_DEADLINE_DEFAULT = 300,
};

struct health_check; /* see health.c */

struct health {
        struct field_array checks;
        uint64_t deadline; /* seconds; the largest of all files' */
};

int health_load(const char *root, struct health *ret, struct error *err) _must_check_;
void health_done(struct health *h);

struct health_failure {
        char check[128], reason[512];
};

/* Runs all checks, side by side, until each has passed (0), or the deadline (-ETIME: ret says which
 * did not, and why its last try failed). */
int health_run(const struct health *h, struct health_failure *ret, struct error *err) _must_check_;
