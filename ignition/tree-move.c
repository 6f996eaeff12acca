/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See tree-move.h. */

#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "io.h"
#include "strv.h"
#include "tree-move.h"

enum { TREE_DEPTH_MAX = 128, HIDDEN_NAME_MAX = NAME_MAX + 1, FD_PATH_MAX = 32 + NAME_MAX };

/* A file with several names: where it is in the new tree. */
struct known_file {
        dev_t device;
        ino_t inode;
        char *path;
};

struct copy {
        dev_t device; /* of the old tree: what is mounted in it is not its */
        int top;      /* of the new tree */
        char path[PATH_MAX];
        struct known_file *files;
        size_t count, capacity;
};

struct entry {
        struct copy *copy;
        int from, to; /* directories */
        const char *name;
        struct stat st;
        unsigned depth;
};

static void copy_done(struct copy *c)
{
        for (size_t i = 0; i < c->count; i++)
                free(c->files[i].path);
        free(c->files);
        close_p(&c->top);
}

/* ---- what an entry has besides its content ---- */

static const char *fd_path(int dir, const char *name, char path[FD_PATH_MAX])
{
        snprintf(path, FD_PATH_MAX, "/proc/self/fd/%d/%s", dir, name);
        return path;
}

/* The target's file system need not have attributes of each kind. */
static int copy_attribute(const char *from, const char *to, const char *attribute,
                          struct error *err)
{
        _cleanup_free_ char *value = NULL;
        ssize_t size = lgetxattr(from, attribute, NULL, 0);

