/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files stage would do. Its planning half runs as it does there, on a root that nothing is
 * written to: accounts change in memory (and are compared with what they were), paths are resolved
 * and looked at. */

#include "files.h"
#include "plan.h"

/* ---- accounts ---- */

static const struct column {
        unsigned field;
        const char *name;
        bool secret;
} passwd_columns[] = {
        { PASSWD_UID, "uid", false },     { PASSWD_GID, "gid", false },
        { PASSWD_GECOS, "gecos", false }, { PASSWD_HOME, "home", false },
        { PASSWD_SHELL, "shell", false }, { 0, NULL, false },
}, group_columns[] = {
        { GROUP_GID, "gid", false },
        { GROUP_MEMBERS, "members", false },
        { 0, NULL, false },
}, shadow_columns[] = {
        { SHADOW_PASSWORD, "password", true },
        { 0, NULL, false },
}, sub_columns[] = {
        { 1, "from", false },
        { 2, "count", false },
        { 0, NULL, false },
};

static const struct {
        const char *what;
        size_t offset;
        const struct column *columns;
} account_tables[] = {
        { "group", offsetof(struct userdb, group), group_columns },
        { "user", offsetof(struct userdb, passwd), passwd_columns },
        { "password of user", offsetof(struct userdb, shadow), shadow_columns },
        { "subordinate uids of user", offsetof(struct userdb, subuid), sub_columns },
        { "subordinate gids of user", offsetof(struct userdb, subgid), sub_columns },
};

/* "uid 1000, gid 1000"; of a row that was there, only what changed. */
static void describe(const struct column *columns, const struct table_row *old,
                     const struct table_row *new, struct buffer *ret)
{
        for (const struct column *c = columns; c->name; c++) {
                const char *value = row_field(new, c->field);

                if (old ? streq(row_field(old, c->field), value) : !*value)
                        continue;
                buffer_printf(ret, "%s%s %s", ret->size > 0 ? ", " : "", c->name,
                              c->secret ? streq(value, "*") ? "locked" : "set" : value);
        }
}

static void compare_tables(struct plan *p, const char *what, const struct column *columns,
                           const struct table *before, const struct table *after)
{
        char object[ACCOUNT_NAME_MAX + 64];

        for (size_t i = 0; i < before->count; i++) {
                const char *name = row_field(&before->rows[i], 0);

                snprintf(object, sizeof(object), "%s %s", what, name);
                if (!table_find(after, name))
                        plan_add(p, "remove", object, "%s", "");
        }
        for (size_t i = 0; i < after->count; i++) {
                const char *name = row_field(&after->rows[i], 0);
                const struct table_row *old = table_find(before, name);
                _cleanup_buffer_ struct buffer detail = {};

                snprintf(object, sizeof(object), "%s %s", what, name);
                describe(columns, old, &after->rows[i], &detail);
                if (!old || detail.size > 0)
                        plan_add(p, old ? "change" : "create", object, "%s", detail.data ?: "");
        }
}

static const struct table *table_in(const struct userdb *db, size_t offset)
{
        return (const struct table *)((const char *)db + offset);
}

static const struct {
        const char *action, *what;
} home_actions[] = {
        [HOME_CREATE] = { "create", "home directory" },
        [HOME_MOVE] = { "move", "home directory from" },
        [HOME_REMOVE] = { "remove", "home directory" },
        [HOME_OWN] = { "change", "home directory, new owner of what is in it" },
        [MAILBOX_CREATE] = { "create", "mailbox" },
        [MAILBOX_REMOVE] = { "remove", "mailbox" },
        [MAILBOX_OWN] = { "change", "mailbox, new owner" },
};

static void add_homes(struct plan *p, const struct userdb *db)
{
        for (size_t i = 0; i < db->home_count; i++) {
                const struct home *h = &db->homes[i];
                bool moved = h->what == HOME_MOVE;

                plan_add(p, home_actions[h->what].action, h->path, "%s%s%s",
                         home_actions[h->what].what, moved ? " " : "", moved ? h->from : "");
        }
}

static void add_accounts(struct plan *p, const struct work *w)
{
        struct userdb before = { .lock_fd = -1 };
        struct error err = {};

        if (userdb_open(w->root, NULL, false, &before, &err) < 0)
                plan_refuse(p, &err);
        else
                for (size_t i = 0; i < ARRAY_SIZE(account_tables); i++)
                        compare_tables(p, account_tables[i].what, account_tables[i].columns,
                                       table_in(&before, account_tables[i].offset),
                                       table_in(&w->userdb, account_tables[i].offset));
        userdb_done(&before);
        add_homes(p, &w->userdb);
        CONFIG_FOREACH(struct user, u, &w->agent->config.root.passwd.users)
        if (u->keys.count > 0 && !config_is_false(&u->should_exist))
                plan_add(p, "write", "ssh keys", "%zu of user %s", u->keys.count, u->name);
}

