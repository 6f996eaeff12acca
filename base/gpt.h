/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Partition types and attribute bits of the Discoverable Partitions Specification, the names that
 * composer and updater give to slots, and the header of a partition table. */

#include <assert.h>

#include "derive.h"

enum partition_role {
        PARTITION_ESP,
        PARTITION_USR,
        PARTITION_USR_VERITY,
        PARTITION_USR_VERITY_SIG,
        PARTITION_ROOT,
        PARTITION_ROOT_VERITY, /* these two: of extensions */
        PARTITION_ROOT_VERITY_SIG,
        _PARTITION_ROLE_MAX,
};

enum { GPT_ATTRIBUTE_GROW = 59, GPT_ATTRIBUTE_READ_ONLY = 60, GPT_ATTRIBUTE_NO_AUTO = 63 };

enum { GPT_LABEL_MAX = 36 }; /* UTF-16 units */

/* Type UUID text of a role on an architecture ("amd64", "arm64"); NULL when there is none. */
const char *gpt_type(enum partition_role role, const char *architecture);
const char *partition_role_name(enum partition_role role);

/* DPS: the data partition's UUID is the first half of the root hash, the tree's the second. */
void gpt_uuids_from_root_hash(const struct sha256 *root_hash, struct uuid *data, struct uuid *tree);

/* UEFI Specification 2.10, 5.3.2; little-endian. Both copies of the table begin with one. */
struct gpt_header {
        char signature[8];
        uint32_t revision, header_size, header_crc32, reserved;
        uint64_t my_lba, alternate_lba, first_usable_lba, last_usable_lba;
        uint8_t disk_guid[16];
        uint64_t partition_entry_lba;
        uint32_t number_of_partition_entries, size_of_partition_entry, partition_entry_array_crc32;
} _packed_;
static_assert(sizeof(struct gpt_header) == 92, "GPT header");
