/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* passwd.groups and passwd.users: all changes are made in memory while planning, then the tables
 * are written, then homes, then SSH keys. */

#include "announce.h"
#include "authorized-keys.h"
#include "files.h"
#include "strv.h"

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
        return use_fragment() ? "ignition" : NULL;
}

/* It is the whole path that is told of. */
static void announce(struct work *w, const struct user *user)
{
        _cleanup_free_ char *path = NULL, *whole = NULL;
        const char *root = w->agent->options.root;
        struct error ignored;

        if (authorized_keys_path(&w->userdb, user->name, fragment(), &path, &ignored) < 0)
                return;
        whole = string_format("%s%s%s", root, endswith(root, "/") ? "" : "/", path);
        if (whole)
                announce_keys(w->agent, user->name, whole);
}

static bool has_keys(const struct user *user)
{
        return user->keys.count > 0 && !config_is_false(&user->should_exist);
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
                announce(w, user);
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