/* ---- directories, files, links ---- */

static bool is_of_kind(const char *kind, mode_t mode)
{
        return streq(kind, "directory") ? S_ISDIR(mode)
               : streq(kind, "link")    ? S_ISLNK(mode)
                                        : S_ISREG(mode);
}

static const char *action_on(const struct node_view *v, const struct stat *st)
{
        return config_is_true(&v->node->overwrite) ? "replace"
               : is_of_kind(v->kind, st->st_mode)  ? "keep"
                                                   : "refuse";
}

/* "mode 0640, owner core, group 5" */
static void describe_node(const struct node_view *v, struct buffer *ret)
{
        const struct owner *const owners[] = { &v->node->user, &v->node->group };
        const struct config_int *mode =
                streq(v->kind, "directory") ? &((const struct directory *)v->node)->mode
                : streq(v->kind, "file")    ? &((const struct file *)v->node)->mode
                                            : NULL;

        buffer_puts(ret, v->kind);
        if (!mode)
                buffer_printf(ret, " to %s", ((const struct link *)v->node)->target ?: "");
        else if (mode->set)
                buffer_printf(ret, ", mode %04jo", (uintmax_t)mode->value);
        for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
                if (owners[i]->id.set)
                        buffer_printf(ret, ", %s %jd", i ? "group" : "owner",
                                      (intmax_t)owners[i]->id.value);
                else if (!string_is_empty(owners[i]->name))
                        buffer_printf(ret, ", %s %s", i ? "group" : "owner", owners[i]->name);
        }
}

static void add_node(struct plan *p, const struct work *w, const struct node_view *v)
{
        const struct file *file = streq(v->kind, "file") ? (const struct file *)v->node : NULL;
        _cleanup_buffer_ struct buffer detail = {};
        const char *action = "create";
        struct stat st;

        describe_node(v, &detail);
        if (file && file->append.count > 0)
                buffer_printf(&detail, ", %zu appended", file->append.count);
        if (root_stat(w->root, v->path, &st))
                action = action_on(v, &st);
        if (streq(action, "refuse")) {
                buffer_puts(&detail, ", but something else is there, and overwrite is not true");
                p->refused = true;
        }
        if (streq(action, "keep") && file && file->contents.source)
                buffer_puts(&detail, ", if it holds these contents; else the stage fails");
        if (!streq(v->path, v->node->path + 1))
                buffer_printf(&detail, ", really /%s", v->path);
        plan_add(p, action, v->node->path, "%s", detail.data ?: "");
}

/* ---- units ---- */

static void add_unit_file(struct plan *p, const struct work *w, const char *action,
                          const char *unit, const char *dropin)
{
        _cleanup_free_ char *path = string_format("/etc/systemd/system/%s%s%s", unit,
                                                  dropin ? ".d/" : "", dropin ?: "");
        _cleanup_free_ char *resolved = NULL;
        struct error ignored;
        struct stat st;
        bool there;

        if (!path || root_resolve(w->root, path, &resolved, &ignored) < 0)
                return;
        there = root_stat(w->root, resolved, &st);
        plan_add(p,
                 action
                         ?: there ? "replace"
                                  : "create",
                 path, "%s", dropin ? "drop-in" : "unit");
}

static void add_unit(struct plan *p, const struct work *w, const struct unit *u)
{
        if (!string_is_empty(u->contents))
                add_unit_file(p, w, NULL, u->name, NULL);
        CONFIG_FOREACH(struct dropin, d, &u->dropins)
        if (d->contents)
                add_unit_file(p, w, NULL, u->name, d->name);
        if (u->mask.set)
                add_unit_file(p, w, u->mask.value ? "mask" : "unmask", u->name, NULL);
        if (u->enabled.set)
                plan_add(p, u->enabled.value ? "enable" : "disable", u->name, "preset");
}

/* ---- all of it ---- */

static int plan(struct work *w, struct error *err)
{
        int r;

        r = userdb_open(w->root, &w->journal, false, &w->userdb, err);
        if (r >= 0)
                r = passwd_plan(w, err);
        if (r >= 0)
                r = nodes_plan(w, err);
        return r < 0 ? r : units_plan(w, err);
}

void plan_files(struct plan *p)
{
        struct agent *a = p->agent;
        struct work w = {
                .agent = a, .root = &a->root, .journal.root = &a->root, .userdb.lock_fd = -1
        };
        struct node_view view;
        struct error err = {};

        if (plan(&w, &err) < 0)
                plan_refuse(p, &err);
        add_accounts(p, &w);
        for (size_t i = 0; nodes_view(&w, i, &view); i++)
                add_node(p, &w, &view);
        CONFIG_FOREACH(struct unit, u, &a->config.root.systemd.units)
        add_unit(p, &w, u);
        nodes_done(&w);
        userdb_done(&w.userdb);
        journal_done(&w.journal);
}
