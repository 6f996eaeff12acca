/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What groupadd, groupmod and groupdel do. */

#include "userdb.h"

int group_create(struct userdb *a, const char *name, uint64_t gid, const char *hash,
                 struct error *err)
{
        char id[24];
        int r;

        snprintf(id, sizeof(id), "%ju", (uintmax_t)gid);
        r = table_add(&a->group,
                      (const char *const[]){ name, a->gshadow.exists ? "x" : hash ?: "!", id, "",
                                             NULL },
                      err);
        if (r < 0 || !a->gshadow.exists)
                return r;
        return table_add(&a->gshadow, (const char *const[]){ name, hash ?: "!", "", "", NULL },
                         err);
}

int group_delete(struct userdb *a, const char *name, struct error *err)
{
        struct table_row *row = table_find(&a->group, name);
        struct table_row *shadow = table_find(&a->gshadow, name);
        const struct table_row *user;

        if (row) {
                user = table_find_id(&a->passwd, PASSWD_GID, row_number(row, GROUP_GID));
                if (user)
                        return error_set(err, -EBUSY,
                                         "cannot remove the primary group of user '%s'",
                                         row_field(user, 0));
                table_remove(&a->group, row);
        }
        if (shadow)
                table_remove(&a->gshadow, shadow);
        return 0;
}

static int check_free(const struct userdb *a, const char *name, uint64_t gid, struct error *err)
{
        const struct table_row *row = table_find_id(&a->group, GROUP_GID, gid);

        if (row && !streq(row_field(row, 0), name))
                return error_set(err, -EEXIST, "GID %ju already belongs to group '%s'",
                                 (uintmax_t)gid, row_field(row, 0));
        return 0;
}

static int add(struct userdb *a, const struct group *group, struct error *err)
{
        uint64_t gid = (uint64_t)group->gid.value;
        int r;

        r = group->gid.set ? check_free(a, group->name, gid, err)
                           : userdb_new_id(a, &a->group, GROUP_GID, "GID",
                                           config_is_true(&group->system), &gid, err);
        if (r < 0)
                return r;
        return group_create(a, group->name, gid,
                            string_is_empty(group->password_hash) ? "*" : group->password_hash,
                            err);
}

/* Users whose primary group it is move along. */
static int change_gid(struct userdb *a, struct table_row *row, uint64_t gid, struct error *err)
{
        uint64_t old = row_number(row, GROUP_GID);
        char id[24];
        int r;

        r = check_free(a, row_field(row, 0), gid, err);
        if (r < 0)
                return r;
        snprintf(id, sizeof(id), "%ju", (uintmax_t)gid);
        for (size_t i = 0; i < a->passwd.count; i++)
                if (row_number(&a->passwd.rows[i], PASSWD_GID) == old) {
                        r = table_set(&a->passwd, &a->passwd.rows[i], PASSWD_GID, id, err);
                        if (r < 0)
                                return r;
                }
        return table_set(&a->group, row, GROUP_GID, id, err);
}

static int change(struct userdb *a, const struct group *group, struct table_row *row,
                  struct error *err)
{
        struct table_row *shadow = table_find(&a->gshadow, group->name);
        const char *hash = string_is_empty(group->password_hash) ? "*" : group->password_hash;
        int r = 0;

        if (group->gid.set)
                r = change_gid(a, row, (uint64_t)group->gid.value, err);
        if (r < 0 || !group->password_hash)
                return r;
        return shadow ? table_set(&a->gshadow, shadow, GSHADOW_PASSWORD, hash, err)
                      : table_set(&a->group, row, GROUP_PASSWORD, hash, err);
}

int group_apply(struct userdb *a, const struct group *group, struct error *err)
{
        struct table_row *row;
        int r;

        r = account_name_check(group->name, err);
        if (r < 0)
                return r;
        if (group->gid.set && (group->gid.value < 0 || group->gid.value > UINT32_MAX - 1))
                return error_set(err, -ERANGE, "invalid gid");
        row = table_find(&a->group, group->name);
        if (config_is_false(&group->should_exist))
                return group_delete(a, group->name, err);
        return row ? change(a, group, row, err) : add(a, group, err);
}
