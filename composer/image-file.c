/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See image-file.h. The superblock alone says how long an image is: a partition is longer, and the
 * rest of it is not the image's. mksquashfs pads its image with zeros to a whole block, which
 * counts as the image's then. */

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>

#include "disk.h"
#include "erofs-format.h"
#include "image-file.h"
#include "io.h"
#include "parallel.h"

enum {
        HEAD_SIZE = 4096, /* any superblock, and a GPT's header, are in here */
        CHUNK_SIZE = 1024 * 1024,
        SQUASHFS_MAGIC = 0x73717368,
        EROFS_BLOCK_BITS_MIN = 9, /* smaller ones there are not, nor larger ones than 64 KiB */
        EROFS_BLOCK_BITS_MAX = 16,
};

struct squashfs_superblock {
        __le32 magic, inodes, mkfs_time, block_size, fragments;
        __le16 compression, block_log, flags, no_ids, major, minor;
        __le64 root_inode, bytes_used;
} _packed_;
static_assert(sizeof(struct squashfs_superblock) == 48, "start of the SquashFS superblock");

/* ---- which image it is ---- */

/* Bytes of the image whose first HEAD_SIZE bytes these are; 0: no such image. */
static uint64_t erofs_size(const uint8_t *head)
{
        struct erofs_superblock s;

        memcpy(&s, head + EROFS_SUPER_OFFSET, sizeof(s));
        if (le32toh(s.magic) != EROFS_MAGIC || s.blkszbits < EROFS_BLOCK_BITS_MIN ||
            s.blkszbits > EROFS_BLOCK_BITS_MAX)
                return 0;
        return (uint64_t)le32toh(s.blocks) << s.blkszbits;
}

static uint64_t squashfs_size(const uint8_t *head)
{
        struct squashfs_superblock s;

        memcpy(&s, head, sizeof(s));
        if (le32toh(s.magic) != SQUASHFS_MAGIC || le64toh(s.bytes_used) > INT64_MAX - BLOCK_SIZE)
                return 0;
        return ROUND_UP(le64toh(s.bytes_used), BLOCK_SIZE);
}

static uint64_t (*const formats[])(const uint8_t *head) = { erofs_size, squashfs_size };

static uint64_t image_size(const uint8_t *head)
{
        uint64_t size = 0;

        for (size_t i = 0; size == 0 && i < ARRAY_SIZE(formats); i++)
                size = formats[i](head);
        return size;
}

/* What is at the offset, in *head; a short file reads as if zeros followed. */
static int read_head(int fd, uint64_t offset, uint8_t *head, struct error *err)
{
        size_t got;
        int r = io_pread(fd, head, HEAD_SIZE, offset, &got, err);

        if (r < 0)
                return r;
        memset(head + got, 0, HEAD_SIZE - got);
        return 0;
}

/* ---- where it is ---- */

static bool is_disk(const uint8_t *head)
{
        return memcmp(head + SECTOR_SIZE, "EFI PART", 8) == 0;
}

static int check_size(const struct image_file *f, uint64_t room, struct error *err)
{
        if (f->size % BLOCK_SIZE != 0)
                return error_set(err, -EINVAL,
                                 "the image's size, %" PRIu64 ", is no multiple of %d", f->size,
                                 BLOCK_SIZE);
        if (f->size > room)
                return error_set(err, -ENODATA,
                                 "cut off: the image has %" PRIu64 " bytes, %" PRIu64
                                 " of them are there",
                                 f->size, room);
        return 0;
}

static int find_in_file(struct image_file *f, const uint8_t *head, uint64_t file_size,
                        struct error *err)
{
        f->size = image_size(head);
        if (f->size == 0)
                return error_set(err, -EINVAL,
                                 "neither an EROFS or SquashFS image nor a raw disk with a GPT");
        if (file_size % BLOCK_SIZE != 0)
                return error_set(err, -EINVAL, "the file's size, %" PRIu64 ", is no multiple of %d",
                                 file_size, BLOCK_SIZE);
        return check_size(f, file_size, err);
}

static int find_in_slot(struct image_file *f, const struct layout *layout, struct error *err)
{
        const struct partition *usr = layout_find(layout, PARTITION_USR, 'A');
        uint8_t head[HEAD_SIZE];
        int r;

        if (!usr)
                return error_set(err, -EINVAL, "the disk has no USR partition");
        f->offset = usr->start;
        r = read_head(f->fd, f->offset, head, err);
        if (r < 0)
                return r;
        f->size = image_size(head);
        if (f->size == 0)
                return error_set(err, -EINVAL, "no EROFS or SquashFS image in partition '%s'",
                                 usr->label);
        return error_prefix(err, check_size(f, usr->size, err), "partition '%s'", usr->label);
}

static int find_in_disk(struct image_file *f, const char *path, struct error *err)
{
        struct layout layout;
        int r = disk_read(path, &layout, err); /* names the path itself */

        return r < 0 ? r : error_prefix(err, find_in_slot(f, &layout, err), "%s", path);
}

static int open_file(const char *path, struct image_file *f, uint64_t *ret_size, uint8_t *ret_head,
                     struct error *err)
{
        struct stat st;

        f->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (f->fd < 0 || fstat(f->fd, &st) < 0)
                return error_errno(err, "%s", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "%s: not a regular file", path);
        *ret_size = (uint64_t)st.st_size;
        return error_prefix(err, read_head(f->fd, 0, ret_head, err), "%s", path);
}

int image_file_open(const char *path, struct image_file *ret, struct error *err)
{
        _cleanup_image_file_ struct image_file f = IMAGE_FILE_NULL;
        uint8_t head[HEAD_SIZE];
        uint64_t size = 0;
        int r;

        r = open_file(path, &f, &size, head, err);
        if (r < 0)
                return r;
        if (is_disk(head))
                r = find_in_disk(&f, path, err);
        else
                r = error_prefix(err, find_in_file(&f, head, size, err), "%s", path);
        if (r < 0)
                return r;
        *ret = f;
        f.fd = -1;
        return 0;
}

void image_file_done(struct image_file *f)
{
        close_p(&f->fd);
        *f = (struct image_file)IMAGE_FILE_NULL;
}

/* ---- its blocks ---- */

struct reading {
        const struct image_file *file;
        struct block_digests *digests;
};

/* Whether the range reads as zeros because nothing was ever written there. */
static bool is_hole(int fd, uint64_t offset, uint64_t size)
{
        off_t data = lseek(fd, (off_t)offset, SEEK_DATA);

        return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + size;
}

static int read_chunk(void *context, size_t index, struct error *err)
{
        const struct reading *job = context;
        uint64_t position = (uint64_t)index * CHUNK_SIZE;
        uint64_t size = MIN(job->file->size - position, (uint64_t)CHUNK_SIZE);
        const uint64_t offset = job->file->offset + position;

        return is_hole(job->file->fd, offset, size)
                       ? 0
                       : block_digests_fill(job->digests, position / BLOCK_SIZE, job->file->fd,
                                            offset, size, err);
}

int image_file_digests(const struct image_file *f, unsigned threads, struct block_digests *ret,
                       struct error *err)
{
        _cleanup_block_digests_ struct block_digests digests = {};
        struct reading job = { f, &digests };
        int r;

        r = block_digests_init(&digests, f->size / BLOCK_SIZE, err);
        if (r >= 0)
                r = parallel_for(DIV_ROUND_UP(f->size, (uint64_t)CHUNK_SIZE), threads, read_chunk,
                                 &job, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(digests);
        return 0;
}
