/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See userdb.h: loading, ids, writing. */

#include <fcntl.h>

#include "userdb.h"

enum { ID_MAX = 0xfffffffe };

static int take_lock(struct userdb *a, struct error *err)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = root_resolve_all(a->root, "/etc/.pwd.lock", &path, err);
        if (r >= 0)
                r = place_make(a->root, path, &place, err);
        if (r < 0)
                return r;
        a->lock_fd = openat(place.dir, place.name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (a->lock_fd < 0)
                return error_errno(err, "/etc/.pwd.lock");
        while (fcntl(a->lock_fd, F_SETLKW, &lock) < 0)
                if (errno != EINTR)
                        return error_errno(err, "/etc/.pwd.lock");
        return 0;
}

struct table_file {
        const char *path;
        size_t offset;
};

static const struct table_file table_files[] = {
        { "/etc/group", offsetof(struct userdb, group) },
        { "/etc/gshadow", offsetof(struct userdb, gshadow) },
        { "/etc/passwd", offsetof(struct userdb, passwd) },
        { "/etc/shadow", offsetof(struct userdb, shadow) },
        { "/etc/subuid", offsetof(struct userdb, subuid) },
        { "/etc/subgid", offsetof(struct userdb, subgid) },
};

static struct table *table_at(struct userdb *a, size_t i)
{
        return (struct table *)((char *)a + table_files[i].offset);
}

int userdb_open(struct root *root, struct journal *journal, bool change, struct userdb *ret,
                struct error *err)
{
        int r;

        *ret = (struct userdb){ .root = root, .journal = journal, .lock_fd = -1 };
        r = change ? take_lock(ret, err) : 0;
        if (r >= 0)
                r = root_read(root, "/etc/login.defs", &ret->login_defs, err);
        if (r >= 0)
                r = root_read(root, "/etc/default/useradd", &ret->useradd_defaults, err);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(table_files); i++)
                r = table_load(root, table_files[i].path, table_at(ret, i), err);
        return r;
}

void userdb_done(struct userdb *a)
{
        for (size_t i = 0; i < ARRAY_SIZE(table_files); i++)
                table_done(table_at(a, i));
        for (size_t i = 0; i < a->home_count; i++) {
                free(a->homes[i].path);
                free(a->homes[i].from);
        }
        free(a->homes);
        skel_done(&a->skel);
        free(a->login_defs);
        free(a->useradd_defaults);
        close_p(&a->lock_fd);
        *a = (struct userdb){ .lock_fd = -1 };
}

int userdb_note(struct userdb *a, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(table_files); i++)
                if (table_at(a, i)->dirty)
                        r = journal_note_text(a->journal, table_at(a, i)->resolved, err);
        return r;
}

int userdb_write(struct userdb *a, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(table_files); i++)
                r = table_write(table_at(a, i), a->root, err);
        for (size_t i = 0; r >= 0 && i < a->home_count; i++)
                r = error_prefix(err, home_apply(a, &a->homes[i], err), "home directory '%s'",
                                 a->homes[i].path);
        return r;
}

char *setting_text(const char *file, const char *key)
{
        size_t n = strlen(key);

        for (const char *line = file; line && *line; line = strchr(line, '\n')) {
                line += strspn(line, " \t\n");
                if (*line == *key && strncmp(line, key, n) == 0 && strchr(" \t=", line[n]) &&
                    line[n]) {
                        const char *value = line + n + strspn(line + n, " \t=");

                        return strndup(value, strcspn(value, " \t\r\n"));
                }
        }
        return NULL;
}

int64_t setting_number(const char *file, const char *key, int64_t otherwise)
{
        _cleanup_free_ char *text = setting_text(file, key);
        char *end;
        long long number;

        if (!text || !*text)
                return otherwise;
        number = strtoll(text, &end, 0);
        return *end ? otherwise : number;
}

struct range {
        uint64_t min, max;
};

static struct range id_range(const struct userdb *a, const char *kind, bool system)
{
        char low[16], high[16];
        int64_t first, min, max;

