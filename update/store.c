/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See store.h. Each function asks the observer first and then makes one system call's worth of
 * change. Names are checked here, so that whatever a release calls its files, nothing outside
 * EFI/Linux changes. */

#include <fcntl.h>

#include "io.h"
#include "store.h"

static const char *const target_names[_STORE_TARGET_MAX] = {
        [STORE_USR] = "slot's image",
        [STORE_TREE] = "slot's hash tree",
        [STORE_SIGNATURE] = "slot's signature",
        [STORE_TABLE] = "partition table",
};

static int announce(struct store *s, const struct store_event *event, struct error *err)
{
        return s->observe ? s->observe(s->userdata, event, err) : 0;
}

/* ---- targets ---- */

static int check_range(const struct store *s, enum store_target target, uint64_t offset,
                       uint64_t size, struct error *err)
{
        const struct store_range *range = &s->targets[target];

        if (range->fd < 0)
                return error_set(err, -ENODEV, "%s: not there", target_names[target]);
        if (offset > range->size || size > range->size - offset)
                return error_set(err, -ERANGE, "%s: %ju bytes at %ju are outside its %ju bytes",
                                 target_names[target], (uintmax_t)size, (uintmax_t)offset,
                                 (uintmax_t)range->size);
        return 0;
}

int store_write(struct store *s, enum store_target target, uint64_t offset, const void *data,
                uint64_t size, struct error *err)
{
        const struct store_event event = { .operation = STORE_WRITE,
                                           .target = target,
                                           .offset = offset,
                                           .size = size,
                                           .data = data };
        const struct store_range *range = &s->targets[target];
        int r = check_range(s, target, offset, size, err);

        if (r >= 0)
                r = announce(s, &event, err);
        if (r < 0)
                return r;
        return error_prefix(err, io_pwrite(range->fd, data, size, range->offset + offset, err),
                            "%s", target_names[target]);
}

int store_flush(struct store *s, enum store_target target, struct error *err)
{
        const struct store_event event = { .operation = STORE_FLUSH, .target = target };
        int r = check_range(s, target, 0, 0, err);

        if (r >= 0)
                r = announce(s, &event, err);
        if (r >= 0 && fsync(s->targets[target].fd) < 0)
                r = error_errno(err, "%s", target_names[target]);
        return r;
}

int store_read(const struct store *s, enum store_target target, uint64_t offset, void *data,
               uint64_t size, struct error *err)
{
        const struct store_range *range = &s->targets[target];
        size_t got = 0;
        int r = check_range(s, target, offset, size, err);

        if (r < 0)
                return r;
        r = io_pread(range->fd, data, size, range->offset + offset, &got, err);
        if (r >= 0 && got < size)
                r = error_set(err, -ENODATA, "ends early");
        return error_prefix(err, r, "%s", target_names[target]);
}

/* ---- files ---- */

static int check_name(const struct store *s, const char *name, struct error *err)
{
        if (s->entries_fd < 0)
                return error_set(err, -ENODEV, "EFI/Linux: not there");
        if (*name == '\0' || streq(name, ".") || streq(name, "..") || strchr(name, '/'))
                return error_set(err, -EINVAL, "'%s': no name of a file in EFI/Linux", name);
        return 0;
}

static int open_file(const struct store *s, const char *name, int flags, struct error *err)
{
        int fd = openat(s->entries_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

        return fd < 0 ? error_errno(err, "%s", name) : fd;
}

/* Checks and announces what is going to happen to a file. */
static int begin(struct store *s, const struct store_event *event, struct error *err)
{
        int r = check_name(s, event->name, err);

        if (r >= 0 && event->to)
                r = check_name(s, event->to, err);
        return r < 0 ? r : announce(s, event, err);
}

int store_file_write(struct store *s, const char *name, uint64_t offset, const void *data,
                     uint64_t size, struct error *err)
{
        const struct store_event event = { .operation = STORE_FILE_WRITE,
                                           .name = name,
                                           .offset = offset,
                                           .size = size,
                                           .data = data };
        _cleanup_close_ int fd = -1;
        int r = begin(s, &event, err);

        if (r < 0)
                return r;
        fd = open_file(s, name, O_WRONLY | O_CREAT, err);
        if (fd < 0)
                return fd;
        return error_prefix(err, io_pwrite(fd, data, size, offset, err), "%s", name);
}

int store_file_read(const struct store *s, const char *name, uint64_t offset, void *data,
                    uint64_t size, size_t *ret_size, struct error *err)
{
        _cleanup_close_ int fd = -1;
        int r = check_name(s, name, err);

        if (r < 0)
                return r;
        fd = open_file(s, name, O_RDONLY, err);
        if (fd < 0)
                return fd;
        return error_prefix(err, io_pread(fd, data, size, offset, ret_size, err), "%s", name);
}

int store_file_sync(struct store *s, const char *name, struct error *err)
{
        const struct store_event event = { .operation = STORE_FILE_SYNC, .name = name };
        _cleanup_close_ int fd = -1;
        int r = begin(s, &event, err);

        if (r < 0)
                return r;
        fd = open_file(s, name, O_RDONLY, err);
        if (fd < 0)
                return fd;
        return fsync(fd) < 0 ? error_errno(err, "%s", name) : 0;
}

int store_file_rename(struct store *s, const char *name, const char *to, struct error *err)
{
        const struct store_event event = { .operation = STORE_FILE_RENAME, .name = name, .to = to };
        int r = begin(s, &event, err);

        if (r >= 0 && renameat(s->entries_fd, name, s->entries_fd, to) < 0)
                r = error_errno(err, "%s → %s", name, to);
        return r;
}

int store_file_remove(struct store *s, const char *name, struct error *err)
{
        const struct store_event event = { .operation = STORE_FILE_REMOVE, .name = name };
        int r = begin(s, &event, err);

        if (r >= 0 && unlinkat(s->entries_fd, name, 0) < 0 && errno != ENOENT)
                r = error_errno(err, "%s", name);
        return r;
}

int store_names_sync(struct store *s, struct error *err)
{
        const struct store_event event = { .operation = STORE_NAMES_SYNC };
        int r = s->entries_fd < 0 ? error_set(err, -ENODEV, "EFI/Linux: not there")
                                  : announce(s, &event, err);

        /* Where a renamed file's bytes are, vfat writes with its inode, not with the directory; and
         * only fsync() empties the disk's cache, so that comes last. */
        if (r >= 0 && (syncfs(s->entries_fd) < 0 || fsync(s->entries_fd) < 0))
                r = error_errno(err, "EFI/Linux");
        return r;
}

void store_done(struct store *s)
{
        for (size_t i = 0; i < _STORE_TARGET_MAX; i++) {
                int fd = TAKE_FD(s->targets[i].fd);

                close_p(&fd);
        }
        close_p(&s->entries_fd);
        s->entries_fd = -1;
}
