/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What useradd, usermod and userdel do, as the original calls them. */

#include <fcntl.h>
#include <time.h>

#include "userdb.h"
#include "strv.h"

enum { SECONDS_PER_DAY = 24 * 60 * 60, GROUP_DEFAULT = 100 };

/* Days since 1970, for "password last changed"; -1 on the first, as 0 would mean "must change". */
static long today(void)
{
        const char *epoch = getenv("SOURCE_DATE_EPOCH");
        char *end;
        long long seconds = epoch ? strtoll(epoch, &end, 10) : 0;

        if (!epoch || *end || end == epoch || seconds < 0)
                seconds = time(NULL);
        return seconds < SECONDS_PER_DAY ? -1 : (long)(seconds / SECONDS_PER_DAY);
}

/* When an account expires by useradd's defaults, in days since 1970: YYYY-MM-DD, or such a number.
 */
static int64_t expiry(const struct userdb *a)
{
        _cleanup_free_ char *text = setting_text(a->useradd_defaults, "EXPIRE");
        struct tm day = {};
        const char *end = text ? strptime(text, "%Y-%m-%d", &day) : NULL;

        return end && *end == '\0' ? timegm(&day) / SECONDS_PER_DAY
                                   : setting_number(a->useradd_defaults, "EXPIRE", -1);
}

static int check_uid(const struct userdb *a, const struct user *user, struct error *err)
{
        const struct table_row *row;

        if (!user->uid.set)
                return 0;
        if (user->uid.value < 0 || user->uid.value > UINT32_MAX - 1)
                return error_set(err, -ERANGE, "invalid uid");
        row = table_find_id(&a->passwd, PASSWD_UID, (uint64_t)user->uid.value);
        if (row && !streq(row_field(row, 0), user->name))
                return error_set(err, -EEXIST, "UID %jd already belongs to user '%s'",
                                 (intmax_t)user->uid.value, row_field(row, 0));
        return 0;
}

static int find_primary(const struct userdb *a, const char *group, uint64_t *ret, struct error *err)
{
        const struct table_row *row = userdb_group(a, group);

        if (!row)
                return error_set(err, -ESRCH, "group '%s' does not exist", group);
        *ret = row_number(row, GROUP_GID);
        return 0;
}

/* The user's own group: with the user's number when that is one for groups of its kind, and free.
 */
static int make_own_group(struct userdb *a, const struct user *user, uint64_t uid, uint64_t *ret,
                          struct error *err)
{
        uint64_t gid = uid;
        int r = 0;

        if (table_find(&a->group, user->name))
                return error_set(err, -EEXIST,
                                 "group '%s' exists: name it as primaryGroup to use it for the "
                                 "user of that name",
                                 user->name);
        if (!userdb_in_range(a, "GID", config_is_true(&user->system), uid) ||
            table_find_id(&a->group, GROUP_GID, uid))
                r = userdb_new_id(a, &a->group, GROUP_GID, "GID", config_is_true(&user->system),
                                  &gid, err);
        if (r >= 0)
                r = group_create(a, user->name, gid, NULL, err);
        if (r >= 0)
                *ret = gid;
        return r;
}

static bool has_user_groups(const struct userdb *a)
{
        _cleanup_free_ char *setting = setting_text(a->login_defs, "USERGROUPS_ENAB");

        return setting && strcasecmp(setting, "yes") == 0;
}

static int choose_group(struct userdb *a, const struct user *user, uint64_t uid, uint64_t *ret,
                        struct error *err)
{
        _cleanup_free_ char *group = NULL;
        const struct table_row *known;

        if (!string_is_empty(user->primary_group))
                return find_primary(a, user->primary_group, ret, err);
        if (!config_is_true(&user->no_user_group) && has_user_groups(a))
                return make_own_group(a, user, uid, ret, err);
        group = setting_text(a->useradd_defaults, "GROUP");
        known = string_is_empty(group) ? NULL : userdb_group(a, group);
        *ret = known ? row_number(known, GROUP_GID) : GROUP_DEFAULT;
        return 0;
}

