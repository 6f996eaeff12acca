/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The root's users and groups, changed in memory and written in one go. The results are what
 * useradd, usermod, userdel, groupadd, groupmod and groupdel of shadow-utils leave behind, with the
 * root's own /etc/login.defs, /etc/default/useradd and /etc/skel. */

#include "agent.h"
#include "journal.h"
#include "skel.h"
#include "table.h"

/* Columns. */
enum { PASSWD_PASSWORD = 1, PASSWD_UID, PASSWD_GID, PASSWD_GECOS, PASSWD_HOME, PASSWD_SHELL };
enum { GROUP_PASSWORD = 1, GROUP_GID, GROUP_MEMBERS };
enum { SHADOW_PASSWORD = 1, SHADOW_CHANGED };
enum { GSHADOW_PASSWORD = 1, GSHADOW_ADMINS, GSHADOW_MEMBERS };
enum { SUB_START = 1, SUB_COUNT };

enum { ACCOUNT_NAME_MAX = 255 };

/* A home directory, or mailbox, to be made or changed after the tables are on disk. */
struct home {
        enum {
                HOME_CREATE,
                HOME_MOVE,
                HOME_REMOVE,
                HOME_OWN,
                MAILBOX_CREATE,
                MAILBOX_REMOVE,
                MAILBOX_OWN,
        } what;
        char *path, *from; /* as in passwd; from: the old one, or what a new one is a copy of */
        uid_t uid, old_uid;
        gid_t gid, old_gid;
};

struct userdb {
        struct root *root;
        struct journal *journal;
        int lock_fd;
        char *login_defs, *useradd_defaults; /* texts; NULL: absent */
        struct table passwd, shadow, group, gshadow, subuid, subgid;
        struct home *homes;
        size_t home_count, home_capacity;
        struct skel skel;
};

/* Reads everything. change: there will be changes, so /etc/.pwd.lock is locked as shadow-utils
 * does.
 */
int userdb_open(struct root *root, struct journal *journal, bool change, struct userdb *ret,
                struct error *err) _must_check_;
void userdb_done(struct userdb *a);
/* Notes in the journal what userdb_write() will change. */
int userdb_note(struct userdb *a, struct error *err) _must_check_;
/* Writes the changed tables, then does what is to be done to homes. */
int userdb_write(struct userdb *a, struct error *err) _must_check_;

/* The text of a setting, NULL when absent: login.defs ("KEY value") or useradd's ("KEY=value"). */
char *setting_text(const char *file, const char *key);
/* A number, 0x and 0 prefixes as in C. */
int64_t setting_number(const char *file, const char *key, int64_t otherwise);

/* A free id as shadow-utils chooses it. kind: "UID" or "GID", the prefix of the range settings. */
int userdb_new_id(const struct userdb *a, const struct table *t, unsigned field, const char *kind,
                  bool system, uint64_t *ret, struct error *err) _must_check_;
/* An id is in the range that login.defs sets aside for its kind. */
bool userdb_in_range(const struct userdb *a, const char *kind, bool system, uint64_t id);
/* The row of a group by name or number; NULL: none. */
struct table_row *userdb_group(const struct userdb *a, const char *name_or_id);
int account_name_check(const char *name, struct error *err) _must_check_;

int group_apply(struct userdb *a, const struct group *group, struct error *err) _must_check_;
int group_create(struct userdb *a, const char *name, uint64_t gid, const char *hash,
                 struct error *err) _must_check_;
int group_delete(struct userdb *a, const char *name, struct error *err) _must_check_;
int user_apply(struct userdb *a, const struct user *user, struct error *err) _must_check_;

/* homes.c */
int home_plan(struct userdb *a, struct home *home, struct error *err) _must_check_;
int home_apply(struct userdb *a, const struct home *home, struct error *err) _must_check_;

/* mailbox.c: plans one of the three, by the user's name; then does it to a resolved path. */
int mailbox_plan(struct userdb *a, const char *name, struct home *mailbox,
                 struct error *err) _must_check_;
int mailbox_create(struct userdb *a, const struct home *mailbox, const char *path,
                   struct error *err) _must_check_;
int mailbox_own(struct userdb *a, const struct home *mailbox, const char *path,
                struct error *err) _must_check_;
int mailbox_remove(struct userdb *a, const struct home *mailbox, const char *path,
                   struct error *err) _must_check_;

/* Id of a name for owners; -ESRCH when there is none. */
int userdb_uid(const struct userdb *a, const char *name, uid_t *ret);
int userdb_gid(const struct userdb *a, const char *name, gid_t *ret);
