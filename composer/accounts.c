/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See accounts.h. A few dozen entries: plain arrays in the order of definition, searched linearly.
 * The shadow files are a function of the others: every password is "*", which no input matches but
 * which leaves keys usable; the date of the last change is empty, because a date would differ in
 * every build and makes PAM ask for a new password when it is 0. An expired account (sysusers.d
 * "u!") has the expiry day 1. */

#include "accounts.h"
#include "strv.h"
#include "text.h"

enum { PASSWD_FIELDS = 7, GROUP_FIELDS = 4, FIELDS_MAX = 16 };

static void user_done(struct user *u)
{
        free(u->name);
        free(u->gecos);
        free(u->home);
        free(u->shell);
}

void accounts_done(struct accounts *a)
{
        for (size_t i = 0; i < a->n_users; i++)
                user_done(&a->users[i]);
        for (size_t i = 0; i < a->n_groups; i++) {
                free(a->groups[i].name);
                strv_free(a->groups[i].members);
        }
        free(a->users);
        free(a->groups);
        memset(a, 0, sizeof(*a));
}

const struct user *accounts_user(const struct accounts *a, const char *name)
{
        for (size_t i = 0; i < a->n_users; i++)
                if (streq(a->users[i].name, name))
                        return &a->users[i];
        return NULL;
}

const struct group *accounts_group(const struct accounts *a, const char *name)
{
        for (size_t i = 0; i < a->n_groups; i++)
                if (streq(a->groups[i].name, name))
                        return &a->groups[i];
        return NULL;
}

const char *accounts_user_name(const struct accounts *a, uint32_t uid)
{
        for (size_t i = 0; i < a->n_users; i++)
                if (a->users[i].uid == uid)
                        return a->users[i].name;
        return NULL;
}

const char *accounts_group_name(const struct accounts *a, uint32_t gid)
{
        for (size_t i = 0; i < a->n_groups; i++)
                if (a->groups[i].gid == gid)
                        return a->groups[i].name;
        return NULL;
}

static int check_name(const char *name, struct error *err)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                                      "-.0123456789";
        size_t n = strlen(name);

        if (n == 0 || n > ACCOUNT_NAME_MAX || strspn(name, letters) != n ||
            strchr("-.0123456789", name[0]))
                return error_set(err, -EINVAL, "'%s' is not a user or group name", name);
        return 0;
}

static int check_field(const char *value, struct error *err)
{
        if (strpbrk(value, ":\n"))
                return error_set(err, -EINVAL, "'%s' cannot stand in passwd(5)", value);
        return 0;
}

static int check_user(const struct accounts *a, const struct user *u, struct error *err)
{
        const char *fields[] = { u->gecos, u->home, u->shell };
        int r = check_name(u->name, err);

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fields); i++)
                r = check_field(fields[i] ?: "", err);
        if (r < 0)
                return r;
        if (accounts_user(a, u->name))
                return error_set(err, -EEXIST, "user '%s' is defined twice", u->name);
        if (a->n_users >= ACCOUNTS_MAX)
                return error_set(err, -E2BIG, "more than %d users", ACCOUNTS_MAX);
        return 0;
}

int accounts_add_user(struct accounts *a, const struct user *user, struct error *err)
{
        struct user *u;
        int r = check_user(a, user, err);

        if (r < 0)
                return r;
        if (array_reserve(&a->users, &a->users_capacity, a->n_users + 1, sizeof(*u)) < 0)
                return error_oom(err);
        u = &a->users[a->n_users];
        *u = *user;
        u->name = strdup(user->name);
        u->gecos = strdup(user->gecos ?: "");
        u->home = strdup(user->home ?: "/");
        u->shell = strdup(user->shell ?: "/usr/sbin/nologin");
        a->n_users++;
        return u->name && u->gecos && u->home && u->shell ? 0 : error_oom(err);
}

int accounts_add_group(struct accounts *a, const char *name, uint32_t gid, struct error *err)
{
        struct group *g;
        int r = check_name(name, err);

        if (r < 0)
                return r;
        if (accounts_group(a, name))
                return error_set(err, -EEXIST, "group '%s' is defined twice", name);
        if (a->n_groups >= ACCOUNTS_MAX)
                return error_set(err, -E2BIG, "more than %d groups", ACCOUNTS_MAX);
        if (array_reserve(&a->groups, &a->groups_capacity, a->n_groups + 1, sizeof(*g)) < 0)
                return error_oom(err);
        g = &a->groups[a->n_groups];
        *g = (struct group){ .name = strdup(name), .gid = gid };
        if (!g->name)
                return error_oom(err);
        a->n_groups++;
        return 0;
}

