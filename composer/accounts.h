/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image's users and groups: read from base-passwd's master files, completed from sysusers.d,
 * written as passwd, group, shadow and gshadow. */

#include "package.h"

enum { ACCOUNT_NAME_MAX = 31, ACCOUNTS_MAX = 10000 };

struct user {
        char *name, *gecos, *home, *shell;
        uint32_t uid, gid;
        bool expired; /* "u!": no login, not even with a key */
};

struct group {
        char *name;
        uint32_t gid;
        char **members; /* sorted */
};

struct accounts {
        struct user *users;
        size_t n_users, users_capacity;
        struct group *groups;
        size_t n_groups, groups_capacity;
};
void accounts_done(struct accounts *a);
#define _cleanup_accounts_ _cleanup_(accounts_done)

const struct user *accounts_user(const struct accounts *a, const char *name);
const struct group *accounts_group(const struct accounts *a, const char *name);
/* Name of an id, or NULL. */
const char *accounts_user_name(const struct accounts *a, uint32_t uid);
const char *accounts_group_name(const struct accounts *a, uint32_t gid);

/* Adds a copy; -EEXIST when the name is taken, -EINVAL for a name or field that passwd(5) cannot
 * hold. */
int accounts_add_user(struct accounts *a, const struct user *user, struct error *err) _must_check_;
int accounts_add_group(struct accounts *a, const char *name, uint32_t gid,
                       struct error *err) _must_check_;
/* Makes user a member of an existing group; being one already is fine. */
int accounts_add_member(struct accounts *a, const char *group, const char *user,
                        struct error *err) _must_check_;

/* Adds what text in passwd(5) or group(5) format says. Passwords are ignored: nobody has one. */
int accounts_read_passwd(struct accounts *a, const char *text, struct error *err) _must_check_;
int accounts_read_group(struct accounts *a, const char *text, struct error *err) _must_check_;

enum accounts_file { ACCOUNTS_PASSWD, ACCOUNTS_GROUP, ACCOUNTS_SHADOW, ACCOUNTS_GSHADOW };
/* The text of one file. No password works ("*"), and no date is in it. */
int accounts_text(const struct accounts *a, enum accounts_file file, char **ret,
                  struct error *err) _must_check_;
