/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files stage is about to change, as it was before. Written down durably before the first
 * change, removed after the last: when it is there at the start, an attempt was cut off (or
 * failed), and journal_undo() takes its half-work back. So every attempt starts from the same
 * beginning, also when the configuration was corrected in between: nothing else has to know about
 * attempts. */

#include "root.h"
#include "strv.h"

struct journal {
        struct root *root;
        char *path, *result;  /* resolved */
        struct buffer before; /* records of the attempt that was cut off; empty: none */
        struct buffer now;    /* records of this one */
        char *absent;         /* noted last as not there */
};

enum journal_state {
        JOURNAL_NONE,
        JOURNAL_INTERRUPTED,
        JOURNAL_FINISHED, /* only removing the journal was left to do */
};

/* result_path: the file that is written last, by which a finished attempt is told. */
int journal_open(struct root *root, const char *result_path, struct journal *ret,
                 enum journal_state *ret_state, struct error *err) _must_check_;
void journal_done(struct journal *j);
/* Takes back, durably, what the attempt before changed. */
int journal_undo(struct journal *j, struct error *err) _must_check_;

/* Notes a resolved path that will be made (when it is absent), or else added to, or given another
 * owner or mode. replaced: what is there will go and cannot come back. */
int journal_note(struct journal *j, const char *path, bool replaced,
                 struct error *err) _must_check_;
/* A directory that will be moved. */
int journal_note_move(struct journal *j, const char *from, const char *to,
                      struct error *err) _must_check_;
/* The whole text of a file that will be written anew. */
int journal_note_text(struct journal *j, const char *path, struct error *err) _must_check_;
/* A unit that will be disabled. This holds through all attempts. */
int journal_note_enabled(struct journal *j, const char *unit, struct error *err) _must_check_;
bool journal_was_enabled(const struct journal *j, const char *unit);

/* Calls fn for every path that is noted, by the attempt that was cut off and by this one, until it
 * returns something else than 0. absent: nothing was there, and path is the first component that
 * was not. */
int journal_for_paths(const struct journal *j,
                      int (*fn)(const char *path, bool absent, void *userdata), void *userdata);

/* Writes the journal; to be called before anything noted is changed. */
int journal_commit(struct journal *j, struct error *err) _must_check_;
int journal_remove(struct journal *j, struct error *err) _must_check_;
