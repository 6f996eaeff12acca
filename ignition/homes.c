/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Home directories: made from /etc/skel, moved, removed, handed to new numbers. Nothing below a
 * home is reached through a symlink: every step is relative to an open directory, O_NOFOLLOW. */

#include <fcntl.h>
#include <limits.h>

#include "tree-move.h"
#include "userdb.h"

enum { TREE_DEPTH_MAX = 128, UMASK_DEFAULT = 022 };

/* 1, 0, or an error. */
static int can_move(const struct userdb *a, const char *from, struct error *err)
{
        struct stat st;
        int r = streq(from, ".") ? 0 : root_find(a->root, from, &st, err);

        return r > 0 ? S_ISDIR(st.st_mode) : r;
}

/* Like usermod: a directory that is in the way is an error, one that is not there is none. */
static int note_move(struct userdb *a, const struct home *home, const char *to, struct error *err)
{
        _cleanup_free_ char *from = NULL;
        struct stat st;
        int r;

        r = root_find(a->root, to, &st, err);
        if (r > 0)
                return error_set(err, -EEXIST, "home directory '%s' exists already", home->path);
        if (r < 0)
                return r;
        r = root_resolve_all(a->root, home->from, &from, err);
        if (r >= 0)
                r = journal_note(a->journal, to, false, err);
        if (r >= 0)
                r = can_move(a, from, err);
        return r <= 0 ? r : journal_note_move(a->journal, from, to, err);
}

static int note(struct userdb *a, const struct home *home, const char *resolved, struct error *err)
{
        switch (home->what) {
        case HOME_MOVE: return note_move(a, home, resolved, err);
        case HOME_REMOVE:
        case HOME_OWN: return 0;
        default: return journal_note(a->journal, resolved, home->what == MAILBOX_REMOVE, err);
        }
}

/* Takes over home's strings, also on failure. */
int home_plan(struct userdb *a, struct home *home, struct error *err)
{
        _cleanup_free_ char *path = home->path, *from = home->from, *resolved = NULL;
        int r;

        if (!path || ((home->what == HOME_MOVE || home->what == HOME_CREATE) && !from))
                return error_oom(err);
        if (*path != '/' && (home->what == HOME_REMOVE || home->what == HOME_OWN))
                return 0;
        if (*path != '/')
                return error_set(err, -EINVAL, "home directory '%s' is not an absolute path", path);
        r = root_resolve_all(a->root, path, &resolved, err);
        if (r < 0)
                return r;
        if (array_reserve(&a->homes, &a->home_capacity, a->home_count + 1, sizeof(*home)) < 0)
                return error_oom(err);
        a->homes[a->home_count] = *home;
        a->homes[a->home_count].path = TAKE_PTR(path);
        a->homes[a->home_count++].from = TAKE_PTR(from);
        return note(a, &a->homes[a->home_count - 1], resolved, err);
}

/* ---- changing owners ---- */

/* Calls for each entry of an open directory. */
struct each {
        int (*fn)(struct each *e, int dir_fd, const char *name, struct error *err);
        const struct home *home;
        unsigned depth;
};

