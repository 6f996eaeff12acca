/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The disk image around the slots' contents: GPT through libfdisk, the ESP as FAT32 through
 * dosfstools and mtools with everything that could vary pinned. Unused space stays a hole. */

#include "esp.h"
#include "workdir.h"

/* Writes the table, and the ESP with all but the UKI, to fd, a file open for reading and writing
 * that has nothing yet but what was written into the layout's slots; path names it for the tools.
 */
int disk_build(const struct layout *layout, const struct esp_contents *contents, const char *path,
               int fd, struct error *err) _must_check_;

/* The partition table alone, both copies of it, around what is in the partitions already; the file
 * has its size. */
int disk_write_table(const struct layout *layout, const char *path, int fd,
                     struct error *err) _must_check_;

/* Reads the partition table of a disk image: places, UUIDs, labels, attributes; roles by type, slot
 * 'A' for the first partition of a role that slots have, 'B' for the second; `used` is 0. -EINVAL
 * when it is no GPT, libfdisk finds a defect in either copy, or a type is none of ours. */
int disk_read(const char *path, struct layout *ret, struct error *err) _must_check_;
