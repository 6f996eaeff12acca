/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* slipway-update status: which release runs, what is in the other slot, what boots next, and when
 * the site was asked last. */

#include "host.h"
#include "site-state.h"

struct status {
        struct host host;
        bool has_entries;          /* the ESP could be read */
        struct site_memory memory; /* of the last check; site NULL: there was none */
};

int status_load(const struct host_places *places, struct status *ret,
                struct error *err) _must_check_;
void status_done(struct status *s);
void status_print(const struct status *s, bool json);
/* "good", "trial", "bad" of a slot's release; NULL: there is no entry, or none could be read. */
const char *status_entry(const struct status *s, const struct slot *slot);
