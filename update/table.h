/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names and UUIDs of partitions in a GPT (UEFI 2.10 §5.3), changed such that at any moment one of
 * the two copies is whole: the backup first, flushed, then the primary. Places and sizes of
 * partitions never change; the backup goes to the disk's end if it was not there. */

#include "gpt.h"
#include "store.h"

struct table_change {
        unsigned number; /* of the partition, from 1 */
        struct uuid uuid;
        char label[GPT_LABEL_MAX + 1]; /* ASCII */
};

/* Applies the changes to the table on STORE_TABLE; nothing is written when it says that already.
 * When one copy is damaged it is made anew from the other. -EBADMSG: both are; -ENXIO: no such
 * partition; -EEXIST: another one has such a UUID. */
int table_update(struct store *s, const struct table_change *changes, size_t count,
                 struct error *err) _must_check_;