/* The group is among the user's, there by name or number. */
static bool is_listed(const struct userdb *a, const struct user *user, const char *group)
{
        for (size_t i = 0; i < user->groups.count; i++) {
                const struct table_row *row = userdb_group(a, user->groups.items[i]);

                if (row && streq(row_field(row, 0), group))
                        return true;
        }
        return false;
}

/* Exactly the groups listed, as with usermod --groups. */
static int set_groups(struct userdb *a, const struct user *user, struct error *err)
{
        int r = 0;

        if (user->groups.count == 0)
                return 0;
        for (size_t i = 0; r >= 0 && i < a->group.count; i++)
                if (!is_listed(a, user, row_field(&a->group.rows[i], 0)))
                        r = member_remove(&a->group, &a->group.rows[i], GROUP_MEMBERS, user->name,
                                          err);
        for (size_t i = 0; r >= 0 && i < a->gshadow.count; i++)
                if (!is_listed(a, user, row_field(&a->gshadow.rows[i], 0)))
                        r = member_remove(&a->gshadow, &a->gshadow.rows[i], GSHADOW_MEMBERS,
                                          user->name, err);
        for (size_t i = 0; r >= 0 && i < user->groups.count; i++) {
                struct table_row *row = userdb_group(a, user->groups.items[i]), *shadow;

                if (!row)
                        return error_set(err, -ESRCH, "group '%s' does not exist",
                                         user->groups.items[i]);
                r = member_add(&a->group, row, GROUP_MEMBERS, user->name, err);
                shadow = table_find(&a->gshadow, row_field(row, 0));
                if (r >= 0 && shadow)
                        r = member_add(&a->gshadow, shadow, GSHADOW_MEMBERS, user->name, err);
        }
        return r;
}

static void number_or_empty(char *ret, size_t size, int64_t number)
{
        ret[0] = '\0';
        if (number >= 0)
                snprintf(ret, size, "%jd", (intmax_t)number);
}

/* A system account's password does not age. */
static int add_shadow(struct userdb *a, const struct user *user, const char *hash,
                      struct error *err)
{
        bool aging = !config_is_true(&user->system);
        char changed[24], min[24], max[24], warn[24], inactive[24], expire[24];
        const char *defs = aging ? a->login_defs : NULL;

        number_or_empty(changed, sizeof(changed), today());
        number_or_empty(expire, sizeof(expire), aging ? expiry(a) : -1);
        number_or_empty(min, sizeof(min), setting_number(defs, "PASS_MIN_DAYS", -1));
        number_or_empty(max, sizeof(max), setting_number(defs, "PASS_MAX_DAYS", -1));
        number_or_empty(warn, sizeof(warn), setting_number(defs, "PASS_WARN_AGE", -1));
        number_or_empty(inactive, sizeof(inactive),
                        setting_number(aging ? a->useradd_defaults : NULL, "INACTIVE", -1));
        return table_add(&a->shadow,
                         (const char *const[]){ user->name, hash, changed, min, max, warn, inactive,
                                                expire, "", NULL },
                         err);
}

static int compare_ranges(const void *a, const void *b)
{
        for (unsigned field = SUB_START; field <= SUB_COUNT; field++) {
                uint64_t x = row_number(a, field), y = row_number(b, field);

                if (x != y)
                        return x < y ? -1 : 1;
        }
        return 0;
}

/* The first gap of the size, from `low` to `high`, between the ranges of a subuid or subgid file.
 * The lines are sorted for it, and as shadow-utils does, they stay so. */