int accounts_add_member(struct accounts *a, const char *group, const char *user, struct error *err)
{
        struct group *g = (struct group *)accounts_group(a, group);
        int r = check_name(user, err);

        if (r < 0)
                return r;
        if (!g)
                return error_set(err, -ENOENT, "group '%s' is not defined", group);
        if (strv_contains(g->members, user))
                return 0;
        if (strv_extend(&g->members, user) < 0)
                return error_oom(err);
        strv_sort(g->members);
        return 0;
}

/* ---- reading ---- */

/* Cuts a line at its colons in place; returns the number of fields. */
static size_t split_fields(char *line, char *ret[FIELDS_MAX])
{
        size_t n = 0;

        while (line && n < FIELDS_MAX)
                ret[n++] = strsep(&line, ":");
        return n;
}

static int parse_id(const char *text, uint32_t *ret, struct error *err)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);

        if (*text < '0' || *text > '9' || *end != '\0' || value >= UINT32_MAX)
                return error_set(err, -EINVAL, "'%s' is not an id", text);
        *ret = (uint32_t)value;
        return 0;
}

static int read_user(struct accounts *a, char *line, struct error *err)
{
        char *f[FIELDS_MAX];
        struct user u = {};
        int r;

        if (split_fields(line, f) != PASSWD_FIELDS)
                return error_set(err, -EINVAL, "not %d fields", PASSWD_FIELDS);
        u = (struct user){ .name = f[0], .gecos = f[4], .home = f[5], .shell = f[6] };
        r = parse_id(f[2], &u.uid, err);
        if (r == 0)
                r = parse_id(f[3], &u.gid, err);
        return r < 0 ? r : accounts_add_user(a, &u, err);
}

static int read_group(struct accounts *a, char *line, struct error *err)
{
        _cleanup_strv_ char **members = NULL;
        char *f[FIELDS_MAX];
        uint32_t gid;
        int r;

        if (split_fields(line, f) != GROUP_FIELDS)
                return error_set(err, -EINVAL, "not %d fields", GROUP_FIELDS);
        r = parse_id(f[2], &gid, err);
        if (r == 0)
                r = accounts_add_group(a, f[0], gid, err);
        if (r < 0)
                return r;
        if (strv_split(f[3], ",", &members) < 0)
                return error_oom(err);
        STRV_FOREACH (member, members) {
                r = accounts_add_member(a, f[0], *member, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_lines(struct accounts *a, const char *text,
                      int (*read)(struct accounts *a, char *line, struct error *err),
                      struct error *err)
{
        _cleanup_strv_ char **lines = NULL;
        int r = text_lines(text, "#", &lines, err);

        STRV_FOREACH (line, lines) {
                r = read(a, *line, err);
                if (r < 0)
                        return r;
        }
        return r;
}

int accounts_read_passwd(struct accounts *a, const char *text, struct error *err)
{
        return error_prefix(err, read_lines(a, text, read_user, err), "passwd");
}

int accounts_read_group(struct accounts *a, const char *text, struct error *err)
{
        return error_prefix(err, read_lines(a, text, read_group, err), "group");
}

/* ---- writing ---- */

static void print_members(struct buffer *b, const struct group *g)
{
        STRV_FOREACH (member, g->members)
                buffer_printf(b, "%s%s", member == g->members ? "" : ",", *member);
        buffer_puts(b, "\n");
}

static void print_user(struct buffer *b, const struct user *u, enum accounts_file file)
{
        if (file == ACCOUNTS_PASSWD)
                buffer_printf(b, "%s:x:%u:%u:%s:%s:%s\n", u->name, u->uid, u->gid, u->gecos,
                              u->home, u->shell);
        else
                buffer_printf(b, "%s:%s::::::%s:\n", u->name, u->expired ? "!*" : "*",
                              u->expired ? "1" : "");
}

static void print_group(struct buffer *b, const struct group *g, enum accounts_file file)
{
        if (file == ACCOUNTS_GROUP)
                buffer_printf(b, "%s:x:%u:", g->name, g->gid);
        else
                buffer_printf(b, "%s:*::", g->name);
        print_members(b, g);
}

int accounts_text(const struct accounts *a, enum accounts_file file, char **ret, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};

        if (file == ACCOUNTS_PASSWD || file == ACCOUNTS_SHADOW)
                for (size_t i = 0; i < a->n_users; i++)
                        print_user(&b, &a->users[i], file);
        else
                for (size_t i = 0; i < a->n_groups; i++)
                        print_group(&b, &a->groups[i], file);
        return buffer_take(&b, ret, NULL) < 0 ? error_oom(err) : 0;
}
