/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* sysusers.d(5): lines u, u!, g, m and r, and the allocation of ids that the lines leave open. */

#include "accounts.h"
#include "merge.h"

struct sysuser {
        char type;                              /* 'u', 'g', 'm' or 'r' */
        bool expired;                           /* "u!" */
        char *name, *id, *gecos, *home, *shell; /* all but name may be NULL */
};

struct sysusers {
        struct sysuser *items;
        size_t count, capacity;
};
void sysusers_done(struct sysusers *s);
#define _cleanup_sysusers_ _cleanup_(sysusers_done)

/* Adds the lines of one file; file names it in errors. Of two lines of one type and name the first
 * stays, as in systemd. */
int sysusers_parse(struct sysusers *s, const char *file, const char *text,
                   struct error *err) _must_check_;

/* Adds the users and groups to the accounts. Ids: what a line fixes; else what the lock says; else
 * the highest free one of the range (999 to 100, or the "r" lines), names in order, so the result
 * depends on nothing but the sets. Ids in the lock are not given to another name, also when their
 * own has gone: files of it may still be on a machine. result->users and ->groups get every
 * allocation made or kept. */
int sysusers_apply(struct sysusers *s, const struct tree *tree, const struct lock *lock,
                   struct accounts *a, struct merge_result *result, struct error *err) _must_check_;