static int find_gap(struct table *t, uint64_t low, uint64_t high, uint64_t size, uint64_t *ret,
                    struct error *err)
{
        if (t->count > 0)
                qsort(t->rows, t->count, sizeof(*t->rows), compare_ranges);
        for (size_t i = 0; i < t->count; i++) {
                uint64_t start = row_number(&t->rows[i], SUB_START);
                uint64_t count = row_number(&t->rows[i], SUB_COUNT);

                if (start > UINT32_MAX || count > UINT32_MAX)
                        continue;
                if (start >= low && start - low >= size)
                        break;
                low = MAX(low, start + count);
        }
        if (low + size - 1 > high)
                return error_set(err, -EDQUOT, "%s: no free range of %ju ids", t->path,
                                 (uintmax_t)size);
        *ret = low;
        return 0;
}

static int add_sub_ids(struct userdb *a, struct table *t, const char *kind, const char *name,
                       struct error *err)
{
        char key[16], first[24], size[24];
        int64_t count, min, max;
        uint64_t start = 0;
        int r;

        snprintf(key, sizeof(key), "SUB_%s_COUNT", kind);
        count = setting_number(a->login_defs, key, 65536);
        snprintf(key, sizeof(key), "SUB_%s_MIN", kind);
        min = setting_number(a->login_defs, key, 100000);
        snprintf(key, sizeof(key), "SUB_%s_MAX", kind);
        max = setting_number(a->login_defs, key, 600100000);
        if (!t->exists || count <= 0 || min < 0 || table_find(t, name))
                return 0;
        r = find_gap(t, (uint64_t)min, (uint64_t)max, (uint64_t)count, &start, err);
        if (r < 0)
                return r;
        snprintf(first, sizeof(first), "%ju", (uintmax_t)start);
        snprintf(size, sizeof(size), "%jd", (intmax_t)count);
        return table_add(t, (const char *const[]){ name, first, size, NULL }, err);
}

/* Ordinary users get ranges of their own, for containers. */
static int give_sub_ids(struct userdb *a, const struct user *user, uint64_t uid, struct error *err)
{
        uint64_t min = (uint64_t)setting_number(a->login_defs, "UID_MIN", 1000);
        uint64_t max = (uint64_t)setting_number(a->login_defs, "UID_MAX", 60000);
        int r;

        if (config_is_true(&user->system) || (uid != 0 && (uid < min || uid > max)))
                return 0;
        r = add_sub_ids(a, &a->subuid, "UID", user->name, err);
        return r < 0 ? r : add_sub_ids(a, &a->subgid, "GID", user->name, err);
}

/* A setting of /etc/default/useradd that has a default. */
static char *useradd_setting(const struct userdb *a, const char *key, const char *otherwise)
{
        _cleanup_free_ char *text = setting_text(a->useradd_defaults, key);

        return string_is_empty(text) ? strdup(otherwise) : TAKE_PTR(text);
}

static char *default_home(const struct userdb *a, const char *name)
{
        _cleanup_free_ char *base = useradd_setting(a, "HOME", "/home");

        return base ? string_format("%s/%s", base, name) : NULL;
}

static int add_passwd(struct userdb *a, const struct user *user, uint64_t uid, uint64_t gid,
                      const char *home, const char *hash, struct error *err)
{
        _cleanup_free_ char *shell = string_is_empty(user->shell)
                                             ? useradd_setting(a, "SHELL", "/bin/bash")
                                             : strdup(user->shell);
        char uid_text[24], gid_text[24];

        if (!shell)
                return error_oom(err);
        snprintf(uid_text, sizeof(uid_text), "%ju", (uintmax_t)uid);
        snprintf(gid_text, sizeof(gid_text), "%ju", (uintmax_t)gid);
        return table_add(&a->passwd,
                         (const char *const[]){ user->name, a->shadow.exists ? "x" : hash, uid_text,
                                                gid_text, user->gecos ?: "", home, shell, NULL },
                         err);
}

/* Home, which is taken over, and mailbox. */
static int make_places(struct userdb *a, const struct user *user, char *path, uid_t uid, gid_t gid,
                       struct error *err)
{
        struct home home = { .what = HOME_CREATE, .path = path, .uid = uid, .gid = gid };
        struct home mailbox = { .what = MAILBOX_CREATE, .uid = uid, .gid = gid };
        int r = 0;

