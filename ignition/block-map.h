/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Partitions of device-mapper devices (multipath, say). The kernel has none there: each is a linear
 * map on the device, named NAMEp1 and marked `part1-UUID` as kpartx and its udev rules do it, so
 * that they find it made. */

#include "block.h"

struct block_map {
        char name[128], uuid[160]; /* as long as device-mapper's */
};

/* False: it is no device-mapper device. */
bool block_map_find(dev_t number, struct block_map *ret);
/* Whether `holder`, a name in /sys/class/block, is a partition of the map: its number, or 0. */
unsigned block_map_partition(const struct block_map *m, const char *holder);

int block_map_partitions(const struct block *b, const struct block_map *m,
                         struct block_partition *ret, size_t *ret_count,
                         struct error *err) _must_check_;
int block_map_change(const struct block *b, const struct block_map *m, enum block_change change,
                     const struct block_partition *p, struct error *err) _must_check_;
