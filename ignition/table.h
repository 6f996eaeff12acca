/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A colon-separated file such as /etc/passwd, in memory. Lines that are no entries (comments, NIS
 * leftovers) have one field and are kept as they are. */

#include "root.h"

enum { TABLE_FIELDS_MAX = 16, TABLE_ROWS_MAX = 1 << 20 };

struct table_row {
        char *fields[TABLE_FIELDS_MAX]; /* NULL behind the last */
};

struct table {
        const char *path; /* for messages; borrowed */
        char *resolved;
        bool exists, dirty;
        mode_t mode; /* and owner of the file */
        uid_t uid;
        gid_t gid;
        struct table_row *rows;
        size_t count, capacity;
};

/* An absent file is an empty table with exists false. */
int table_load(const struct root *root, const char *path, struct table *ret,
               struct error *err) _must_check_;
void table_done(struct table *t);
/* Writes the file anew, atomically and durably, with mode and owner as they were; a table that was
 * not changed is left alone. */
int table_write(struct table *t, struct root *root, struct error *err) _must_check_;

/* The row whose first field is name; NULL: none. Valid until the next table_add(). */
struct table_row *table_find(const struct table *t, const char *name);
/* The row with this number in the field; NULL: none. */
struct table_row *table_find_id(const struct table *t, unsigned field, uint64_t id);
const char *row_field(const struct table_row *row, unsigned field);
/* Number in a field; UINT64_MAX when there is none. */
uint64_t row_number(const struct table_row *row, unsigned field);

/* The texts must hold neither ':' nor control characters: -EINVAL. */
int table_set(struct table *t, struct table_row *row, unsigned field, const char *value,
              struct error *err) _must_check_;
int table_add(struct table *t, const char *const fields[], struct error *err) _must_check_;
void table_remove(struct table *t, struct table_row *row);

/* Lists "a,b,c" in a field. */
bool member_of(const struct table_row *row, unsigned field, const char *name);
int member_add(struct table *t, struct table_row *row, unsigned field, const char *name,
               struct error *err) _must_check_;
int member_remove(struct table *t, struct table_row *row, unsigned field, const char *name,
                  struct error *err) _must_check_;
