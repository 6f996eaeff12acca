/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turns the plan into bytes. The metadata zone is encoded in memory (it is as large as the tree
 * that it describes, 1 MiB for 10,000 files) and written at once. The data zone is cut into
 * segments of equal size, and threads take one after the other: read what belongs there into a
 * buffer, whatever files that is, then write the blocks that are not zero. So small files cost no
 * write of their own, a large file is shared by all threads, memory is one segment a thread, and
 * every byte's place and value come from the plan alone. */

#include <endian.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "erofs-plan.h"
#include "io.h"
#include "parallel.h"

enum { SEGMENT_SIZE = 1024 * 1024, SEGMENT_BLOCKS = SEGMENT_SIZE / EROFS_BLOCK_SIZE };

struct writer {
        const struct erofs_plan *plan;
        const struct content_store *store;
        int fd;                        /* -1: nothing is written */
        uint64_t offset;               /* of the image in fd */
        struct block_digests *digests; /* or NULL */
};

/* ---- blocks ---- */

static bool is_zero(const uint8_t *block)
{
        return block[0] == 0 && memcmp(block, block + 1, EROFS_BLOCK_SIZE - 1) == 0;
}

/* Zeroed memory for whole blocks, as direct I/O wants it. */
static uint8_t *blocks_new(uint64_t size)
{
        uint8_t *blocks = aligned_alloc(IO_DIRECT_ALIGN, size);

        return blocks ? memset(blocks, 0, size) : NULL;
}

static int write_run(const struct writer *w, const uint8_t *data, uint64_t size, uint64_t position,
                     struct error *err)
{
        if (w->digests)
                block_digests_set(w->digests, position / EROFS_BLOCK_SIZE, data,
                                  size / EROFS_BLOCK_SIZE);
        return w->fd < 0 ? 0 : io_pwrite(w->fd, data, size, w->offset + position, err);
}

/* Writes size bytes (whole blocks) to the image at position; zero blocks stay as they are. */
static int write_blocks(const struct writer *w, const uint8_t *data, uint64_t size,
                        uint64_t position, struct error *err)
{
        uint64_t start = 0, end;

        while (start < size) {
                int r;

                if (is_zero(data + start)) {
                        start += EROFS_BLOCK_SIZE;
                        continue;
                }
                for (end = start; end < size && !is_zero(data + end);)
                        end += EROFS_BLOCK_SIZE;
                r = write_run(w, data + start, end - start, position + start, err);
                if (r < 0)
                        return r;
                start = end;
        }
        return 0;
}

/* ---- metadata ---- */

/* CRC-32C as the kernel takes it: reflected, starting from all ones, not inverted at the end. */
static uint32_t crc32c(const uint8_t *data, size_t size)
{
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < size; i++) {
                crc ^= data[i];
                for (unsigned bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
        }
        return crc;
}

/* The device number as Linux stores it in 32 bits. */
static uint32_t encode_device(dev_t device)
{
        uint32_t high = major(device), low = minor(device);

        return (low & 0xff) | high << 8 | (low & ~0xffU) << 12;
}

/* What stands in i_u: the first block or the device number. */
static uint32_t inode_union(const struct erofs_item *item)
{
        mode_t mode = item->inode->mode;

        return S_ISCHR(mode) || S_ISBLK(mode) ? encode_device(item->inode->rdev) : item->block;
}

static uint16_t xattr_icount(const struct erofs_item *item)
{
        if (item->xattr_size == 0)
                return 0;
        return (uint16_t)((item->xattr_size - sizeof(struct erofs_xattr_header)) /
                                  EROFS_XATTR_ALIGN +
                          1);
}

static void encode_compact(const struct erofs_item *item, uint32_t ino, uint8_t *ret)
{
        struct erofs_inode_compact inode = {
                .i_format = htole16((uint16_t)(item->layout << EROFS_FORMAT_LAYOUT_SHIFT)),
                .i_xattr_icount = htole16(xattr_icount(item)),
                .i_mode = htole16((uint16_t)item->inode->mode),
                .i_nlink = htole16((uint16_t)item->nlink),
                .i_size = htole32((uint32_t)item->size),
                .i_u = htole32(inode_union(item)),
                .i_ino = htole32(ino),
                .i_uid = htole16((uint16_t)item->inode->uid),
                .i_gid = htole16((uint16_t)item->inode->gid),
        };

        memcpy(ret, &inode, sizeof(inode));
}

static void encode_extended(const struct erofs_item *item, uint32_t ino, uint64_t build_time,
                            uint8_t *ret)
{
        struct erofs_inode_extended inode = {
                .i_format = htole16((uint16_t)(item->layout << EROFS_FORMAT_LAYOUT_SHIFT |
                                               EROFS_FORMAT_EXTENDED)),
                .i_xattr_icount = htole16(xattr_icount(item)),
                .i_mode = htole16((uint16_t)item->inode->mode),
                .i_size = htole64(item->size),
                .i_u = htole32(inode_union(item)),
                .i_ino = htole32(ino),
                .i_uid = htole32(item->inode->uid),
                .i_gid = htole32(item->inode->gid),
                .i_mtime = htole64(item->inode->mtime ?: build_time),
                .i_nlink = htole32(item->nlink),
        };

        memcpy(ret, &inode, sizeof(inode));
}

