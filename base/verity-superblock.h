/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The superblock before a hash tree, at the start of its first block; the rest of that is zeros.
 * What no field says is in blocks.h. Format: cryptsetup's lib/verity/verity.h. */

#include <assert.h>

#include "macro.h"

enum { VERITY_VERSION = 1 /* of the format: current, not Chrome OS's */ };

struct verity_superblock {
        uint8_t signature[8];
        uint32_t version, hash_type;
        uint8_t uuid[16];
        char algorithm[32];
        uint32_t data_block_size, hash_block_size;
        uint64_t data_blocks;
        uint16_t salt_size;
        uint8_t padding1[6];
        uint8_t salt[256];
        uint8_t padding2[168];
} _packed_;
static_assert(sizeof(struct verity_superblock) == 512, "verity superblock");
