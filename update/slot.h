/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The slots of a host's disk. A slot is a USR partition with the hash tree (and signature)
 * partitions behind it; A is the first on the disk, B the second. The one that runs is the one
 * whose UUIDs are the halves of the root hash on the kernel command line. */

#include "gpt.h"

enum { SLOTS_MAX = 2, SLOT_COMMAND_LINE_MAX = 64 * 1024 };

struct slot_partition {
        unsigned number; /* in the GPT; 0: there is none */
        struct uuid uuid;
        uint64_t start, size;              /* bytes */
        char label[4 * GPT_LABEL_MAX + 1]; /* UTF-8: "usr_1.2.0", "_empty" */
};

struct slot {
        char name; /* 'A', 'B' */
        struct slot_partition usr, tree, signature;
};

struct slots {
        struct slot items[SLOTS_MAX];
        size_t count;
};

/* Reads the partition table of a disk (device or file) through libblkid. -ENODATA when it has no
 * slots, -EBADMSG when what it has does not look like slots. */
int slots_load(const char *disk, struct slots *ret, struct error *err) _must_check_;

/* The root hash that usrhash= names in a kernel command line; false: it names none. */
bool slot_root_hash(const char *command_line, struct sha256 *ret);
/* The slot with this root hash; NULL: none. */
const struct slot *slots_find(const struct slots *s, const struct sha256 *root_hash);
/* The release in a slot's label; "" when it is empty. Borrowed from the slot. */
const char *slot_version(const struct slot *s);

/* Path of the disk that has the partition, by its UUID. Caller frees. */
int slot_disk(const struct uuid *partition, char **ret, struct error *err) _must_check_;
