/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps of the disks stage, in their order. Each does what the configuration lists and nothing
 * when it lists nothing. All can be cut off anywhere and run again. */

#include "agent.h"
#include "luks-volume.h"
#include "probe.h"

/* What an earlier attempt activated (arrays, LUKS mappings) would keep the disks busy: let go. */
int disks_release(struct agent *a, struct error *err) _must_check_;
int disks_partition(struct agent *a, struct error *err) _must_check_; /* partition.c */
int disks_raid(struct agent *a, struct error *err) _must_check_;      /* raid.c */
int disks_luks(struct agent *a, struct error *err) _must_check_;      /* luks.c */
int disks_format(struct agent *a, struct error *err) _must_check_;    /* filesystem.c */

/* raid.c: stops what is left of the array. */
int raid_release(struct agent *a, const struct raid *raid, struct error *err) _must_check_;
/* luks.c: closes the mapping. */
int luks_release(struct agent *a, const struct luks *luks, struct error *err) _must_check_;
/* luks.c: provisioning is complete; volumes made in it are the user's from now on. */
int luks_finish(struct agent *a, struct error *err) _must_check_;

/* What becomes of what is on a device. A refusal is an error, -EEXIST. */
enum verdict {
        VERDICT_MAKE,   /* there is nothing that counts */
        VERDICT_REMAKE, /* an earlier attempt was cut off while it made it */
        VERDICT_KEEP,   /* a LUKS volume: when label, UUID and key fit */
};
/* filesystem.c */
int filesystem_decide(const struct filesystem *f, const struct probe *there, enum verdict *ret,
                      struct error *err) _must_check_;
/* luks.c; `other` is looked at only where no LUKS was found. */
int luks_decide(const struct luks *luks, enum luks_found found, const struct probe *other,
                enum verdict *ret, struct error *err) _must_check_;
/* luks.c: what is refused whatever is there. */
int luks_check(struct agent *a, const struct luks *luks, struct error *err) _must_check_;

/* devices.c: the devices have nodes. Asks systemd when that is there, else looks. */
int devices_wait(struct agent *a, const char *const paths[], size_t count,
                 struct error *err) _must_check_;
/* udev has seen a change of the device and made its links. */
int devices_settle(struct agent *a, const char *node, struct error *err) _must_check_;
