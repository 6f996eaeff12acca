/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file that a user's mail arrives in, as useradd, usermod and userdel treat it: made when
 * CREATE_MAIL_SPOOL says so, given to the user's new number, removed with the user. Mail is no
 * reason to fail: where there is no directory for it, or the file is not the user's, nothing is
 * done. */

#include <fcntl.h>

#include "userdb.h"

static bool is_wanted(const struct userdb *a)
{
        _cleanup_free_ char *setting = setting_text(a->useradd_defaults, "CREATE_MAIL_SPOOL");

        return setting && strcasecmp(setting, "yes") == 0;
}

int mailbox_plan(struct userdb *a, const char *name, struct home *mailbox, struct error *err)
{
        _cleanup_free_ char *setting = setting_text(a->login_defs, "MAIL_DIR");
        const char *dir = setting && *setting == '/' ? setting : "/var/mail";

        if (mailbox->what == MAILBOX_CREATE && !is_wanted(a))
                return 0;
        mailbox->path = string_format("%s/%s", dir, name);
        return home_plan(a, mailbox, err);
}

int mailbox_create(struct userdb *a, const struct home *mailbox, const char *path,
                   struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_close_ int fd = -1;
        gid_t gid = mailbox->gid;
        bool shared;

        if (place_open(a->root, path, &place, NULL) < 0)
                return 0;
        fd = openat(place.dir, place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
        if (fd < 0)
                return 0;
        shared = userdb_gid(a, "mail", &gid) == 0;
        if (fchown(fd, mailbox->uid, gid) < 0 || fchmod(fd, shared ? 0660 : 0600) < 0)
                return error_errno(err, "owner and mode");
        return root_touch(a->root, place.dir, err);
}

/* 1, 0, or an error. */
static int is_the_users(struct userdb *a, const char *path, uid_t uid, struct error *err)
{
        struct stat st;
        int r = root_find(a->root, path, &st, err);

        return r > 0 ? S_ISREG(st.st_mode) && st.st_uid == uid : r;
}

int mailbox_own(struct userdb *a, const struct home *mailbox, const char *path, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        int r = is_the_users(a, path, mailbox->old_uid, err);

        if (r <= 0)
                return r;
        r = place_make(a->root, path, &place, err);
        if (r >= 0 &&
            fchownat(place.dir, place.name, mailbox->uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
                r = error_errno(err, "owner");
        return r;
}

int mailbox_remove(struct userdb *a, const struct home *mailbox, const char *path,
                   struct error *err)
{
        int r = is_the_users(a, path, mailbox->uid, err);

        return r <= 0 ? r : root_remove(a->root, path, err);
}
