/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names and UUIDs of partitions in a GPT (UEFI 2.10 §5.3), changed such that at any moment one of
 * the two copies is whole: the backup first, flushed, then the primary. Places and sizes never
 * change. */

#include "gpt.h"
#include "store.h"

struct table_change {
        unsigned number; /* of the partition, from 1 */
        struct uuid uuid;
        char label[GPT_LABEL_MAX + 1]; /* ASCII */
};

/* Applies the changes to the table on STORE_TABLE; nothing is written when it says that already.
 * When one copy is damaged it is made anew from the other. -EBADMSG: both are. */
int table_update(struct store *s, const struct table_change *changes, size_t count,
                 struct error *err) _must_check_;
