/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where an update reads and writes: partitions of a disk by their number, opened so that nobody
 * else has them; or ranges of a disk image. */

#include "host.h"
#include "stage.h"

/* The idle slot, the partition table and EFI/Linux. The kernel refuses (-EBUSY) when somebody has
 * one of the slot's partitions mounted or open like this. */
int target_open(const struct host *h, struct store *ret, struct error *err) _must_check_;
/* EFI/Linux alone, for changes of boot entries. */
int target_open_entries(const struct host *h, struct store *ret, struct error *err) _must_check_;
/* A partition to read from; close ret->fd. */
int target_open_read(const struct host *h, const struct slot_partition *partition,
                     struct store_range *ret, struct error *err) _must_check_;

/* What the running release has of blocks: /usr, and its UKI. */
struct target_sources {
        struct stage_source usr, uki;
        bool has_uki;
};
#define TARGET_SOURCES_NULL                                                                        \
        {                                                                                          \
                .usr = { .fd = -1, .tree.fd = -1 }, .uki = {.fd = -1, .tree.fd = -1 }              \
        }
int target_sources_open(const struct host *h, struct target_sources *ret,
                        struct error *err) _must_check_;
void target_sources_done(struct target_sources *s);
