/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See io.h. A draft is fsynced before it gets its name, and its directory afterwards: after a power
 * cut there is the old file or the new one, complete.
 *
 * While it is open a draft is locked, so that one which a killed program left can be told from one
 * in use. The lock is one of fcntl's: mtools refuses files that are locked with flock(). */

#include <fcntl.h>
#include <limits.h>

#include "interrupt.h"
#include "io.h"
#include "memory.h"

enum { COPY_BUFFER_SIZE = 256 * 1024 };

/* Instead of an offset: where the descriptor stands. No file reaches this far. */
#define POSITION UINT64_MAX

int io_read(int fd, void *data, size_t size, size_t *ret_size, struct error *err)
{
        return io_pread(fd, data, size, POSITION, ret_size, err);
}

int io_pread(int fd, void *data, size_t size, uint64_t offset, size_t *ret_size, struct error *err)
{
        size_t done = 0;

        if (size > 0 && interrupt_check(err) < 0)
                return -EINTR;
        while (done < size) {
                char *to = (char *)data + done;
                ssize_t n = offset == POSITION ? read(fd, to, size - done)
                                               : pread(fd, to, size - done, (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, "read");
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        if (ret_size)
                *ret_size = done;
        return 0;
}

int io_write(int fd, const void *data, size_t size, struct error *err)
{
        return io_pwrite(fd, data, size, POSITION, err);
}

int io_pwrite(int fd, const void *data, size_t size, uint64_t offset, struct error *err)
{
        size_t done = 0;

        if (size > 0 && interrupt_check(err) < 0)
                return -EINTR;
        while (done < size) {
                const char *from = (const char *)data + done;
                ssize_t n = offset == POSITION
                                    ? write(fd, from, size - done)
                                    : pwrite(fd, from, size - done, (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, "write");
                done += (size_t)n;
        }
        return 0;
}

void io_sync_ahead(int fd)
{
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Whether the file takes direct I/O with our alignment (statx(2), Linux 6.1). */
static bool can_direct(int fd)
{
        struct statx st;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0 ||
            !(st.stx_mask & STATX_DIOALIGN))
                return false;
        return st.stx_dio_offset_align > 0 && IO_DIRECT_ALIGN % st.stx_dio_offset_align == 0 &&
               st.stx_dio_mem_align > 0 && IO_DIRECT_ALIGN % st.stx_dio_mem_align == 0;
}

int io_reopen_direct(int fd, struct error *err)
{
        char path[32];
        int again = -1;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (can_direct(fd))
                again = open(path, (fcntl(fd, F_GETFL) & O_ACCMODE) | O_DIRECT | O_CLOEXEC);
        if (again < 0)
                again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return again < 0 ? error_errno(err, "reopen") : again;
}

static int copy_by_buffer(int in, uint64_t in_offset, int out, uint64_t out_offset, uint64_t size,
                          struct error *err)
{
        _cleanup_free_ char *buffer = malloc(COPY_BUFFER_SIZE);

        if (!buffer)
                return error_oom(err);
        while (size > 0) {
                size_t n = (size_t)MIN(size, (uint64_t)COPY_BUFFER_SIZE), got;
                int r;

                r = io_pread(in, buffer, n, in_offset, &got, err);
                if (r < 0)
                        return r;
                if (got == 0)
                        return error_set(err, -ENODATA, "copy: the source ended early");
                r = io_pwrite(out, buffer, got, out_offset, err);
                if (r < 0)
                        return r;
                in_offset += got;
                out_offset += got;
                size -= got;
        }
        return 0;
}

static int copy_extent(int in, uint64_t in_offset, int out, uint64_t out_offset, uint64_t size,
                       struct error *err)
{
        while (size > 0) {
                loff_t from = (loff_t)in_offset, to = (loff_t)out_offset;
                ssize_t n = copy_file_range(in, &from, out, &to, (size_t)MIN(size, GIB), 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                              errno == EOPNOTSUPP || errno == EPERM || errno == EBADF))
                        return copy_by_buffer(in, in_offset, out, out_offset, size, err);
                if (n < 0)
                        return error_errno(err, "copy");
                if (n == 0)
                        return error_set(err, -ENODATA, "copy: the source ended early");
                in_offset += (uint64_t)n;
                out_offset += (uint64_t)n;
                size -= (uint64_t)n;
        }
        return 0;
}

int io_copy(int in, uint64_t in_offset, int out, uint64_t out_offset, uint64_t size,
            struct error *err)
{
        uint64_t end = in_offset + size, position = in_offset;
        struct stat st;

        if (fstat(in, &st) < 0)
                return error_errno(err, "copy");
        if (!S_ISREG(st.st_mode))
                return copy_by_buffer(in, in_offset, out, out_offset, size, err);
        if ((uint64_t)st.st_size < end)
                return error_set(err, -ENODATA, "copy: the source ended early");
        while (position < end) {
                off_t data = lseek(in, (off_t)position, SEEK_DATA), hole;
                uint64_t stop;
                int r;

                if (data < 0 && errno == ENXIO) /* only a hole remains */
                        break;
                if (data < 0)
                        data = (off_t)position;
                if ((uint64_t)data >= end)
                        break;
                hole = lseek(in, data, SEEK_HOLE);
                stop = hole < 0 ? end : MIN((uint64_t)hole, end);
                r = copy_extent(in, (uint64_t)data, out, out_offset + ((uint64_t)data - in_offset),
                                stop - (uint64_t)data, err);
                if (r < 0)
                        return r;
                position = stop;
        }
        return 0;
}

int file_read(int dir_fd, const char *path, size_t limit, char **ret, size_t *ret_size,
              struct error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_free_ char *data = NULL;
        size_t size = 0, capacity;
        struct stat st;
        int r;

        if (fd < 0)
                return error_errno(err, "%s", path);
        if (fstat(fd, &st) < 0)
                return error_errno(err, "%s", path);
        if (S_ISDIR(st.st_mode))
                return error_code(err, -EISDIR, "%s", path);
        /* Files in /proc and /sys say size 0, so read until the end in any case. */
        capacity = MIN((size_t)st.st_size, limit) + 2;
        data = memory_large(capacity);
        if (!data)
                return error_oom(err);
        for (;;) {
                size_t got;

                r = io_read(fd, data + size, capacity - size - 1, &got, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
                size += got;
                if (size > limit)
                        return error_set(err, -EFBIG, "%s: larger than %zu bytes", path, limit);
                if (size < capacity - 1)
                        break;
                if (array_reserve(&data, &capacity, capacity + 1, 1) < 0)
                        return error_oom(err);
        }
        data[size] = '\0';
        *ret = TAKE_PTR(data);
        if (ret_size)
                *ret_size = size;
        return 0;
}

int file_write(int dir_fd, const char *path, const void *data, size_t size, mode_t mode,
               struct error *err)
{
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        int r;

        r = draft_open(&draft, dir_fd, path, mode, err);
        if (r < 0)
                return r;
        r = io_write(draft.fd, data, size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        return draft_publish(&draft, err);
}

int path_mkdirs(int dir_fd, const char *path, mode_t mode, struct error *err)
{
        char partial[PATH_MAX];
        size_t n = strlen(path);

        if (n >= sizeof(partial))
                return error_code(err, -ENAMETOOLONG, "%s", path);
        memcpy(partial, path, n + 1);
        for (size_t i = 1; i <= n; i++) {
                if (partial[i] != '/' && partial[i] != '\0')
                        continue;
                partial[i] = '\0';
                if (mkdirat(dir_fd, partial, mode) < 0 && errno != EEXIST)
                        return error_errno(err, "%s", partial);
                partial[i] = path[i];
        }
        return 0;
}

int path_open_dir(int dir_fd, const char *path, mode_t mode, struct error *err)
{
        int fd, r;

        r = path_mkdirs(dir_fd, path, mode, err);
        if (r < 0)
                return r;
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", path);
        return fd;
}

static int remove_entries(int parent_fd, const char *path, struct error *err)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int fd, r;

        fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", path);
        dir = fdopendir(fd);
        if (!dir) {
                close(fd);
                return error_errno(err, "%s", path);
        }
        while ((entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = path_remove_tree(dirfd(dir), entry->d_name, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
        }
        return 0;
}

int path_remove_tree(int dir_fd, const char *path, struct error *err)
{
        int r;

        if (unlinkat(dir_fd, path, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return error_errno(err, "%s", path);
        r = remove_entries(dir_fd, path, err);
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return error_errno(err, "%s", path);
        return 0;
}

int path_readlink(int dir_fd, const char *path, char **ret, struct error *err)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, path, target, sizeof(target));
        char *copy;

        if (n < 0)
                return error_errno(err, "%s", path);
        if ((size_t)n >= sizeof(target))
                return error_code(err, -ENAMETOOLONG, "%s", path);
        copy = strndup(target, (size_t)n);
        if (!copy)
                return error_oom(err);
        *ret = copy;
        return 0;
}

/* Locks a draft; false when another process has the lock or the file has no name any more. File
 * systems without locks have drafts too, which are then never swept. */
static bool draft_lock(int fd, struct stat *ret)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        if (fcntl(fd, F_OFD_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES))
                return false;
        return fstat(fd, ret) == 0 && ret->st_nlink > 0;
}

/* Creates the temporary file beside the final name; the name may contain directories. */
static int draft_create(struct draft *d, mode_t mode, struct error *err)
{
        const char *slash = strrchr(d->name, '/');
        int length = slash ? (int)(slash - d->name) + 1 : 0;

        for (unsigned attempt = 0; attempt < 1000; attempt++) {
                _cleanup_free_ char *temp = NULL;
                uint32_t salt = (uint32_t)getpid() * 1000 + attempt;
                struct stat st;
                int fd;

                if (asprintf(&temp, "%.*s.%s.%08x", length, d->name, d->name + length, salt) < 0) {
                        temp = NULL;
                        return error_oom(err);
                }
                fd = openat(d->dir_fd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
                if (fd < 0 && errno == EEXIST)
                        continue;
                if (fd < 0)
                        return error_errno(err, "%s", d->name);
                if (!draft_lock(fd, &st)) { /* swept away in the moment before */
                        close(fd);
                        continue;
                }
                d->temp = TAKE_PTR(temp);
                d->fd = fd;
                d->uid = st.st_uid;
                d->gid = st.st_gid;
                d->mode = st.st_mode & 07777;
                return 0;
        }
        return error_code(err, -EEXIST, "%s: no free temporary name", d->name);
}

int draft_open(struct draft *d, int dir_fd, const char *name, mode_t mode, struct error *err)
{
        int r;

        *d = (struct draft){ .dir_fd = dir_fd, .fd = -1, .name = strdup(name) };
        if (!d->name)
                return error_oom(err);
        r = draft_create(d, mode & 0777, err);
        return r < 0 ? r : draft_own(d, d->uid, d->gid, mode, err);
}

/* A change of owner takes set-id bits. */
int draft_own(struct draft *d, uid_t uid, gid_t gid, mode_t mode, struct error *err)
{
        bool moves = uid != d->uid || gid != d->gid;

        if (moves && fchown(d->fd, uid, gid) < 0)
                return error_errno(err, "%s: owner", d->name);
        if ((mode != d->mode || (moves && mode > 0777)) && fchmod(d->fd, mode) < 0)
                return error_errno(err, "%s: mode", d->name);
        d->uid = uid;
        d->gid = gid;
        d->mode = mode;
        return 0;
}

static int sync_parent(const struct draft *d, struct error *err)
{
        _cleanup_free_ char *parent = NULL;
        _cleanup_close_ int fd = -1;
        const char *slash = strrchr(d->name, '/');

        parent = slash ? strndup(d->name, MAX((size_t)(slash - d->name), (size_t)1)) : strdup(".");
        if (!parent)
                return error_oom(err);
        fd = openat(d->dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return error_errno(err, "%s: sync directory", d->name);
        return 0;
}

int draft_name(struct draft *d, struct error *err)
{
        if (renameat(d->dir_fd, d->temp, d->dir_fd, d->name) < 0)
                return error_errno(err, "%s: rename", d->name);
        free(TAKE_PTR(d->temp));
        return 0;
}

int draft_publish(struct draft *d, struct error *err)
{
        int r;

        if (fsync(d->fd) < 0)
                return error_errno(err, "%s: sync", d->name);
        r = draft_name(d, err);
        return r < 0 ? r : sync_parent(d, err);
}

void draft_done(struct draft *d)
{
        if (d->temp)
                unlinkat(d->dir_fd, d->temp, 0);
        if (d->fd >= 0)
                close(d->fd);
        free(d->temp);
        free(d->name);
        *d = (struct draft)DRAFT_NULL;
}

/* ".<name>.<8 hex digits>" */
static bool is_draft_name(const char *name)
{
        const char *salt = strrchr(name, '.');

        return name[0] == '.' && salt > name && strlen(salt) == 9 &&
               strspn(salt + 1, "0123456789abcdef") == 8;
}

static void sweep_draft(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0)
                unlinkat(dir_fd, name, 0);
}

void drafts_sweep(int dir_fd)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                if (is_draft_name(entry->d_name))
                        sweep_draft(dir_fd, entry->d_name);
}
