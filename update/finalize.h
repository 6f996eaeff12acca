/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a staged slot to a boot entry, in an order in which the old release boots until the very
 * last step, and the new one only when all of it is on disk:
 *
 *   prepare  (before staging) the idle slot's boot entry is removed, its partitions lose name and
 *            UUIDs
 *   verify   the whole slot is read back and compared with the root hash
 *   commit   the partitions get label and UUIDs; then the UKI is named "slipway_<version>+3.efi"
 *
 * Rolling back is a rename as well: the running release's entry becomes a bad one ("+0"), which
 * systemd-boot takes last; forward again, it gets its tries back.
 *
 * The ESP must be mounted with "dirsync": a rename on vfat is a new name, then an old one less, and
 * only so do they reach the disk in this order. */

#include "entries.h"
#include "release.h"
#include "slot.h"
#include "store.h"

/* Ends the name of a UKI that is being staged; systemd-boot looks at *.efi only. */
#define FINALIZE_STAGED_SUFFIX ".efi.new"

struct finalize {
        struct store *store;
        const struct slot *slot; /* the idle one */
        const struct release *release;
        const char *running_version;
        const char *uki_name; /* temporary name of the staged UKI */
};

/* -EEXIST: the release's version cannot stand beside the running one's; -EAGAIN: the running
 * release is not known to be good (it has not been blessed, or was rolled back), so the other one
 * is the way back; -ENOENT: the running release has no entry. Nothing has changed then. */
int finalize_prepare(struct finalize *f, struct error *err) _must_check_;
/* -EBADMSG: the disk does not hold what was written. */
int finalize_verify(struct finalize *f, struct error *err) _must_check_;
/* An older release than the running one comes next, too: the running one's entry becomes bad. */
int finalize_commit(struct finalize *f, struct error *err) _must_check_;

/* Makes the other release the next one: `to` gets tries if it was bad; `from` (running) becomes
 * bad, if it is the newer one and so would be next. */
int rollback_entries(struct store *store, const char *from, const char *to,
                     struct error *err) _must_check_;
