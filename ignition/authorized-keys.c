/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See authorized-keys.h. Nothing below a home is reached through a symlink, and what is made
 * belongs to the user. */

#include <fcntl.h>

#include "authorized-keys.h"
#include "strv.h"

/* Opens (making it if need be, 0700) a directory that belongs to the user. */
static int open_own_dir(int parent, const char *name, uid_t uid, gid_t gid, struct error *err)
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

static int write_keys(int dir, const char *name, const struct config_strings *keys, uid_t uid,
                      gid_t gid, struct error *err)
{
        _cleanup_buffer_ struct buffer text = {};
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        int r;

        for (size_t i = 0; i < keys->count; i++)
                buffer_printf(&text, "%s%s", i ? "\n" : "", keys->items[i]);
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

static int write_below(int home, const struct table_row *row, const struct config_strings *keys,
                       const char *fragment, struct error *err)
{
        uid_t uid = (uid_t)row_number(row, PASSWD_UID);
        gid_t gid = (gid_t)row_number(row, PASSWD_GID);
        _cleanup_close_ int ssh = -1, directory = -1;

        ssh = open_own_dir(home, ".ssh", uid, gid, err);
        if (ssh < 0)
                return ssh;
        if (!fragment)
                return write_keys(ssh, "authorized_keys", keys, uid, gid, err);
        directory = open_own_dir(ssh, "authorized_keys.d", uid, gid, err);
        if (directory < 0)
                return directory;
        return write_keys(directory, fragment, keys, uid, gid, err);
}

static int home_of(struct userdb *a, const char *user, const struct table_row **ret_row, char **ret,
                   struct error *err)
{
        const struct table_row *row = table_find(&a->passwd, user);

        if (!row)
                return error_set(err, -ESRCH, "no such user");
        *ret_row = row;
        return root_resolve_all(a->root, row_field(row, PASSWD_HOME), ret, err);
}

int authorized_keys_write(struct userdb *a, const char *user, const struct config_strings *keys,
                          const char *fragment, struct error *err)
{
        const struct table_row *row;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int home = -1;
        int r;

        r = home_of(a, user, &row, &path, err);
        if (r < 0)
                return r;
        home = root_open_path(a->root, path, O_RDONLY | O_DIRECTORY, err);
        if (home < 0)
                return error_prefix(err, home, "home directory");
        r = root_touch(a->root, home, err);
        return r < 0 ? r : write_below(home, row, keys, fragment, err);
}

int authorized_keys_path(struct userdb *a, const char *user, const char *fragment, char **ret,
                         struct error *err)
{
        _cleanup_free_ char *home = NULL;
        const struct table_row *row;
        int r = home_of(a, user, &row, &home, err);

        if (r < 0)
                return r;
        *ret = string_format("%s/.ssh/authorized_keys%s%s", home, fragment ? ".d/" : "",
                             fragment ?: "");
        return *ret ? 0 : error_oom(err);
}

int authorized_keys_note(struct userdb *a, const char *user, const char *fragment,
                         struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = authorized_keys_path(a, user, fragment, &path, err);

        return r < 0 ? r : journal_note(a->journal, path, true, err);
}
