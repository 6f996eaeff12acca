/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The partition table of a disk image, GPT through libfdisk. Unused space stays a hole. */

#include "layout.h"
#include "workdir.h"

/* Writes the partition table, both copies of it, around what is in the partitions already, to fd, a
 * file of the disk's size open for reading and writing; path names it in messages. */
int disk_write_table(const struct layout *layout, const char *path, int fd,
                     struct error *err) _must_check_;

/* Reads the partition table of a disk image: places, UUIDs, labels, attributes; roles by type, slot
 * 'A' for the first partition of a role that slots have, 'B' for the second; `used` is 0. -EINVAL
 * when it is no GPT, libfdisk finds a defect in either copy, or a type is none of ours. */
int disk_read(const char *path, struct layout *ret, struct error *err) _must_check_;
