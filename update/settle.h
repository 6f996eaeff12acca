/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this boot shows about releases and the history does not tell yet: the running one booted,
 * was blessed; another one has spent its tries. */

#include "entries.h"
#include "history.h"
#include "running.h"
#include "slot.h"

struct settle_facts {
        const struct running *running;
        const struct entries *entries; /* on the ESP */
        const struct slots *slots;     /* for root hashes */
        const struct history *history;
        uint64_t now; /* seconds since the epoch */
};

/* The events to append, oldest first. Nothing but the facts decides. */
int settle_decide(const struct settle_facts *f, struct history *ret,
                  struct error *err) _must_check_;

/* Collects the facts of this machine, decides, appends. */
int settle(const char *history_path, struct error *err) _must_check_;
