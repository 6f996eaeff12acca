/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The disk as data, before a byte is written: which partition is where, how full it is, and whether
 * everything fits. `slipway plan` prints it, disk.c writes it. */

#include "gpt.h"
#include "manifest.h"
#include "release.h"
#include "strv.h"

enum { LAYOUT_PARTITIONS_MAX = 16, SECTOR_SIZE = 512 };

struct partition {
        enum partition_role role;
        char slot;                     /* 'A', 'B', or 0 */
        char label[GPT_LABEL_MAX + 1]; /* systemd-sysupdate's convention: "usr_1.2.0", "_empty" */
        struct uuid uuid, type;
        uint64_t attributes;  /* GPT attribute bits */
        uint64_t start, size; /* bytes, multiples of 1 MiB */
        uint64_t used;        /* bytes of content */
};

struct layout {
        struct uuid disk_uuid;
        uint64_t disk_size; /* bytes */
        struct partition partitions[LAYOUT_PARTITIONS_MAX];
        size_t count;
};

/* What goes onto the disk; sizes in bytes, 0 where not yet known. */
struct layout_contents {
        uint64_t usr_size, tree_size, uki_size, boot_size /* systemd-boot */;
        uint64_t other_size;     /* further files of the ESP */
        struct sha256 root_hash; /* zeros where not yet known: then all UUIDs are zeros, too */
};

/* Defaults: ESP 512 MiB; USR 1 GiB; hash tree a 64th of USR (it needs a 127th); signature 1 MiB.
 * ROOT is not in the image, the first boot makes it in the space behind: the default disk leaves at
 * least 4 GiB for it, rounded up to whole GiB, and as that is a hole it costs nothing. Fails with
 * -ENOSPC and by how many bytes when a content does not fit its partition, or three UKIs do not fit
 * the ESP (an update is written beside the running release and the one before it). */
int layout_plan(const struct manifest *m, const struct layout_contents *contents,
                struct layout *ret, struct error *err) _must_check_;

/* The smallest partitions that take it, in whole MiB; all sizes must be known. */
void layout_minimum(const struct layout_contents *contents, struct release_layout *ret);

/* The partition of that role and slot (0: none), or NULL. */
const struct partition *layout_find(const struct layout *layout, enum partition_role role,
                                    char slot);
/* The layout as a table for people. */
void layout_print(const struct layout *layout, struct buffer *out);
/* The same as JSON, sizes in bytes; the caller puts it. NULL: out of memory. */
json_object *layout_json(const struct layout *layout);
