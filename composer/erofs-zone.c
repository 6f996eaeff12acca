/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The metadata zone: superblock, inodes with their xattrs and inline data, blocks of directories
 * and long symlinks. It is encoded in memory, as it is about as large as the tree that it describes
 * (1 MiB for 10,000 files). */

#include <endian.h>
#include <sys/sysmacros.h>

#include "erofs-plan.h"
#include "io.h"

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

/* Aligned for direct I/O. */
int erofs_zone_encode(struct erofs_plan *plan, struct error *err)
{
        size_t size = plan->data_block * EROFS_BLOCK_SIZE;

        plan->zone = aligned_alloc(IO_DIRECT_ALIGN, size);
        if (!plan->zone)
                return error_oom(err);
        memset(plan->zone, 0, size);
        for (size_t i = 0; i < plan->n_items; i++)
                encode_item(plan, i, plan->zone);
        encode_superblock(plan, plan->zone);
        return 0;
}