        if (config_is_true(&user->no_create_home)) {
                free(path);
        } else {
                home.from = useradd_setting(a, "SKEL", "/etc/skel");
                r = home_plan(a, &home, err);
        }
        return r < 0 || config_is_true(&user->system) ? r
                                                      : mailbox_plan(a, user->name, &mailbox, err);
}

static int add(struct userdb *a, const struct user *user, struct error *err)
{
        const char *hash = string_is_empty(user->password_hash) ? "*" : user->password_hash;
        uint64_t uid = (uint64_t)user->uid.value, gid = 0;
        _cleanup_free_ char *home = string_is_empty(user->home_dir) ? default_home(a, user->name)
                                                                    : strdup(user->home_dir);
        int r = 0;

        if (!home)
                return error_oom(err);
        if (*home != '/')
                return error_set(err, -EINVAL, "home directory '%s' is not an absolute path", home);
        if (!user->uid.set)
                r = userdb_new_id(a, &a->passwd, PASSWD_UID, "UID", config_is_true(&user->system),
                                  &uid, err);
        if (r >= 0)
                r = choose_group(a, user, uid, &gid, err);
        if (r >= 0)
                r = add_passwd(a, user, uid, gid, home, hash, err);
        if (r >= 0 && a->shadow.exists)
                r = add_shadow(a, user, hash, err);
        if (r >= 0)
                r = set_groups(a, user, err);
        if (r >= 0)
                r = give_sub_ids(a, user, uid, err);
        return r < 0 ? r : make_places(a, user, TAKE_PTR(home), (uid_t)uid, (gid_t)gid, err);
}

static int set_password(struct userdb *a, const struct user *user, struct table_row *row,
                        struct error *err)
{
        struct table_row *shadow = table_find(&a->shadow, user->name);
        const char *hash = *user->password_hash ? user->password_hash : "*";
        char changed[24];
        int r;

        if (!shadow)
                return table_set(&a->passwd, row, PASSWD_PASSWORD, hash, err);
        number_or_empty(changed, sizeof(changed), today());
        r = table_set(&a->shadow, shadow, SHADOW_PASSWORD, hash, err);
        return r < 0 ? r : table_set(&a->shadow, shadow, SHADOW_CHANGED, changed, err);
}

/* Settings that are just a field of passwd. */
static int set_texts(struct userdb *a, const struct user *user, struct table_row *row,
                     struct error *err)
{
        int r = 0;

        if (!string_is_empty(user->gecos))
                r = table_set(&a->passwd, row, PASSWD_GECOS, user->gecos, err);
        if (r >= 0 && !string_is_empty(user->shell))
                r = table_set(&a->passwd, row, PASSWD_SHELL, user->shell, err);
        if (r >= 0 && user->password_hash)
                r = set_password(a, user, row, err);
        return r;
}

static int set_home(struct userdb *a, const struct user *user, struct table_row *row,
                    struct error *err)
{
        struct home home = { .what = HOME_MOVE };
        int r;

        if (string_is_empty(user->home_dir) || streq(user->home_dir, row_field(row, PASSWD_HOME)))
                return 0;
        home.from = strdup(row_field(row, PASSWD_HOME));
        home.path = strdup(user->home_dir);
        r = home_plan(a, &home, err);
        return r < 0 ? r : table_set(&a->passwd, row, PASSWD_HOME, user->home_dir, err);
}

/* New numbers; the home's files follow. */
static int set_ids(struct userdb *a, const struct user *user, struct table_row *row,
                   struct error *err)
{
        uint64_t uid = row_number(row, PASSWD_UID), gid = row_number(row, PASSWD_GID);
        struct home home = { .what = HOME_OWN, .old_uid = (uid_t)uid, .old_gid = (gid_t)gid };
        struct home mailbox = { .what = MAILBOX_OWN, .old_uid = (uid_t)uid };
        char text[24];
        int r = 0;

