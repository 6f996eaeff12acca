/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Partition tables: what a disk has, what the configuration wants, and the operations that lead
 * from one to the other. Planning is pure, so that it can be printed instead of done. Starts and
 * sizes are in the disk's logical sectors. */

#include "config.h"
#include "derive.h"

enum { GPT_ENTRIES_MAX = 128, GPT_NAME_MAX = 36 * 3 + 1 /* UTF-16 units as UTF-8 */ };

struct gpt_entry {
        unsigned number; /* from 1 */
        uint64_t start, size;
        char guid[UUID_TEXT_SIZE], type[UUID_TEXT_SIZE]; /* "" in a wish: any */
        char label[GPT_NAME_MAX];
};

struct gpt_table {
        bool exists;      /* else the disk has none */
        char foreign[16]; /* name of a table that is not GPT, which only wipeTable may replace */
        uint64_t sector_size;
        uint64_t first, last;         /* usable sectors, both included */
        uint64_t new_first, new_last; /* those of a new table on this disk */
        uint64_t old_last;            /* last before the disk grew; 0: it did not */
        uint64_t disk_sectors;
        struct gpt_entry entries[GPT_ENTRIES_MAX];
        size_t count;
};

enum gpt_action {
        GPT_NOTHING, /* not there, as wanted */
        GPT_KEEP,
        GPT_CREATE,
        GPT_DELETE,
        GPT_REPLACE, /* deleted and made anew */
        GPT_RESIZE,
        GPT_REFUSE, /* not in a plan: it is an error */
};

struct gpt_operation {
        enum gpt_action action;
        bool settled; /* is where the wish would have put it before the disk grew */
        const struct partition *wanted;
        struct gpt_entry before; /* KEEP, DELETE, REPLACE, RESIZE */
        struct gpt_entry after;  /* KEEP, CREATE, REPLACE, RESIZE */
};

struct gpt_plan {
        bool wipe_table; /* a new one is made */
        struct gpt_operation *operations;
        size_t count;
        const struct partition *culprit; /* of a failure; NULL: the disk */
};

/* One operation for each wanted partition, those with number 0 last. Nothing is in ret but the
 * culprit when it fails. */
int gpt_plan(const struct disk *disk, const struct gpt_table *table, struct gpt_plan *ret,
             struct error *err) _must_check_;
void gpt_plan_done(struct gpt_plan *plan);
#define _cleanup_gpt_plan_ _cleanup_(gpt_plan_done)
bool gpt_plan_changes(const struct gpt_plan *plan);
/* "create", "keep", … for people. */
const char *gpt_action_name(enum gpt_action action);

/* What would become of a disk, found out by reading alone. */
struct disk_view {
        const struct disk *disk;
        bool there;       /* else it was planned as if it were empty and large */
        char absent[128]; /* why it is not there */
        struct gpt_table table;
        struct gpt_plan plan; /* of a disk that would be refused: empty */
};
/* partition.c. A refusal is an error with the culprit in the plan, as in gpt_plan(). */
int disk_preview(const struct disk *disk, struct disk_view *ret, struct error *err) _must_check_;

/* partition-table.c, the only user of libfdisk. The fd is a whole disk's (or an image's), open for
 * reading and, to apply, writing. */
int gpt_read(int fd, const char *path, uint64_t sector_size, struct gpt_table *ret,
             struct error *err) _must_check_;
/* Writes table and backup, and waits until both are on the disk. The kernel is not told. */
int gpt_apply(int fd, const char *path, uint64_t sector_size, const struct gpt_plan *plan,
              struct error *err) _must_check_;
