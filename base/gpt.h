/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Partition types and attribute bits of the Discoverable Partitions Specification, and the names
 * that composer and updater give to slots. */

#include "derive.h"

enum partition_role {
        PARTITION_ESP,
        PARTITION_USR,
        PARTITION_USR_VERITY,
        PARTITION_USR_VERITY_SIG,
        PARTITION_ROOT,
        _PARTITION_ROLE_MAX,
};

enum { GPT_ATTRIBUTE_GROW = 59, GPT_ATTRIBUTE_READ_ONLY = 60, GPT_ATTRIBUTE_NO_AUTO = 63 };

enum { GPT_LABEL_MAX = 36 }; /* UTF-16 units */

/* Type UUID text of a role on an architecture ("amd64", "arm64"); NULL when there is none. */
const char *gpt_type(enum partition_role role, const char *architecture);
const char *partition_role_name(enum partition_role role);

/* DPS: the data partition's UUID is the first half of the root hash, the tree's the second. */
void gpt_uuids_from_root_hash(const struct sha256 *root_hash, struct uuid *data, struct uuid *tree);
