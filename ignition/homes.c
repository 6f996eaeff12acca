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

/* ---- copying skel ---- */

static int copy_tree(int from, int to, const struct home *home, unsigned depth, struct error *err);

static int copy_file(int from, int to, const char *name, const struct stat *st,
                     const struct home *home, struct error *err)
{
        _cleanup_close_ int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_close_ int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int r;

        if (in < 0 || out < 0)
                return error_errno(err, "%s", name);
        r = io_copy(in, 0, out, 0, (uint64_t)st->st_size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        if (fchown(out, home->uid, home->gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
                return error_errno(err, "%s", name);
        return 0;
}

/* A link into skel by its whole path leads into the home. */
static char *moved_target(const struct home *home, const char *target)
{
        const char *rest = startswith(target, home->from);

        return rest && (*rest == '/' || *rest == '\0') ? string_format("%s%s", home->path, rest)
                                                       : strdup(target);
}

static int copy_link(int from, int to, const char *name, const struct home *home, struct error *err)
{
        _cleanup_free_ char *target = NULL, *moved = NULL;
        int r;

        r = path_readlink(from, name, &target, err);
        if (r < 0)
                return r;
        moved = moved_target(home, target);
        if (!moved)
                return error_oom(err);
        if (symlinkat(moved, to, name) < 0 ||
            fchownat(to, name, home->uid, home->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        return 0;
}

static int copy_directory(int from, int to, const char *name, const struct stat *st,
                          const struct home *home, unsigned depth, struct error *err)
{
        _cleanup_close_ int in = -1, out = -1;
        int r;

        in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (in < 0 || mkdirat(to, name, 0700) < 0)
                return error_errno(err, "%s", name);
        out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (out < 0)
                return error_errno(err, "%s", name);
        r = copy_tree(in, out, home, depth + 1, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        if (fchown(out, home->uid, home->gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
                return error_errno(err, "%s", name);
        return 0;
}

static int copy_entry(int from, int to, const char *name, const struct home *home, unsigned depth,
                      struct error *err)
{
        struct stat st;

        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        if (S_ISREG(st.st_mode))
                return copy_file(from, to, name, &st, home, err);
        if (S_ISLNK(st.st_mode))
                return copy_link(from, to, name, home, err);
        if (S_ISDIR(st.st_mode))
                return copy_directory(from, to, name, &st, home, depth, err);
        return 0;
}

/* Calls for each entry of an open directory. */
struct each {
        int (*fn)(struct each *e, int dir_fd, const char *name, struct error *err);
        int to;
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

static int copy_each(struct each *e, int dir_fd, const char *name, struct error *err)
{
        return copy_entry(dir_fd, e->to, name, e->home, e->depth, err);
}

static int copy_tree(int from, int to, const struct home *home, unsigned depth, struct error *err)
{
        struct each each = { copy_each, to, home, depth };

        return for_entries(from, &each, err);
}

/* ---- changing owners ---- */

static int own_entry(struct each *e, int dir_fd, const char *name, struct error *err)
{
        const struct home *h = e->home;
        struct each below = { own_entry, -1, h, e->depth + 1 };
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

static int copy_skel(struct userdb *a, int home_fd, const struct home *home, struct error *err)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int skel = -1;
        int r;

        r = root_resolve_all(a->root, home->from, &path, err);
        if (r < 0)
                return r;
        skel = root_open_path(a->root, path, O_RDONLY | O_DIRECTORY, err);
        if (skel < 0)
                return skel == -ENOENT || skel == -ENOTDIR ? 0 : skel;
        return error_prefix(err, copy_tree(skel, home_fd, home, 0, err), "%s", path);
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
        r = copy_skel(a, fd, home, err);
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
        struct each each = { own_entry, -1, home, 0 };
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
