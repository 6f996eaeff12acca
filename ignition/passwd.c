/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* passwd.groups and passwd.users: all changes are made in memory while planning, then the tables
 * are written, then homes, then SSH keys. */

#include <fcntl.h>

#include "announce.h"
#include "files.h"

static int apply_groups(struct work *w, struct error *err)
{
        struct log *log = &w->agent->log;

        CONFIG_FOREACH(struct group, group, &w->agent->config.root.passwd.groups)
        {
                unsigned op = log_start(log, "adding group \"%s\"", group->name ?: "");
                int r = group_apply(&w->userdb, group, err);

                log_end(log, op, r < 0 ? err : NULL, "adding group \"%s\"", group->name ?: "");
                if (r < 0)
                        return error_prefix(err, agent_setting(w->agent, group->at, NULL, r),
                                            "group '%s'", group->name ?: "");
        }
        return 0;
}

static int apply_users(struct work *w, struct error *err)
{
        struct log *log = &w->agent->log;

        CONFIG_FOREACH(struct user, user, &w->agent->config.root.passwd.users)
        {
                unsigned op = log_start(log, "creating or modifying user \"%s\"", user->name ?: "");
                int r = user_apply(&w->userdb, user, err);

                log_end(log, op, r < 0 ? err : NULL, "creating or modifying user \"%s\"",
                        user->name ?: "");
                if (r < 0)
                        return error_prefix(err, agent_setting(w->agent, user->at, NULL, r),
                                            "user '%s'", user->name ?: "");
        }
        return 0;
}

/* ---- SSH keys ---- */

static bool use_fragment(void)
{
        const char *choice = getenv("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT");

        return !choice || !(streq(choice, "false") || streq(choice, "0"));
}

/* NULL: the file itself. */
static const char *fragment(void)
{
        bool made = mkdirat(parent, name, 0700) == 0;
        int fd;

        if (!made && errno != EEXIST)
                return error_errno(err, "%s", name);
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", name);
        if (made && (fchown(fd, uid, gid) < 0 || fchmod(fd, 0700) < 0)) {
                close(fd);
                return error_errno(err, "%s", name);
        }
        return fd;
}

static int write_keys(int dir, const char *name, const struct user *user, uid_t uid, gid_t gid,
                      struct error *err)
{
        _cleanup_buffer_ struct buffer text = {};
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        int r;

        for (size_t i = 0; i < user->keys.count; i++)
                buffer_printf(&text, "%s%s", i ? "\n" : "", user->keys.items[i]);
        if (text.size == 0 || text.data[text.size - 1] != '\n')
                buffer_puts(&text, "\n");
        if (text.failed)
                return error_oom(err);
        r = draft_open(&draft, dir, name, 0600, err);
        if (r >= 0)
                r = io_write(draft.fd, text.data, text.size, err);
        if (r >= 0)
                r = draft_own(&draft, uid, gid, 0600, err);
        return r < 0 ? r : draft_name(&draft, err);
}

static int keys_below(int home, const struct user *user, uid_t uid, gid_t gid, struct error *err)
{
        _cleanup_close_ int ssh = -1, fragment = -1;

        ssh = open_own_dir(home, ".ssh", uid, gid, err);
        if (ssh < 0)
                return ssh;
        if (!use_fragment())
                return write_keys(ssh, "authorized_keys", user, uid, gid, err);
        fragment = open_own_dir(ssh, "authorized_keys.d", uid, gid, err);
        if (fragment < 0)
                return fragment;
        return write_keys(fragment, "ignition", user, uid, gid, err);
}

static int home_of(struct work *w, const struct user *user, const struct table_row **ret_row,
                   char **ret, struct error *err)
{
        const struct table_row *row = table_find(&w->userdb.passwd, user->name);

        if (!row)
                return error_set(err, -ESRCH, "no such user");
        *ret_row = row;
        return root_resolve_all(w->root, row_field(row, PASSWD_HOME), ret, err);
}

/* Of a user's keys, in the root. */
static char *keys_path(const char *home)
{
        return string_format("%s/.ssh/authorized_keys%s", home,
                             use_fragment() ? ".d/ignition" : "");
}

/* It is the whole path that is told of. */
static void announce(struct work *w, const struct user *user, const char *home)
{
        const char *root = w->agent->options.root;
        _cleanup_free_ char *path = keys_path(home), *whole = NULL;

        if (path)
                whole = string_format("%s%s%s", root, endswith(root, "/") ? "" : "/", path);
        if (whole)
                announce_keys(w->agent, user->name, whole);
}

static int authorize(struct work *w, const struct user *user, struct error *err)
{
        const struct table_row *row;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int home = -1;
        int r;

        r = home_of(w, user, &row, &path, err);
        if (r < 0)
                return r;
        home = root_open_path(w->root, path, O_RDONLY | O_DIRECTORY, err);
        if (home < 0)
                return error_prefix(err, home, "home directory");
        r = root_touch(w->root, home, err);
        if (r >= 0)
                r = keys_below(home, user, (uid_t)row_number(row, PASSWD_UID),
                               (gid_t)row_number(row, PASSWD_GID), err);
        if (r >= 0)
                announce(w, user, path);
        return r;
}

static bool has_keys(const struct user *user)
{
        return user->keys.count > 0 && !config_is_false(&user->should_exist);
}

static int note_keys(struct work *w, const struct user *user, struct error *err)
{
        _cleanup_free_ char *home = NULL, *path = NULL;
        const struct table_row *row;
        int r;

        r = home_of(w, user, &row, &home, err);
        if (r < 0)
                return r;
        path = keys_path(home);
        return path ? journal_note(&w->journal, path, true, err) : error_oom(err);
}

static int apply_keys(struct work *w, struct error *err)
{
        struct log *log = &w->agent->log;

        CONFIG_FOREACH(struct user, user, &w->agent->config.root.passwd.users)
        {
                unsigned op;
                int r;

                if (!has_keys(user))
                        continue;
                op = log_start(log, "adding ssh keys to user \"%s\"", user->name);
                r = authorized_keys_write(&w->userdb, user->name, &user->keys, fragment(), err);
                log_end(log, op, r < 0 ? err : NULL, "adding ssh keys to user \"%s\"", user->name);
                if (r < 0)
                        return error_prefix(
                                err, agent_setting(w->agent, user->at, "sshAuthorizedKeys", r),
                                "user '%s'", user->name);
        }
        return 0;
}

int passwd_plan(struct work *w, struct error *err)
{
        int r;

        r = apply_groups(w, err);
        if (r >= 0)
                r = apply_users(w, err);
        CONFIG_FOREACH(struct user, user, &w->agent->config.root.passwd.users)
        if (r >= 0 && has_keys(user))
                r = agent_setting(w->agent, user->at, "sshAuthorizedKeys",
                                  authorized_keys_note(&w->userdb, user->name, fragment(), err));
        return r < 0 ? r : userdb_note(&w->userdb, err);
}

int passwd_apply(struct work *w, struct error *err)
{
        int r = userdb_write(&w->userdb, err);

        return r < 0 ? r : apply_keys(w, err);
}