        value = size >= 0 ? malloc((size_t)size + 1) : NULL;
        if (size >= 0 && !value)
                return error_oom(err);
        if (size >= 0)
                size = lgetxattr(from, attribute, value, (size_t)size);
        if (size < 0)
                return errno == ENODATA ? 0 : error_errno(err, "%s", attribute);
        if (lsetxattr(to, attribute, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP)
                return error_errno(err, "%s", attribute);
        return 0;
}

static int copy_attributes(const struct entry *e, struct error *err)
{
        char from[FD_PATH_MAX], to[FD_PATH_MAX];
        _cleanup_free_ char *names = NULL;
        ssize_t size = llistxattr(fd_path(e->from, e->name, from), NULL, 0);
        int r = 0;

        if (size <= 0)
                return size == 0 || errno == EOPNOTSUPP ? 0 : error_errno(err, "attributes");
        names = malloc((size_t)size);
        if (!names)
                return error_oom(err);
        size = llistxattr(from, names, (size_t)size);
        if (size < 0)
                return error_errno(err, "attributes");
        fd_path(e->to, e->name, to);
        for (const char *name = names; r >= 0 && name < names + size; name += strlen(name) + 1)
                r = copy_attribute(from, to, name, err);
        return r;
}

/* A new owner takes set-user-ID bits and capabilities away, so these come behind. */
static int copy_metadata(const struct entry *e, struct error *err)
{
        const struct timespec times[] = { e->st.st_atim, e->st.st_mtim };
        int r;

        if (fchownat(e->to, e->name, e->st.st_uid, e->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "owner");
        if (!S_ISLNK(e->st.st_mode) && fchmodat(e->to, e->name, e->st.st_mode & 07777, 0) < 0)
                return error_errno(err, "mode");
        r = copy_attributes(e, err);
        if (r < 0)
                return r;
        if (utimensat(e->to, e->name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "times");
        return 0;
}

/* ---- content ---- */

static int copy_tree(struct entry *e, struct error *err);

static int copy_file(struct entry *e, struct error *err)
{
        _cleanup_close_ int in = openat(e->from, e->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_close_ int out = -1;

        if (in >= 0)
                out = openat(e->to, e->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out < 0)
                return error_errno(err, "open");
        if (ftruncate(out, e->st.st_size) < 0)
                return error_errno(err, "size");
        return io_copy(in, 0, out, 0, (uint64_t)e->st.st_size, err);
}

static int copy_link(struct entry *e, struct error *err)
{
        _cleanup_free_ char *target = NULL;
        int r = path_readlink(e->from, e->name, &target, err);

        if (r < 0)
                return r;
        return symlinkat(target, e->to, e->name) < 0 ? error_errno(err, "link") : 0;
}

static int copy_content(struct entry *e, struct error *err)
{
        switch (e->st.st_mode & S_IFMT) {
        case S_IFREG: return copy_file(e, err);
        case S_IFLNK: return copy_link(e, err);
        case S_IFDIR: return copy_tree(e, err);
        default:
                if (mknodat(e->to, e->name, e->st.st_mode & (S_IFMT | 0600), e->st.st_rdev) < 0)
                        return error_errno(err, "node");
                return 0;
        }
}

/* ---- entries ---- */

static const struct known_file *find_known(const struct copy *c, const struct stat *st)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->files[i].inode == st->st_ino && c->files[i].device == st->st_dev)
                        return &c->files[i];
        return NULL;
}

static int remember(struct copy *c, const struct stat *st, struct error *err)
{
        char *path = strdup(c->path);

        if (!path || array_reserve(&c->files, &c->capacity, c->count + 1, sizeof(*c->files)) < 0) {
                free(path);
                return error_oom(err);
        }
        c->files[c->count++] = (struct known_file){ st->st_dev, st->st_ino, path };
        return 0;
}

static int copy_known(struct entry *e, struct error *err)
{
        struct copy *c = e->copy;
        bool several = !S_ISDIR(e->st.st_mode) && e->st.st_nlink > 1;
        const struct known_file *known = several ? find_known(c, &e->st) : NULL;
        int r;

        if (known && linkat(c->top, known->path, e->to, e->name, 0) < 0)
                return error_errno(err, "hard link");
        if (known)
                return 0;
        r = copy_content(e, err);
        if (r >= 0)
                r = copy_metadata(e, err);
        return r >= 0 && several ? remember(c, &e->st, err) : r;
}

static int copy_entry(const struct entry *parent, int from, int to, const char *name,
                      struct error *err)
{
        struct entry e = { parent->copy, from, to, name, {}, parent->depth + 1 };
        struct copy *c = e.copy;
        size_t n = strlen(c->path);
        int r;

        if (n + 1 + strlen(name) >= sizeof(c->path))
                return error_code(err, -ENAMETOOLONG, "%s", name);
        if (fstatat(from, name, &e.st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        if (e.st.st_dev != c->device)
                return error_set(err, -EBUSY, "%s is mounted there", name);
        sprintf(c->path + n, "%s%s", n ? "/" : "", name);
        r = error_prefix(err, copy_known(&e, err), "%s", name);
        c->path[n] = '\0';
        return r;
}

/* The directory is there afterwards; its metadata is the caller's. */
static int copy_tree(struct entry *e, struct error *err)
{
        static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        _cleanup_closedir_ DIR *dir = NULL;
        _cleanup_close_ int from = openat(e->from, e->name, flags), to = -1, listed = -1;
        struct dirent *entry;
        int r = 0;

        if (e->depth > TREE_DEPTH_MAX)
                return error_set(err, -ELOOP, "deeper than %d directories", TREE_DEPTH_MAX);
        if (from >= 0 && mkdirat(e->to, e->name, 0700) == 0)
                to = openat(e->to, e->name, flags);
        listed = to >= 0 ? openat(from, ".", flags) : -1;
        dir = listed >= 0 ? fdopendir(listed) : NULL;
        if (!dir)
                return error_errno(err, "directory");
        TAKE_FD(listed);
        if (e->depth == 0)
                e->copy->top = fcntl(to, F_DUPFD_CLOEXEC, 3);
        while (r >= 0 && (entry = readdir(dir)))
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                        r = copy_entry(e, from, to, entry->d_name, err);
        return r;
}

/* ---- the move ---- */

static int hide_name(const char *name, char hidden[HIDDEN_NAME_MAX], struct error *err)
{
        if (snprintf(hidden, HIDDEN_NAME_MAX, ".%.*s.moving", NAME_MAX, name) > NAME_MAX)
                return error_code(err, -ENAMETOOLONG, "%s", name);
        return 0;
}

static int rename_durably(int dir, const char *from, const char *to, struct error *err)
{
        if (renameat(dir, from, dir, to) < 0 || fsync(dir) < 0)
                return error_errno(err, "%s", to);
        return 0;
}

/* The copy is made in a directory with the hidden name, where it has the old one's. */
static int copy_hidden(const struct tree_place *from, const struct tree_place *to,
                       const char *hidden, struct error *err)
{
        _cleanup_(copy_done) struct copy copy = { .top = -1 };
        _cleanup_close_ int target = -1;
        struct entry top = { &copy, from->dir, -1, from->name, {}, 0 };
        int r;

        if (fstatat(from->dir, from->name, &top.st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", from->name);
        copy.device = top.st.st_dev;
        if (mkdirat(to->dir, hidden, 0700) < 0)
                return error_errno(err, "%s", hidden);
        target = openat(to->dir, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (target < 0)
                return error_errno(err, "%s", hidden);
        top.to = target;
        r = copy_tree(&top, err);
        if (r >= 0)
                r = copy_metadata(&top, err);
        if (r >= 0 && syncfs(target) < 0)
                return error_errno(err, "sync");
        if (r >= 0 && renameat(target, from->name, to->dir, to->name) < 0)
                return error_errno(err, "%s", to->name);
        return r;
}

static int move_across(const struct tree_place *from, const struct tree_place *to,
                       struct error *err)
{
        char old[HIDDEN_NAME_MAX], new[HIDDEN_NAME_MAX];
        struct error ignored = {};
        int r;

        r = hide_name(from->name, old, err);
        if (r >= 0)
                r = hide_name(to->name, new, err);
        if (r >= 0)
                r = path_remove_tree(to->dir, new, err);
        if (r >= 0)
                r = path_remove_tree(from->dir, old, err);
        if (r < 0)
                return r;
        r = copy_hidden(from, to, new, err);
        if (path_remove_tree(to->dir, new, r < 0 ? &ignored : err) < 0 && r >= 0)
                return err->code;
        if (r >= 0 && fsync(to->dir) < 0)
                return error_errno(err, "%s", to->name);
        if (r >= 0)
                r = rename_durably(from->dir, from->name, old, err);
        return r < 0 ? r : path_remove_tree(from->dir, old, err);
}

int tree_move(const struct tree_place *from, const struct tree_place *to, struct error *err)
{
        if (renameat(from->dir, from->name, to->dir, to->name) == 0)
                return 0;
        if (errno != EXDEV)
                return error_errno(err, "%s", to->name);
        return move_across(from, to, err);
}
