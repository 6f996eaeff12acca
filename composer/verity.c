/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file, or slot, holds the superblock in its first block, then the tree's levels from the top
 * down, so its size follows from the data's. */

#include <endian.h>

#include "io.h"
#include "verity-superblock.h"
#include "verity.h"

uint64_t verity_tree_size(uint64_t data_size)
{
        struct hash_tree_shape shape;

        return hash_tree_shape(ROUND_UP(data_size, BLOCK_SIZE), &shape) < 0 ? BLOCK_SIZE
                                                                            : shape.size;
}

static int write_superblock(const struct block_digests *leaves, const struct uuid *uuid, int fd,
                            uint64_t offset, struct error *err)
{
        struct verity_superblock sb = {
                .signature = "verity\0",
                .version = htole32(VERITY_VERSION),
                .hash_type = htole32(VERITY_VERSION),
                .algorithm = "sha256",
                .data_block_size = htole32(BLOCK_SIZE),
                .hash_block_size = htole32(BLOCK_SIZE),
                .data_blocks = htole64(leaves->count),
        };

        memcpy(sb.uuid, uuid->bytes, sizeof(sb.uuid));
        return io_pwrite(fd, &sb, sizeof(sb), offset, err);
}

/* Writes one level (fd -1: nowhere) and makes of it the level above: the digests of its blocks. */
static int write_level(const struct block_digests *level, int fd, uint64_t offset,
                       struct block_digests *ret_above, struct error *err)
{
        uint64_t size = level->count * SHA256_SIZE;
        int r = 0;

        if (fd >= 0)
                r = io_pwrite(fd, level->items, size, offset, err);
        return r < 0 ? r : block_digests_of(ret_above, level->items, size, err);
}

int verity_write(const struct block_digests *leaves, const struct uuid *uuid, int fd,
                 uint64_t offset, struct sha256 *ret_root_hash, struct error *err)
{
        _cleanup_block_digests_ struct block_digests level = {};
        struct hash_tree_shape shape;
        int r;

        if (hash_tree_shape(leaves->count * BLOCK_SIZE, &shape) < 0)
                return error_set(err, -EINVAL, "verity: an image without blocks");
        r = fd < 0 ? 0 : write_superblock(leaves, uuid, fd, offset, err);
        if (r < 0)
                return error_prefix(err, r, "verity");
        for (size_t i = 0; i < shape.levels; i++) {
                struct block_digests above;

                r = write_level(i > 0 ? &level : leaves, fd, offset + shape.level[i].offset, &above,
                                err);
                if (r < 0)
                        return error_prefix(err, r, "verity");
                block_digests_done(&level);
                level = above;
        }
        *ret_root_hash = level.items ? level.items[0] : leaves->items[0];
        return 0;
}
