/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a staged slot to a boot entry, in an order in which the old release boots until the very
 * last step, and the new one only when all of it is on disk:
 *
 *   prepare: the idle slot's old boot entry is removed; its partitions lose name and UUIDs (before
 * staging) verify:  the whole slot is read back and compared with the root hash commit:  table:
 * label and UUIDs; entry: rename to "slipway_<version>+3.efi"; names synced
 *
 * Rolling back is a rename as well: the running release's entry becomes a bad one ("+0"), which
 * systemd-boot takes last; forward again, it gets its tries back. */

#include "entries.h"
#include "release.h"
#include "slot.h"
#include "store.h"

struct finalize {
        struct store *store;
        const struct slot *slot; /* the idle one */
        const struct release *release;
        const char *running_version;
        const char *uki_name; /* temporary name of the staged UKI */
};

int finalize_prepare(struct finalize *f, struct error *err) _must_check_;
int finalize_verify(struct finalize *f, struct error *err) _must_check_;
int finalize_commit(struct finalize *f, struct error *err) _must_check_;

/* Makes the other release the next one: `from` (running) → bad, `to` gets tries if it was bad. */
int rollback_entries(struct store *store, const char *from, const char *to,
                     struct error *err) _must_check_;
