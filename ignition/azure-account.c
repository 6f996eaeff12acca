/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the platform's user asked for when the machine was created: its name, and who may log in.
 * The configuration's word counts more: a name that it set stays, and a user that it made gets the
 * keys, nothing else.
 *
 * The administrator is made as the files stage makes users, with its journal: cut off anywhere, the
 * next attempt takes it back and begins again. */

#include <ctype.h>
#include <fcntl.h>

#include "authorized-keys.h"
#include "azure.h"
#include "strv.h"

enum { HOSTNAME_FILE_MAX = 4096, HOSTNAME_BYTES_MAX = 63 };

static const char hostname_path[] = "etc/hostname", admin_group[] = "sudo", fragment[] = "azure";

/* ---- host name ---- */

static bool is_hostname(const char *name)
{
        size_t n = strlen(name);

        for (const char *c = name; *c; c++)
                if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.')
                        return false;
        return n > 0 && n <= HOSTNAME_BYTES_MAX && isalnum((unsigned char)name[0]) &&
               isalnum((unsigned char)name[n - 1]);
}

/* 1: a name is there; 0: none. */
static int has_hostname(int root_fd, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r = file_read(root_fd, hostname_path, HOSTNAME_FILE_MAX, &text, NULL, err);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        if (strv_split(text, " \t\r\n", &lines) < 0)
                return error_oom(err);
        return lines && *lines && **lines != '#';
}

/* Only the machine that runs has a name to be changed. */
static bool is_running_root(const struct root *root)
{
        struct stat a, b;

        return fstat(root->fd, &a) == 0 && stat("/", &b) == 0 && a.st_dev == b.st_dev &&
               a.st_ino == b.st_ino;
}

int azure_set_hostname(struct azure *z, struct error *err)
{
        const struct azure_instance *i = &z->instance;
        const char *name = *i->computer_name ? i->computer_name : i->name;
        _cleanup_free_ char *text = NULL;
        int r = has_hostname(z->root->fd, err);

        if (r != 0)
                return MIN(r, 0);
        if (!is_hostname(name)) {
                log_line(z->log, LOG_WARNING, "'%.64s' is no host name: left as it is", name);
                return 0;
        }
        text = string_format("%s\n", name);
        if (!text)
                return error_oom(err);
        r = file_write(z->root->fd, hostname_path, text, strlen(text), 0644, err);
        if (r >= 0 && is_running_root(z->root) && sethostname(name, strlen(name)) < 0)
                return error_errno(err, "sethostname");
        return r;
}

/* ---- administrator and keys ---- */

struct account {
        struct azure *azure;
        struct journal journal;
        struct userdb userdb;
};

static void account_done(struct account *a)
{
        userdb_done(&a->userdb);
        journal_done(&a->journal);
}

static int plan_user(struct account *a, struct error *err)
{
        const char *group = userdb_group(&a->userdb, admin_group) ? admin_group : NULL;
        const struct user user = {
                .name = a->azure->instance.admin,
                .groups = { .items = &group, .count = group ? 1 : 0 },
        };

        if (table_find(&a->userdb.passwd, user.name))
                return 0;
        log_line(a->azure->log, LOG_INFO, "creating user \"%s\"", user.name);
        return user_apply(&a->userdb, &user, err);
}

static int apply(struct account *a, struct error *err)
{
        const struct azure_instance *i = &a->azure->instance;
        const struct config_strings keys = { (const char **)i->keys, strv_length(i->keys) };
        int r = plan_user(a, err);

        if (r >= 0 && keys.count > 0)
                r = authorized_keys_note(&a->userdb, i->admin, fragment, err);
        if (r >= 0)
                r = userdb_note(&a->userdb, err);
        if (r >= 0)
                r = journal_commit(&a->journal, err);
        if (r >= 0)
                r = userdb_write(&a->userdb, err);
        if (r >= 0 && keys.count > 0)
                r = authorized_keys_write(&a->userdb, i->admin, &keys, fragment, err);
        if (r >= 0)
                r = root_sync(a->azure->root, err);
        return r < 0 ? r : journal_remove(&a->journal, err);
}

/* Nothing is there by which the journal could tell that an attempt got to its end: one that was cut
 * off is always taken back. */
static int start(struct account *a, struct error *err)
{
        static const char none[] = "/var/lib/slipway/azure/account";
        enum journal_state state = JOURNAL_NONE;
        int r = journal_open(a->azure->root, none, &a->journal, &state, err);

        if (r >= 0 && state != JOURNAL_NONE)
                r = journal_undo(&a->journal, err);
        return r < 0 ? r : userdb_open(a->azure->root, &a->journal, true, &a->userdb, err);
}

int azure_set_account(struct azure *z, struct error *err)
{
        _cleanup_(account_done) struct account a = { .azure = z, .userdb.lock_fd = -1 };
        const struct azure_instance *i = &z->instance;
        int r;

        if (!*i->admin) {
                log_line(z->log, LOG_INFO, "the platform names no administrator");
                return 0;
        }
        if (!i->keys)
                log_line(z->log, LOG_WARNING,
                         "user \"%s\" has no SSH keys, and passwords are not "
                         "for logging in here",
                         i->admin);
        r = start(&a, err);
        return error_prefix(err, r < 0 ? r : apply(&a, err), "user '%s'", i->admin);
}