/* The inode, what follows it, and its blocks in the metadata zone. */
static void encode_item(const struct erofs_plan *plan, size_t i, uint8_t *zone)
{
        const struct erofs_item *item = &plan->items[i];
        uint8_t *inode = zone + item->position, *xattrs = inode + item->inode_size,
                *tail = xattrs + item->xattr_size,
                *blocks = zone + (uint64_t)item->block * EROFS_BLOCK_SIZE;

        if (item->inode_size == sizeof(struct erofs_inode_compact))
                encode_compact(item, (uint32_t)i + 1, inode);
        else
                encode_extended(item, (uint32_t)i + 1, plan->build_time, inode);
        if (item->xattr_size > 0)
                erofs_xattr_encode(item->inode, xattrs);
        if (S_ISDIR(item->inode->mode))
                erofs_directory_encode(plan, item, blocks, tail);
        if (S_ISLNK(item->inode->mode))
                memcpy(item->layout == EROFS_FLAT_INLINE ? tail : blocks, item->inode->target,
                       item->size);
}

static void encode_superblock(const struct erofs_plan *plan, uint8_t *zone)
{
        struct erofs_superblock sb = {
                .magic = htole32(EROFS_MAGIC),
                .feature_compat = htole32(EROFS_COMPAT_CHECKSUM | EROFS_COMPAT_MTIME),
                .blkszbits = EROFS_BLOCK_BITS,
                .root_nid = htole16((uint16_t)erofs_item_nid(&plan->items[0])),
                .inos = htole64(plan->n_items),
                .build_time = htole64(plan->build_time),
                .blocks = htole32((uint32_t)plan->end_block),
        };
        uint8_t *start = zone + EROFS_SUPER_OFFSET;

        memcpy(sb.uuid, plan->uuid.bytes, sizeof(sb.uuid));
        memcpy(sb.volume_name, plan->label, sizeof(sb.volume_name));
        memcpy(start, &sb, sizeof(sb));
        sb.checksum = htole32(crc32c(start, EROFS_BLOCK_SIZE - EROFS_SUPER_OFFSET));
        memcpy(start, &sb, sizeof(sb));
}

static int write_metadata(const struct writer *w, struct error *err)
{
        uint64_t size = w->plan->data_block * EROFS_BLOCK_SIZE;
        _cleanup_free_ uint8_t *zone = blocks_new(size);

        if (!zone)
                return error_oom(err);
        for (size_t i = 0; i < w->plan->n_items; i++)
                encode_item(w->plan, i, zone);
        encode_superblock(w->plan, zone);
        return write_blocks(w, zone, size, 0, err);
}

/* ---- data ---- */

/* Index of the last file that begins at or before block. */
static size_t file_at(const struct erofs_plan *plan, uint64_t block)
{
        size_t low = 0, high = plan->n_files;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (plan->files[middle]->block <= block)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* Whether the content is known to hold nothing but zeros in that range. Only large contents are
 * asked: there a hole may be huge, elsewhere reading is as quick. */
static bool is_hole(const struct content *content, uint64_t offset, uint64_t size)
{
        off_t data;

        if (content->fd < 0 || content->size < SEGMENT_SIZE)
                return false;
        data = lseek(content->fd, (off_t)offset, SEEK_DATA);
        return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + size;
}

/* Reads what the segment [start, end) (bytes of the image) has of the file into *buffer, which is
 * allocated when there is something to read for the first time. */
static int read_part(const struct writer *w, const struct erofs_item *file, uint64_t start,
                     uint64_t end, uint8_t **buffer, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        uint64_t file_start = (uint64_t)file->block * EROFS_BLOCK_SIZE;
        uint64_t from = MAX(start, file_start), to = MIN(end, file_start + file->size);
        int r;

        r = content_open(file->inode, w->store, &content, err);
        if (r < 0)
                return r;
        if (is_hole(&content, from - file_start, to - from))
                return 0;
        if (!*buffer)
                *buffer = blocks_new(end - start);
        if (!*buffer)
                return error_oom(err);
        return content_read(&content, *buffer + (from - start), to - from, from - file_start, err);
}

static int write_segment(void *context, size_t index, struct error *err)
{
        const struct writer *w = context;
        const struct erofs_plan *plan = w->plan;
        uint64_t first = plan->data_block + index * SEGMENT_BLOCKS;
        uint64_t last = MIN(first + SEGMENT_BLOCKS, plan->end_block);
        uint64_t start = first * EROFS_BLOCK_SIZE, end = last * EROFS_BLOCK_SIZE;
        _cleanup_free_ uint8_t *buffer = NULL;
        char path[TREE_PATH_MAX];
        int r;

        for (size_t i = file_at(plan, first); i < plan->n_files; i++) {
                const struct erofs_item *file = plan->files[i];

                if (file->block >= last)
                        break;
                r = read_part(w, file, start, end, &buffer, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", tree_path(file->node, path));
        }
        return buffer ? write_blocks(w, buffer, end - start, start, err) : 0;
}

/* A regular file is made long enough first: its last blocks may be zeros, and are not written. */
static int extend_file(int fd, uint64_t size, struct error *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "image");
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) < 0)
                return error_errno(err, "image");
        return 0;
}

int erofs_plan_write(const struct erofs_plan *plan, const struct content_store *store, int fd,
                     uint64_t offset, struct block_digests *digests, unsigned threads,
                     struct error *err)
{
        struct writer w = {
                .plan = plan, .store = store, .fd = fd, .offset = offset, .digests = digests
        };
        size_t segments = DIV_ROUND_UP(plan->end_block - plan->data_block, SEGMENT_BLOCKS);
        int r;

        assert(offset % EROFS_BLOCK_SIZE == 0);
        assert(!digests || digests->count == plan->end_block);
        r = fd < 0 ? 0 : extend_file(fd, offset + erofs_plan_size(plan), err);
        if (r < 0)
                return r;
        r = write_metadata(&w, err);
        if (r < 0)
                return r;
        return parallel_for(segments, threads, write_segment, &w, err);
}