        if (user->uid.set)
                uid = (uint64_t)user->uid.value;
        if (!string_is_empty(user->primary_group))
                r = find_primary(a, user->primary_group, &gid, err);
        if (r < 0 || (uid == home.old_uid && gid == home.old_gid))
                return r;
        snprintf(text, sizeof(text), "%ju", (uintmax_t)uid);
        r = table_set(&a->passwd, row, PASSWD_UID, text, err);
        snprintf(text, sizeof(text), "%ju", (uintmax_t)gid);
        if (r >= 0)
                r = table_set(&a->passwd, row, PASSWD_GID, text, err);
        if (r < 0)
                return r;
        home.uid = (uid_t)uid;
        home.gid = (gid_t)gid;
        mailbox.uid = (uid_t)uid;
        home.path = strdup(row_field(row, PASSWD_HOME));
        r = home_plan(a, &home, err);
        return r < 0 || uid == home.old_uid ? r : mailbox_plan(a, user->name, &mailbox, err);
}

static int change(struct userdb *a, const struct user *user, struct table_row *row,
                  struct error *err)
{
        int r;

        r = set_texts(a, user, row, err);
        if (r >= 0)
                r = set_home(a, user, row, err);
        if (r >= 0)
                r = set_ids(a, user, row, err);
        return r < 0 ? r : set_groups(a, user, err);
}

static int drop_memberships(struct userdb *a, const char *name, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < a->group.count; i++)
                r = member_remove(&a->group, &a->group.rows[i], GROUP_MEMBERS, name, err);
        for (size_t i = 0; r >= 0 && i < a->gshadow.count; i++) {
                r = member_remove(&a->gshadow, &a->gshadow.rows[i], GSHADOW_MEMBERS, name, err);
                if (r >= 0)
                        r = member_remove(&a->gshadow, &a->gshadow.rows[i], GSHADOW_ADMINS, name,
                                          err);
        }
        return r;
}

/* The group of the same name goes too when it was the user's own and nobody else is in it. */
static int drop_own_group(struct userdb *a, const char *name, uint64_t gid, struct error *err)
{
        const struct table_row *row = table_find(&a->group, name);

        if (!has_user_groups(a) || !row || row_number(row, GROUP_GID) != gid ||
            *row_field(row, GROUP_MEMBERS) || table_find_id(&a->passwd, PASSWD_GID, gid))
                return 0;
        return group_delete(a, name, err);
}

static void drop_row(struct table *t, const char *name)
{
        struct table_row *row;

        while ((row = table_find(t, name)))
                table_remove(t, row);
}

static int delete (struct userdb *a, const char *name, struct error *err)
{
        struct table_row *row = table_find(&a->passwd, name);
        struct home home = { .what = HOME_REMOVE }, mailbox = { .what = MAILBOX_REMOVE };
        uint64_t gid;
        int r;

        if (!row)
                return 0;
        gid = row_number(row, PASSWD_GID);
        home.uid = (uid_t)row_number(row, PASSWD_UID);
        home.path = strdup(row_field(row, PASSWD_HOME));
        mailbox.uid = home.uid;
        r = home_plan(a, &home, err);
        if (r >= 0)
                r = mailbox_plan(a, name, &mailbox, err);
        if (r < 0)
                return r;
        table_remove(&a->passwd, row);
        drop_row(&a->shadow, name);
        drop_row(&a->subuid, name);
        drop_row(&a->subgid, name);
        r = drop_memberships(a, name, err);
        return r < 0 ? r : drop_own_group(a, name, gid, err);
}

int user_apply(struct userdb *a, const struct user *user, struct error *err)
{
        struct table_row *row;
        int r;

        r = account_name_check(user->name, err);
        if (r < 0)
                return r;
        if (config_is_false(&user->should_exist))
                return delete (a, user->name, err);
        r = check_uid(a, user, err);
        if (r < 0)
                return r;
        row = table_find(&a->passwd, user->name);
        return row ? change(a, user, row, err) : add(a, user, err);
}
