/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See root.h. Resolving is done on the text, one readlink() per component of what already exists;
 * components that do not exist yet stand for themselves, so a dangling symlink leads to where its
 * target will be made.
 *
 * What is known is not looked up again (root-dirs.h): an open directory is no symlink, nor is one
 * that it is in; below what is absent nothing is there, until something is made. */

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "root.h"
#include "strv.h"

enum { FILE_MAX = 16 * 1024 * 1024 };

int root_open(struct root *root, const char *path, struct error *err)
{
        *root = (struct root){ .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        if (root->fd < 0)
                return error_errno(err, "%s", path);
        root->dirs = root_dirs_new(root->fd);
        if (root->dirs)
                return 0;
        root_done(root);
        return error_oom(err);
}

void root_done(struct root *root)
{
        for (size_t i = 0; i < root->device_count; i++)
                close(root->device_fds[i]);
        root_dirs_free(root->dirs);
        close_p(&root->fd);
        *root = (struct root){ .fd = -1 };
}

struct walk {
        const struct root *root;
        char done[PATH_MAX]; /* resolved so far, "" for the root */
        char rest[PATH_MAX]; /* still to go */
        unsigned links;
        struct error *err;
};

static int too_long(struct walk *w)
{
        return error_code(w->err, -ENAMETOOLONG, "%s", w->done);
}

static void leave_directory(struct walk *w)
{
        char *slash = strrchr(w->done, '/');

        *(slash ?: w->done) = '\0';
}

static int enter(struct walk *w, const char *name)
{
        size_t n = strlen(w->done), size = strlen(name) + 1;

        if (n + size + 1 > sizeof(w->done))
                return too_long(w);
        if (n > 0)
                w->done[n++] = '/';
        memcpy(w->done + n, name, size);
        return 0;
}

/* done names a symlink: its target goes before the rest. */
static int follow(struct walk *w, const char *target)
{
        char rest[PATH_MAX];
        int n;

        if (++w->links > ROOT_LINKS_MAX)
                return error_code(w->err, -ELOOP, "%s", w->done);
        n = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
        if (n < 0 || (size_t)n >= sizeof(rest))
                return too_long(w);
        strcpy(w->rest, rest);
        if (*target == '/')
                w->done[0] = '\0';
        else
                leave_directory(w);
        return 0;
}

/* Takes the next component off the rest: 1, or 0 at the end. */
static int next_component(struct walk *w, char name[NAME_MAX + 1], bool *ret_last)
{
        char *s = w->rest + strspn(w->rest, "/");
        size_t n = strcspn(s, "/");
        char *after = s + n + strspn(s + n, "/");

        if (n == 0)
                return 0;
        if (n > NAME_MAX)
                return error_code(w->err, -ENAMETOOLONG, "%.80s…", s);
        memcpy(name, s, n);
        name[n] = '\0';
        *ret_last = *after == '\0';
        memmove(w->rest, after, strlen(after) + 1);
        return 1;
}

static bool is_absent(const struct root *root, const char *path)
{
        return root_dirs_is_absent(root->dirs, path, strlen(path));
}

static int step(struct walk *w, const char *name, bool last, bool follow_last)
{
        char target[PATH_MAX];
        ssize_t n;
        int r;

        if (streq(name, "."))
                return 0;
        if (streq(name, "..")) {
                leave_directory(w);
                return 0;
        }
        r = enter(w, name);
        if (r < 0 || (last && !follow_last))
                return r;
        if (root_dirs_know(w->root->dirs, w->done) || is_absent(w->root, w->done))
                return 0;
        n = readlinkat(w->root->fd, w->done, target, sizeof(target) - 1);
        if (n < 0 && errno == ENOENT)
                root_dirs_note_absent(w->root->dirs, w->done, strlen(w->done));
        if (n < 0)
                return 0;
        target[n] = '\0';
        return follow(w, target);
}

static int resolve(const struct root *root, const char *path, bool follow_last, char **ret,
                   struct error *err)
{
        char name[NAME_MAX + 1];
        bool last = false;
        struct walk w;
        int r;

        w.root = root;
        w.err = err;
        w.links = 0;
        w.done[0] = '\0';
        if (strlen(path) >= sizeof(w.rest))
                return error_code(err, -ENAMETOOLONG, "%.80s…", path);
        strcpy(w.rest, path);
        while ((r = next_component(&w, name, &last)) > 0) {
                r = step(&w, name, last, follow_last);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = strdup(*w.done ? w.done : ".");
        return *ret ? 0 : error_oom(err);
}

int root_resolve(const struct root *root, const char *path, char **ret, struct error *err)
{
        return resolve(root, path, false, ret, err);
}

int root_resolve_all(const struct root *root, const char *path, char **ret, struct error *err)
{
        return resolve(root, path, true, ret, err);
}

/* The directory by one call of a kernel from 5.6 on; -1: the other way must find out what is there.
 */
static int open_directory(const struct root *root, const char *path)
{
        const struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        };

        return (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
}

static int touch_directory(struct root *root, struct root_dir *dir, struct error *err)
{
        int r = dir->touched ? 0 : root_touch(root, dir->fd, err);

        if (r >= 0)
                dir->touched = true;
        return r;
}

/* *ret_made: it was not there. */
static int make_below(struct root *root, struct root_dir *dir, const char *name, bool *ret_made,
                      struct error *err)
{
        if (mkdirat(dir->fd, name, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        *ret_made = true;
        return touch_directory(root, dir, err);
}

/* maker: the root when the directory shall be made; NULL: it must be there. */
static int open_below(struct root *maker, struct root_dir *dir, const char *name, bool *ret_made,
                      struct error *err)
{
        int fd, r;

        r = maker ? make_below(maker, dir, name, ret_made, err) : 0;
        if (r < 0)
                return r;
        fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int remember(const struct root *root, const char *path, size_t n, int fd,
                    struct root_dir **ret, struct error *err)
{
        struct root_dir *dir = root_dirs_add(root->dirs, path, n, fd);

        if (!dir)
                return error_oom(err);
        *ret = dir;
        return 0;
}

/* From the nearest open directory on, one after another. One that is made is on its parent's file
 * system. */
static int descend(const struct root *root, const char *path, size_t n, struct root *maker,
                   struct root_dir **dir, struct error *err)
{
        while ((*dir)->length < n) {
                size_t start = (*dir)->length + ((*dir)->length > 0);
                size_t end = start + strcspn(path + start, "/");
                char name[NAME_MAX + 1] = {};
                int r = -ENAMETOOLONG;
                bool made = false;

                if (end - start <= NAME_MAX) {
                        memcpy(name, path + start, end - start);
                        r = open_below(maker, *dir, name, &made, err);
                }
                if (r == -ENOENT)
                        root_dirs_note_absent(root->dirs, path, end);
                if (r < 0)
                        return error_code(err, r, "/%.*s", (int)end, path);
                r = remember(root, path, end, r, dir, err);
                if (r < 0)
                        return r;
                (*dir)->touched = made;
        }
        return 0;
}

/* The directory that is named by the first n bytes of the path. */
static int enter_directory(const struct root *root, const char *path, size_t n, struct root *maker,
                           struct root_dir **ret, struct error *err)
{
        struct root_dir *dir = root_dirs_nearest(root->dirs, path, n);
        char whole[PATH_MAX];
        int fd = -1, r;

        /* One level is one call either way. */
        if (dir->length < n && n < sizeof(whole) &&
            memchr(path + dir->length + 1, '/', n - dir->length - 1)) {
                snprintf(whole, sizeof(whole), "%.*s", (int)n, path);
                fd = open_directory(root, whole);
        }
        r = fd >= 0 ? remember(root, path, n, fd, &dir, err)
                    : descend(root, path, n, maker, &dir, err);
        if (r >= 0)
                *ret = dir;
        return r;
}

static int enter_place(const struct root *root, const char *path, struct root *maker,
                       struct place *ret, struct error *err)
{
        const char *slash = strrchr(path, '/');
        size_t n = slash ? (size_t)(slash - path) : 0;
        struct root_dir *dir;
        int r;

        if (root_dirs_is_absent(root->dirs, path, n))
                return error_code(err, -ENOENT, "/%.*s", (int)n, path);
        r = enter_directory(root, path, n, maker, &dir, err);
        if (r < 0)
                return r;
        root_dir_use(dir);
        *ret = (struct place){ dir->fd, slash ? slash + 1 : path, dir, maker != NULL };
        return 0;
}

int place_open(const struct root *root, const char *path, struct place *ret, struct error *err)
{
        return enter_place(root, path, NULL, ret, err);
}

int place_make(struct root *root, const char *path, struct place *ret, struct error *err)
{
        int r;

        root_dirs_begin_making(root->dirs);
        r = enter_place(root, path, root, ret, err);
        if (r < 0)
                root_dirs_end_making(root->dirs);
        return r < 0 ? r : touch_directory(root, ret->of, err);
}

void place_done(struct place *p)
{
        if (p->of && p->makes)
                root_dirs_end_making(p->of->all);
        if (p->of)
                root_dir_leave(p->of);
        *p = (struct place)PLACE_NULL;
}

void root_forget(const struct root *root, const char *path)
{
        root_dirs_forget(root->dirs, path);
}

bool root_knows(const struct root *root, const char *path)
{
        return root_dirs_know(root->dirs, path);
}

bool root_stat(const struct root *root, const char *path, struct stat *ret)
{
        _cleanup_place_ struct place place = PLACE_NULL;

        return !is_absent(root, path) && place_open(root, path, &place, NULL) == 0 &&
               fstatat(place.dir, place.name, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

int root_find(const struct root *root, const char *path, struct stat *ret, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        int r;

        if (is_absent(root, path))
                return 0;
        r = place_open(root, path, &place, err);
        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0)
                return r;
        if (fstatat(place.dir, place.name, ret, AT_SYMLINK_NOFOLLOW) == 0)
                return 1;
        if (errno != ENOENT)
                return error_errno(err, "/%s", path);
        root_dirs_note_absent(root->dirs, path, strlen(path));
        return 0;
}

int root_open_path(const struct root *root, const char *path, int flags, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        int fd, r;

        r = place_open(root, path, &place, err);
        if (r < 0)
                return r;
        fd = openat(place.dir, place.name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? error_errno(err, "/%s", path) : fd;
}

int root_remove(const struct root *root, const char *path, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        struct stat st;
        int r;

        if (!root_stat(root, path, &st))
                return 0;
        if (place_open(root, path, &place, err) < 0)
                return err->code;
        r = path_remove_tree(place.dir, place.name, err);
        root_forget(root, path);
        return r;
}

/* As draft_open() names them. */
static bool is_draft_of(const char *entry, const char *name)
{
        const char *salt = *entry == '.' ? startswith(entry + 1, name) : NULL;

        return salt && *salt == '.' && salt[1] &&
               strspn(salt + 1, "0123456789abcdef") == strlen(salt + 1);
}

int root_sweep(const struct root *root, const char *path, struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int copy;

        if (place_open(root, path, &place, NULL) < 0)
                return 0;
        copy = openat(place.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (copy < 0)
                return error_errno(err, "/%s", path);
        dir = fdopendir(copy);
        if (!dir) {
                close(copy);
                return error_errno(err, "/%s", path);
        }
        while ((entry = readdir(dir)))
                if (is_draft_of(entry->d_name, place.name) &&
                    unlinkat(place.dir, entry->d_name, 0) < 0)
                        return error_errno(err, "%s", entry->d_name);
        return 0;
}

int root_touch(struct root *root, int fd, struct error *err)
{
        struct stat st;
        int copy;

        /* Who writes may also make. */
        root->dirs->absent[0] = '\0';
        if (fstat(fd, &st) < 0)
                return error_errno(err, "stat");
        for (size_t i = 0; i < root->device_count; i++)
                if (root->devices[i] == st.st_dev)
                        return 0;
        if (root->device_count == ROOT_DEVICES_MAX)
                return error_set(err, -E2BIG, "more than %d file systems", ROOT_DEVICES_MAX);
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return error_errno(err, "dup");
        root->devices[root->device_count] = st.st_dev;
        root->device_fds[root->device_count++] = copy;
        return 0;
}

int root_sync(struct root *root, struct error *err)
{
        for (size_t i = 0; i < root->device_count; i++)
                if (syncfs(root->device_fds[i]) < 0)
                        return error_errno(err, "sync file systems");
        return 0;
}

int root_read_resolved(const struct root *root, const char *path, struct stat *ret_stat, char **ret,
                       struct error *err)
{
        _cleanup_place_ struct place place = PLACE_NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        *ret = NULL;
        r = root_find(root, path, ret_stat, err);
        if (r <= 0)
                return r;
        if (!S_ISREG(ret_stat->st_mode))
                return error_set(err, -EINVAL, "/%s: not a regular file", path);
        r = place_open(root, path, &place, err);
        if (r >= 0)
                r = file_read(place.dir, place.name, FILE_MAX, &text, &size, err);
        if (r >= 0 && strlen(text) != size)
                r = error_set(err, -EINVAL, "/%s: holds a NUL byte", path);
        if (r >= 0)
                *ret = TAKE_PTR(text);
        return r;
}

int root_read(const struct root *root, const char *path, char **ret, struct error *err)
{
        _cleanup_free_ char *resolved = NULL;
        struct stat st;
        int r;

        r = root_resolve_all(root, path, &resolved, err);
        return r < 0 ? r : root_read_resolved(root, resolved, &st, ret, err);
}
