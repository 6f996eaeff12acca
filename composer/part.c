/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See part.h. The lock is on the file, not on its name: after taking it we look whether the name
 * still means our file, for its last owner may have renamed it to its final name meanwhile.
 *
 * The digest runs along with the bytes, so that a complete file is not read again; only what an
 * earlier process left is. */

#include <fcntl.h>
#include <sys/file.h>

#include "download.h"
#include "io.h"
#include "part.h"

enum { PART_NAME_MAX = 255, PART_CHUNK = 128 * 1024 };

static void part_name(const char *name, char ret[PART_NAME_MAX + 1])
{
        snprintf(ret, PART_NAME_MAX + 1, "%s.part", name);
}

bool download_present(int dir_fd, const char *name, uint64_t size)
{
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
                return true;
        unlinkat(dir_fd, name, 0);
        return false;
}

/* Whether the name still means the file that we opened. */
static bool same_file(int dir_fd, const char *name, int fd, struct stat *ret)
{
        struct stat there;

        return fstat(fd, ret) == 0 && fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
               ret->st_dev == there.st_dev && ret->st_ino == there.st_ino;
}

static int hash_existing(struct part *p, uint64_t size, struct error *err)
{
        _cleanup_free_ char *chunk = malloc(PART_CHUNK);
        int r = 0;

        if (!chunk)
                return error_oom(err);
        while (r == 0 && p->offset < size) {
                size_t n = (size_t)MIN(size - p->offset, (uint64_t)PART_CHUNK), got;

                r = io_pread(p->fd, chunk, n, p->offset, &got, err);
                if (r < 0 || got == 0)
                        break;
                hasher_update(&p->hasher, chunk, got);
                p->offset += got;
        }
        p->resumed = p->offset > 0;
        return r;
}

static int part_begin(struct part *p, const struct stat *st, struct error *err)
{
        int r = hasher_init(&p->hasher, err);

        if (r < 0)
                return r;
        if ((uint64_t)st->st_size > p->size)
                return part_restart(p, err);
        return hash_existing(p, (uint64_t)st->st_size, err);
}

int part_open(int dir_fd, const char *name, uint64_t size, struct part *ret, struct error *err)
{
        _cleanup_(part_done) struct part p = {
                .dir_fd = dir_fd, .fd = -1, .name = name, .size = size
        };
        char path[PART_NAME_MAX + 1];
        struct stat st;
        int r;

        part_name(name, path);
        if (download_present(dir_fd, name, size))
                return -EEXIST;
        p.fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (p.fd < 0)
                return error_errno(err, "open '%s'", path);
        if (flock(p.fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EAGAIN : error_errno(err, "lock '%s'", path);
        if (!same_file(dir_fd, path, p.fd, &st))
                return -EAGAIN;
        if (download_present(dir_fd, name, size)) {
                unlinkat(dir_fd, path, 0);
                return -EEXIST;
        }
        r = part_begin(&p, &st, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(p);
        p.fd = -1;
        return 0;
}

int part_append(struct part *p, const void *data, size_t size, struct error *err)
{
        int r;

        if (size > p->size - p->offset)
                return error_set(err, -EFBIG, "longer than the %llu bytes it should have",
                                 (unsigned long long)p->size);
        r = io_pwrite(p->fd, data, size, p->offset, err);
        if (r < 0)
                return r;
        hasher_update(&p->hasher, data, size);
        p->offset += size;
        return 0;
}

int part_restart(struct part *p, struct error *err)
{
        if (ftruncate(p->fd, 0) < 0)
                return error_errno(err, "truncate");
        hasher_done(&p->hasher);
        p->offset = 0;
        p->resumed = false;
        return hasher_init(&p->hasher, err);
}

int part_publish(struct part *p, const struct sha256 *want, struct error *err)
{
        char path[PART_NAME_MAX + 1], wanted[SHA256_HEX_SIZE], found[SHA256_HEX_SIZE];
        struct sha256 digest;
        int r;

        part_name(p->name, path);
        r = hasher_final(&p->hasher, &digest, err);
        if (r < 0)
                return r;
        if (!sha256_equal(&digest, want)) {
                unlinkat(p->dir_fd, path, 0);
                return error_set(err, -EBADMSG, "sha256 is %s, must be %s",
                                 sha256_hex(&digest, found), sha256_hex(want, wanted));
        }
        if (fdatasync(p->fd) < 0)
                return error_errno(err, "sync '%s'", path);
        if (renameat(p->dir_fd, path, p->dir_fd, p->name) < 0)
                return error_errno(err, "rename '%s'", path);
        return 0;
}

void part_done(struct part *p)
{
        hasher_done(&p->hasher);
        close_p(&p->fd);
        p->fd = -1;
}