static int for_entries(int fd, struct each *e, struct error *err)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (copy < 0)
                return error_errno(err, "dup");
        dir = fdopendir(copy);
        if (!dir) {
                close(copy);
                return error_errno(err, "open directory");
        }
        if (e->depth > TREE_DEPTH_MAX)
                return error_set(err, -ELOOP, "deeper than %d directories", TREE_DEPTH_MAX);
        while ((entry = readdir(dir))) {
                int r = 0;

                if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                        r = e->fn(e, fd, entry->d_name, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int own_entry(struct each *e, int dir_fd, const char *name, struct error *err)
{
        const struct home *h = e->home;
        struct each below = { own_entry, h, e->depth + 1 };
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        if (fchownat(dir_fd, name, st.st_uid == h->old_uid ? h->uid : (uid_t)-1,
                     st.st_gid == h->old_gid ? h->gid : (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        if (!S_ISDIR(st.st_mode))
                return 0;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? error_errno(err, "%s", name) : for_entries(fd, &below, err);
}

/* ---- the four things that happen to a home ---- */

static int fill(struct userdb *a, int home_fd, const struct home *home, const char *path,
                struct error *err)
{
        const char *below;
        int r = a->skel.path ? 0 : skel_read(a->root, home->from, &a->skel, err);

        if (r >= 0)
                r = skel_write(&a->skel, home_fd, home, err);
        /* A home in there belongs to what the next user gets. */
        below = r >= 0 ? startswith(path, a->skel.path) : NULL;
        if (below && (*below == '/' || *below == '\0'))
                skel_done(&a->skel);
        return r;
}

/* A home that is there already is left as it is. */
static int create(struct userdb *a, const struct home *home, const char *path, struct error *err)
{
        int64_t umask_setting = setting_number(a->login_defs, "UMASK", UMASK_DEFAULT);
        int64_t mode = setting_number(a->login_defs, "HOME_MODE", 0777 & ~umask_setting);
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r;

        if (root_stat(a->root, path, &st))
                return 0;
        r = place_make(a->root, path, &place, err);
        if (r < 0)
                return r;
        if (mkdirat(place.dir, place.name, 0700) < 0)
                return error_errno(err, "%s", path);
        fd = openat(place.dir, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", path);
        r = fill(a, fd, home, path, err);
        if (r < 0)
                return r;
        if (fchown(fd, home->uid, home->gid) < 0 || fchmod(fd, (mode_t)(mode & 07777)) < 0)
                return error_errno(err, "%s", path);
        return 0;
}

static int move(struct userdb *a, const struct home *home, const char *path, struct error *err)
{
        _cleanup_place_ struct place old = PLACE_NULL, new = PLACE_NULL;
        _cleanup_free_ char *from = NULL;
        int r;

        r = root_resolve_all(a->root, home->from, &from, err);
        if (r >= 0)
                r = can_move(a, from, err);
        if (r <= 0)
                return r;
        r = place_open(a->root, from, &old, err);
        if (r >= 0)
                r = place_make(a->root, path, &new, err);
        if (r < 0)
                return r;
        r = tree_move(&(struct tree_place){ old.dir, old.name },
                      &(struct tree_place){ new.dir, new.name }, err);
        root_forget(a->root, from);
        return error_prefix(err, r, "move from '%s'", home->from);
}

/* Another user's home is this directory or in it. */
static bool is_shared(const struct userdb *a, const char *path)
{
        for (size_t i = 0; i < a->passwd.count; i++) {
                const char *home = row_field(&a->passwd.rows[i], PASSWD_HOME);
                const char *rest = startswith(home, path);

                if (rest && (*rest == '\0' || *rest == '/'))
                        return true;
        }
        return false;
}

/* Like userdel, only when it is the user's and nobody else's. */
static int remove_home(struct userdb *a, const struct home *home, const char *path,
                       struct error *err)
{
        struct stat st;
        int r = root_find(a->root, path, &st, err);

        if (r <= 0 || st.st_uid != home->uid || streq(path, ".") || is_shared(a, home->path))
                return MIN(r, 0);
        return root_remove(a->root, path, err);
}

static int own(struct userdb *a, const struct home *home, const char *path, struct error *err)
{
        struct each each = { own_entry, home, 0 };
        _cleanup_place_ struct place place = PLACE_NULL;
        struct stat st;
        int r = root_find(a->root, path, &st, err);

        if (r <= 0 || streq(path, "."))
                return MIN(r, 0);
        if (place_make(a->root, path, &place, err) < 0)
                return err->code;
        return own_entry(&each, place.dir, place.name, err);
}

int home_apply(struct userdb *a, const struct home *home, struct error *err)
{
        static int (*const actions[])(struct userdb *, const struct home *, const char *,
                                      struct error *) = {
                [HOME_CREATE] = create,
                [HOME_MOVE] = move,
                [HOME_REMOVE] = remove_home,
                [HOME_OWN] = own,
                [MAILBOX_CREATE] = mailbox_create,
                [MAILBOX_REMOVE] = mailbox_remove,
                [MAILBOX_OWN] = mailbox_own,
        };
        _cleanup_free_ char *path = NULL;
        int r;

        r = root_resolve_all(a->root, home->path, &path, err);
        return r < 0 ? r : actions[home->what](a, home, path, err);
}
