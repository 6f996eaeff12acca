/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See skel.h. Small files are held in memory, large ones are mapped: one that is cut off meanwhile
 * makes a write fail. Nothing is reached through a symlink: every step is relative to an open
 * directory, O_NOFOLLOW. What is neither file, directory nor symlink is left out. */

#include <fcntl.h>
#include <sys/mman.h>

#include "skel.h"
#include "userdb.h"

enum { DEPTH_MAX = 128, HELD_MAX = 64 * 1024 };

static void entry_done(struct skel_entry *e)
{
        for (size_t i = 0; i < e->count; i++)
                entry_done(&e->entries[i]);
        free(e->entries);
        free(e->name);
        if (e->mapped)
                munmap(e->content, e->size);
        else
                free(e->content);
        *e = (struct skel_entry){};
}

void skel_done(struct skel *skel)
{
        entry_done(&skel->top);
        free(TAKE_PTR(skel->path));
}

/* ---- reading ---- */

static int read_directory(int fd, unsigned depth, struct skel_entry *ret, struct error *err);

static int map_file(int fd, struct skel_entry *e, struct error *err)
{
        void *map = mmap(NULL, e->size, PROT_READ, MAP_PRIVATE, fd, 0);

        if (map == MAP_FAILED)
                return error_errno(err, "map");
        e->content = map;
        e->mapped = true;
        return 0;
}

static int hold_file(int fd, struct skel_entry *e, struct error *err)
{
        size_t got;
        int r;

        e->content = malloc(e->size + 1);
        if (!e->content)
                return error_oom(err);
        r = io_read(fd, e->content, e->size, &got, err);
        return r >= 0 && got < e->size ? error_set(err, -ENODATA, "the file ended early") : r;
}

static int read_file(int fd, struct skel_entry *e, struct error *err)
{
        return e->size > HELD_MAX ? map_file(fd, e, err) : hold_file(fd, e, err);
}

static int read_entry(int dir_fd, unsigned depth, struct skel_entry *e, struct error *err)
{
        _cleanup_close_ int fd = -1;

        if (S_ISLNK(e->mode))
                return path_readlink(dir_fd, e->name, &e->content, err);
        fd = openat(dir_fd, e->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return error_errno(err, "%s", e->name);
        return error_prefix(err,
                            S_ISDIR(e->mode) ? read_directory(fd, depth + 1, e, err)
                                             : read_file(fd, e, err),
                            "%s", e->name);
}

static int add_entry(int dir_fd, const char *name, unsigned depth, struct skel_entry *dir,
                     struct error *err)
{
        struct skel_entry *e;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", name);
        if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0;
        if (array_reserve(&dir->entries, &dir->capacity, dir->count + 1, sizeof(*e)) < 0)
                return error_oom(err);
        e = &dir->entries[dir->count++];
        *e = (struct skel_entry){ .name = strdup(name),
                                  .mode = st.st_mode,
                                  .size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 0 };
        return e->name ? read_entry(dir_fd, depth, e, err) : error_oom(err);
}

static int read_directory(int fd, unsigned depth, struct skel_entry *ret, struct error *err)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r = 0, copy;

        if (depth > DEPTH_MAX)
                return error_set(err, -ELOOP, "deeper than %d directories", DEPTH_MAX);
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return error_errno(err, "dup");
        dir = fdopendir(copy);
        if (!dir) {
                close(copy);
                return error_errno(err, "open directory");
        }
        while (r >= 0 && (entry = readdir(dir)))
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                        r = add_entry(fd, entry->d_name, depth, ret, err);
        return r;
}

int skel_read(const struct root *root, const char *path, struct skel *ret, struct error *err)
{
        _cleanup_(skel_done) struct skel skel = {};
        _cleanup_close_ int fd = -1;
        int r;

        r = root_resolve_all(root, path, &skel.path, err);
        if (r < 0)
                return r;
        fd = root_open_path(root, skel.path, O_RDONLY | O_DIRECTORY, err);
        if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
                return fd;
        r = fd < 0 ? 0 : read_directory(fd, 0, &skel.top, err);
        if (r < 0)
                return error_prefix(err, r, "%s", skel.path);
        *ret = TAKE_STRUCT(skel);
        return 0;
}

/* ---- writing ---- */

static int write_entries(const struct skel_entry *dir, int to, const struct home *home,
                         struct error *err);

static int write_file(const struct skel_entry *e, int to, const struct home *home,
                      struct error *err)
{
        _cleanup_close_ int fd = openat(to, e->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int r;

        if (fd < 0)
                return error_errno(err, "%s", e->name);
        r = io_write(fd, e->content, e->size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", e->name);
        if (fchown(fd, home->uid, home->gid) < 0 || fchmod(fd, e->mode & 07777) < 0)
                return error_errno(err, "%s", e->name);
        return 0;
}

/* A link into skel by its whole path leads into the home. */
static char *moved_target(const struct home *home, const char *target)
{
        const char *rest = startswith(target, home->from);

        return rest && (*rest == '/' || *rest == '\0') ? string_format("%s%s", home->path, rest)
                                                       : strdup(target);
}

static int write_link(const struct skel_entry *e, int to, const struct home *home,
                      struct error *err)
{
        _cleanup_free_ char *target = moved_target(home, e->content);

        if (!target)
                return error_oom(err);
        if (symlinkat(target, to, e->name) < 0 ||
            fchownat(to, e->name, home->uid, home->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "%s", e->name);
        return 0;
}

static int write_directory(const struct skel_entry *e, int to, const struct home *home,
                           struct error *err)
{
        _cleanup_close_ int fd = -1;
        int r;

        if (mkdirat(to, e->name, 0700) < 0)
                return error_errno(err, "%s", e->name);
        fd = openat(to, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", e->name);
        r = write_entries(e, fd, home, err);
        if (r < 0)
                return error_prefix(err, r, "%s", e->name);
        if (fchown(fd, home->uid, home->gid) < 0 || fchmod(fd, e->mode & 07777) < 0)
                return error_errno(err, "%s", e->name);
        return 0;
}

static int write_entries(const struct skel_entry *dir, int to, const struct home *home,
                         struct error *err)
{
        for (size_t i = 0; i < dir->count; i++) {
                const struct skel_entry *e = &dir->entries[i];
                int r = S_ISDIR(e->mode)   ? write_directory(e, to, home, err)
                        : S_ISLNK(e->mode) ? write_link(e, to, home, err)
                                           : write_file(e, to, home, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

int skel_write(const struct skel *skel, int dir_fd, const struct home *home, struct error *err)
{
        return error_prefix(err, write_entries(&skel->top, dir_fd, home, err), "%s", skel->path);
}
