/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The metadata zone: inodes with their xattrs and inline data or maps, blocks of directories and
 * long symlinks. It is encoded in memory, as it is about as large as the tree that it describes (1
 * MiB for 10,000 files). */

#include <endian.h>
#include <sys/sysmacros.h>

#include "erofs-internal.h"
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

/* What stands in i_u. */
static uint32_t inode_union(const struct erofs_image *image, const struct erofs_item *item)
{
        mode_t mode = item->inode->mode;

        if (S_ISCHR(mode) || S_ISBLK(mode))
                return encode_device(item->inode->rdev);
        if (item->layout == EROFS_COMPRESSED_COMPACT)
                return item->blocks;
        if (S_ISREG(mode))
                return item->block;
        return erofs_item_plain_blocks(item) > 0 ? (uint32_t)image->zone_block + item->block : 0;
}

static uint16_t xattr_icount(const struct erofs_item *item)
{
        if (item->xattr_size == 0)
                return 0;
        return (uint16_t)((item->xattr_size - sizeof(struct erofs_xattr_header)) /
                                  EROFS_XATTR_ALIGN +
                          1);
}

static void encode_compact(const struct erofs_image *image, const struct erofs_item *item,
                           uint8_t *ret)
{
        struct erofs_inode_compact inode = {
                .i_format = htole16((uint16_t)(item->layout << EROFS_FORMAT_LAYOUT_SHIFT)),
                .i_xattr_icount = htole16(xattr_icount(item)),
                .i_mode = htole16((uint16_t)item->inode->mode),
                .i_nlink = htole16((uint16_t)item->nlink),
                .i_size = htole32((uint32_t)item->size),
                .i_u = htole32(inode_union(image, item)),
                .i_ino = htole32((uint32_t)erofs_item_nid(item)),
                .i_uid = htole16((uint16_t)item->inode->uid),
                .i_gid = htole16((uint16_t)item->inode->gid),
        };

        memcpy(ret, &inode, sizeof(inode));
}

static void encode_extended(const struct erofs_image *image, const struct erofs_item *item,
                            uint8_t *ret)
{
        struct erofs_inode_extended inode = {
                .i_format = htole16((uint16_t)(item->layout << EROFS_FORMAT_LAYOUT_SHIFT |
                                               EROFS_FORMAT_EXTENDED)),
                .i_xattr_icount = htole16(xattr_icount(item)),
                .i_mode = htole16((uint16_t)item->inode->mode),
                .i_size = htole64(item->size),
                .i_u = htole32(inode_union(image, item)),
                .i_ino = htole32((uint32_t)erofs_item_nid(item)),
                .i_uid = htole32(item->inode->uid),
                .i_gid = htole32(item->inode->gid),
                .i_mtime = htole64(item->inode->mtime ?: image->build_time),
                .i_nlink = htole32(item->nlink),
        };

        memcpy(ret, &inode, sizeof(inode));
}

/* The inode, what follows it, and its blocks in the zone. */
static void encode_item(const struct erofs_image *image, const struct erofs_item *item)
{
        uint8_t *inode = image->zone + item->position, *xattrs = inode + item->inode_size,
                *tail = xattrs + item->xattr_size,
                *blocks = image->zone + (uint64_t)item->block * EROFS_BLOCK_SIZE;

        if (item->inode_size == sizeof(struct erofs_inode_compact))
                encode_compact(image, item, inode);
        else
                encode_extended(image, item, inode);
        if (item->xattr_size > 0)
                erofs_xattr_encode(item->inode, xattrs);
        if (item->layout == EROFS_COMPRESSED_COMPACT)
                erofs_map_encode(image, item, tail);
        if (S_ISDIR(item->inode->mode))
                erofs_directory_encode(image, item, blocks, tail);
        if (S_ISLNK(item->inode->mode))
                memcpy(item->layout == EROFS_FLAT_INLINE ? tail : blocks, item->inode->target,
                       item->size);
}

/* Aligned for direct I/O. */
int erofs_zone_make(struct erofs_image *image, struct error *err)
{
        size_t size;

        if (!image->placed)
                erofs_place_zone(image);
        if (image->end_block > UINT32_MAX)
                return error_set(err, -EFBIG, "EROFS ends at 16 TiB");
        size = image->zone_blocks * EROFS_BLOCK_SIZE;
        image->zone = aligned_alloc(IO_DIRECT_ALIGN, size);
        if (!image->zone)
                return error_oom(err);
        memset(image->zone, 0, size);
        for (size_t i = 0; i < image->n_items; i++)
                encode_item(image, &image->items[i]);
        return 0;
}

/* ---- superblock ---- */

/* The description of the image's algorithm; returns its bit. */
static uint16_t encode_algorithm(const struct erofs_image *image, uint8_t *ret)
{
        if (image->codec.kind == CODEC_ZSTD) {
                struct erofs_zstd_config zstd = {
                        .length = htole16(sizeof(zstd) - sizeof(zstd.length)),
                        .window_log = (uint8_t)(__builtin_ctz(image->piece_size) - 10),
                };

                memcpy(ret, &zstd, sizeof(zstd));
                return 1 << EROFS_ALGORITHM_ZSTD;
        }
        struct erofs_lz4_config lz4 = {
                .length = htole16(sizeof(lz4) - sizeof(lz4.length)),
                .max_pcluster_blocks = htole16((uint16_t)(image->piece_size / EROFS_BLOCK_SIZE)),
        };

        memcpy(ret, &lz4, sizeof(lz4));
        return 1 << EROFS_ALGORITHM_LZ4;
}

void erofs_superblock_encode(const struct erofs_image *image, uint8_t *block)
{
        struct erofs_superblock sb = {
                .magic = htole32(EROFS_MAGIC),
                .feature_compat = htole32(EROFS_COMPAT_CHECKSUM | EROFS_COMPAT_MTIME),
                .blkszbits = EROFS_BLOCK_BITS,
                .root_nid = htole16((uint16_t)erofs_item_nid(&image->items[0])),
                .inos = htole64(image->n_items),
                .build_time = htole64(image->build_time),
                .blocks = htole32((uint32_t)image->end_block),
                .meta_blkaddr = htole32((uint32_t)image->zone_block),
        };
        uint8_t *start = block + EROFS_SUPER_OFFSET;

        memcpy(sb.uuid, image->uuid.bytes, sizeof(sb.uuid));
        memcpy(sb.volume_name, image->label, sizeof(sb.volume_name));
        if (image->codec.kind != CODEC_NONE) {
                sb.available_compr_algs = htole16(encode_algorithm(image, start + sizeof(sb)));
                sb.feature_incompat =
                        htole32(EROFS_INCOMPAT_ZERO_PADDING | EROFS_INCOMPAT_COMPR_CFGS);
        }
        memcpy(start, &sb, sizeof(sb));
        sb.checksum = htole32(crc32c(start, EROFS_BLOCK_SIZE - EROFS_SUPER_OFFSET));
        memcpy(start, &sb, sizeof(sb));
}