        snprintf(low, sizeof(low), "%s_MIN", kind);
        snprintf(high, sizeof(high), "%s_MAX", kind);
        first = setting_number(a->login_defs, low, 1000);
        if (!system)
                return (struct range){ (uint64_t)MAX(first, (int64_t)0),
                                       (uint64_t)setting_number(a->login_defs, high, 60000) };
        snprintf(low, sizeof(low), "SYS_%s_MIN", kind);
        snprintf(high, sizeof(high), "SYS_%s_MAX", kind);
        min = setting_number(a->login_defs, low, 101);
        max = setting_number(a->login_defs, high, first - 1);
        return (struct range){ (uint64_t)MAX(min, (int64_t)0), (uint64_t)MAX(max, (int64_t)0) };
}

bool userdb_in_range(const struct userdb *a, const char *kind, bool system, uint64_t id)
{
        struct range range = id_range(a, kind, system);

        return id >= range.min && id <= range.max;
}

/* Ordinary ids grow upwards from the highest, system ids downwards from the lowest; when that end
 * is reached, the first gap from the start. */
int userdb_new_id(const struct userdb *a, const struct table *t, unsigned field, const char *kind,
                  bool system, uint64_t *ret, struct error *err)
{
        struct range range = id_range(a, kind, system);
        uint64_t best = system ? range.max : range.min;
        bool used = false;

        if (range.min > range.max || range.max > ID_MAX)
                return error_set(err, -ERANGE, "login.defs: bad range of %ss", kind);
        for (size_t i = 0; i < t->count; i++) {
                uint64_t id = row_number(&t->rows[i], field);

                if (id < range.min || id > range.max)
                        continue;
                best = !used ? id : system ? MIN(best, id) : MAX(best, id);
                used = true;
        }
        if (used && best != (system ? range.min : range.max)) {
                *ret = system ? best - 1 : best + 1;
                return 0;
        }
        for (uint64_t i = 0; i <= range.max - range.min; i++) {
                *ret = system ? range.max - i : range.min + i;
                if (!used || !table_find_id(t, field, *ret))
                        return 0;
        }
        return error_set(err, -EDQUOT, "no free %s between %ju and %ju", kind, (uintmax_t)range.min,
                         (uintmax_t)range.max);
}

struct table_row *userdb_group(const struct userdb *a, const char *name_or_id)
{
        struct table_row *row = table_find(&a->group, name_or_id);
        char *end;
        unsigned long long id;

        if (row || *name_or_id < '0' || *name_or_id > '9')
                return row;
        id = strtoull(name_or_id, &end, 10);
        return *end ? NULL : table_find_id(&a->group, GROUP_GID, id);
}

int account_name_check(const char *name, struct error *err)
{
        if (string_is_empty(name))
                return error_set(err, -EINVAL, "name is empty");
        if (strlen(name) > ACCOUNT_NAME_MAX)
                return error_set(err, -EINVAL, "name is longer than %d bytes", ACCOUNT_NAME_MAX);
        /* Digits alone would be taken for a number, '#' for a comment. */
        if (strchr("-+~#", *name) || strpbrk(name, ":,/ \t\n\\") || streq(name, ".") ||
            streq(name, "..") || strspn(name, "0123456789") == strlen(name))
                return error_set(err, -EINVAL, "'%s' is not a name for an account", name);
        return 0;
}

static int find_id(const struct table *t, unsigned field, const char *name, uint32_t *ret)
{
        const struct table_row *row = name ? table_find(t, name) : NULL;
        uint64_t id = row ? row_number(row, field) : UINT64_MAX;

        if (id > ID_MAX)
                return -ESRCH;
        *ret = (uint32_t)id;
        return 0;
}

int userdb_uid(const struct userdb *a, const char *name, uid_t *ret)
{
        return find_id(&a->passwd, PASSWD_UID, name, ret);
}

int userdb_gid(const struct userdb *a, const char *name, gid_t *ret)
{
        return find_id(&a->group, GROUP_GID, name, ret);
}
