/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a device of the configuration will hold when its turn comes, as far as that can be read
 * before: from the device, or from the place on a disk where its partition is going to be. */

#include "partition.h"
#include "plan.h"
#include "probe.h"

/* What the steps before have planned. */
struct disks_view {
        const struct storage *storage;
        struct disk_view *disks; /* one for each of the configuration */
        bool *luks_kept;         /* likewise */
};

struct content {
        const char *unknown; /* why nothing can be said; NULL: there holds */
        bool missing;        /* there is no such device, and the plan makes none */
        bool is_node;        /* there was read from the device itself */
        struct probe there;
};

int content_find(const struct disks_view *v, const char *device, struct content *ret,
                 struct error *err) _must_check_;
