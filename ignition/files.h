/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of the files stage. Each is planned first (paths resolved, accounts changed in memory,
 * what is there noted in the journal), then done. */

#include "userdb.h"

struct work {
        struct agent *agent;
        struct root *root;
        struct journal journal;
        struct userdb userdb;
        struct node_entry *nodes;
        size_t node_count;
        bool again; /* Ignition has run on this system before, to its end */
};

/* passwd.c: groups, then users, then their homes and SSH keys. */
int passwd_plan(struct work *w, struct error *err) _must_check_;
int passwd_apply(struct work *w, struct error *err) _must_check_;

/* nodes.c: directories, files, links. */
int nodes_plan(struct work *w, struct error *err) _must_check_;
int nodes_apply(struct work *w, struct error *err) _must_check_;
void nodes_done(struct work *w);
/* One planned entry, in the order of making; false behind the last. */
struct node_view {
        const char *kind; /* "directory", "file", "link", "hard link" */
        const struct node *node;
        const char *path; /* resolved */
};
bool nodes_view(const struct work *w, size_t i, struct node_view *ret);

/* units.c */
int units_plan(struct work *w, struct error *err) _must_check_;
int units_apply(struct work *w, struct error *err) _must_check_;

/* result.c: the last thing written; *ret_exists: it is there already. */
extern const char result_path[];
int result_exists(struct work *w, bool *ret_exists, struct error *err) _must_check_;
int result_write(struct work *w, struct error *err) _must_check_;

/* relabel.c: what was made and changed gets the labels of the root's SELinux policy, if it has one.
 * Before the journal goes. */
int relabel(struct work *w, struct error *err) _must_check_;

/* file-write.c: makes storage.files entries at their resolved paths. A new file is published under
 * its name atomically. One that is there keeps what it has when only something is appended; with
 * contents of its own it must already hold exactly those. All is durable at root_sync(). */
int file_publish(struct work *w, const struct file *file, const char *path,
                 struct error *err) _must_check_;
/* A small text, 0644, always overwritten. */
int text_publish(struct work *w, const char *path, const char *text,
                 struct error *err) _must_check_;
/* Numbers of an owner: as given, by name, or those in `st`. */
int owner_find(struct work *w, const struct owner *user, const struct owner *group,
               const struct stat *st, uid_t *uid, gid_t *gid, struct error *err) _must_check_;
