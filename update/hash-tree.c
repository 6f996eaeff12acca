/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See hash-tree.h; base/blocks.h has the shape. A tree is checked from the root down: a level is
 * believed once each of its blocks has the digest that the level above says, so only two levels are
 * looked at at a time, in chunks that have all their digests in one block above. Threads take one
 * chunk each.
 *
 * The superblock is what nothing signs: each of its fields must be what our images have, and what
 * is no field must be zeros; of its 4096 bytes only the UUID is free. Format: cryptsetup's
 * lib/verity/verity.h. */

#include <assert.h>
#include <endian.h>

#include "hash-tree.h"
#include "io.h"
#include "parallel.h"
#include "verity-superblock.h"

/* All of the block. */
struct superblock {
        struct verity_superblock fields;
        uint8_t padding[BLOCK_SIZE - sizeof(struct verity_superblock)];
};
static_assert(sizeof(struct superblock) == BLOCK_SIZE, "no hole");

static int read_bytes(const struct hash_tree *t, uint64_t offset, void *data, size_t size,
                      struct error *err)
{
        size_t got;
        int r = io_pread(t->fd, data, size, t->offset + offset, &got, err);

        if (r >= 0 && got < size)
                r = error_set(err, -EBADMSG, "ends early");
        return r;
}

/* ---- checking ---- */

static int check_superblock(const struct hash_tree *t, struct error *err)
{
        struct superblock found, wanted = {
                .fields = {
                        .signature = "verity\0",
                        .version = htole32(VERITY_VERSION),
                        .hash_type = htole32(VERITY_VERSION),
                        .algorithm = "sha256",
                        .data_block_size = htole32(BLOCK_SIZE),
                        .hash_block_size = htole32(BLOCK_SIZE),
                        .data_blocks = htole64(t->shape.data_blocks),
                },
        };
        int r = read_bytes(t, 0, &found, sizeof(found), err);

        if (r < 0)
                return r;
        memcpy(wanted.fields.uuid, found.fields.uuid, sizeof(wanted.fields.uuid));
        if (memcmp(&found, &wanted, sizeof(wanted)) != 0)
                return error_set(err, -EBADMSG,
                                 "superblock: not of a tree over %ju blocks "
                                 "(sha256, 4096/4096, no salt)",
                                 (uintmax_t)t->shape.data_blocks);
        return 0;
}

/* A level, and the one above, which is believed. */
struct level_check {
        const struct hash_tree *tree;
        const struct hash_tree_level *level, *above; /* above: NULL at the top */
};

/* Compares the blocks of a level that one block above has the digests of. */
static int check_chunk(void *context, size_t index, struct error *err)
{
        const struct level_check *c = context;
        uint64_t first = (uint64_t)index * DIGESTS_PER_BLOCK;
        size_t count = (size_t)MIN(c->level->blocks - first, (uint64_t)DIGESTS_PER_BLOCK);
        struct sha256 found[DIGESTS_PER_BLOCK], wanted[DIGESTS_PER_BLOCK];
        uint64_t offset = c->level->offset + first * BLOCK_SIZE;
        _cleanup_free_ uint8_t *blocks = malloc(count * BLOCK_SIZE);
        int r;

        if (!blocks)
                return error_oom(err);
        r = read_bytes(c->tree, offset, blocks, count * BLOCK_SIZE, err);
        if (r >= 0 && c->above)
                r = read_bytes(c->tree, c->above->offset + (uint64_t)index * BLOCK_SIZE, wanted,
                               sizeof(wanted), err);
        if (r < 0)
                return r;
        if (!c->above)
                wanted[0] = c->tree->root_hash;
        blocks_hash(blocks, count, found);
        for (size_t i = 0; i < count; i++)
                if (!sha256_equal(&found[i], &wanted[i]))
                        return error_set(err, -EBADMSG, "wrong bytes in the block at %ju",
                                         (uintmax_t)(offset + i * BLOCK_SIZE));
        return 0;
}

static int check_levels(const struct hash_tree *t, struct error *err)
{
        int r = 0;

        for (size_t i = t->shape.levels; r >= 0 && i-- > 0;) {
                struct level_check c = {
                        .tree = t,
                        .level = &t->shape.level[i],
                        .above = i + 1 < t->shape.levels ? &t->shape.level[i + 1] : NULL,
                };

                r = parallel_for(DIV_ROUND_UP(c.level->blocks, DIGESTS_PER_BLOCK), 0, check_chunk,
                                 &c, err);
        }
        return r;
}

int hash_tree_trust(int fd, uint64_t offset, uint64_t data_size, struct hash_tree *ret,
                    struct error *err)
{
        struct hash_tree t = { .fd = fd, .offset = offset };
        int r = hash_tree_shape(data_size, &t.shape);

        if (r < 0)
                return error_set(err, r, "hash tree: no image has %ju bytes", (uintmax_t)data_size);
        *ret = t;
        return 0;
}

int hash_tree_open(int fd, uint64_t offset, uint64_t data_size, const struct sha256 *root_hash,
                   struct hash_tree *ret, struct error *err)
{
        struct hash_tree t;
        int r = hash_tree_trust(fd, offset, data_size, &t, err);

        if (r < 0)
                return r;
        t.root_hash = *root_hash;
        r = check_superblock(&t, err);
        if (r >= 0)
                r = check_levels(&t, err);
        if (r < 0)
                return error_prefix(err, r, "hash tree");
        *ret = t;
        return 0;
}

int hash_tree_leaves(const struct hash_tree *t, uint64_t first, uint64_t count, struct sha256 *ret,
                     struct error *err)
{
        assert(count <= t->shape.data_blocks && first <= t->shape.data_blocks - count);
        if (t->shape.levels > 0)
                return error_prefix(err,
                                    read_bytes(t, t->shape.level[0].offset + first * SHA256_SIZE,
                                               ret, count * SHA256_SIZE, err),
                                    "hash tree");
        if (count > 0) /* an image of one block: its digest is the root hash */
                ret[0] = t->root_hash;
        return 0;
}

/* ---- the root hash of leaves in memory ---- */

int hash_tree_root(const struct sha256 *leaves, uint64_t count, struct sha256 *ret,
                   struct error *err)
{
        uint64_t size = ROUND_UP(MAX(count, 1ULL), DIGESTS_PER_BLOCK);
        _cleanup_free_ struct sha256 *level = calloc(size, sizeof(*level));

        if (!level)
                return error_oom(err);
        if (count == 0)
                return error_set(err, -EINVAL, "hash tree: an image without blocks");
        memcpy(level, leaves, count * sizeof(*level));
        while (count > 1) {
                uint64_t blocks = DIV_ROUND_UP(count, DIGESTS_PER_BLOCK), end;

                memset(&level[count], 0, (blocks * DIGESTS_PER_BLOCK - count) * sizeof(*level));
                /* A block's digest lands before the block: nothing that is still needed. */
                for (end = 0; end < blocks; end++) {
                        struct sha256 digest;

                        blocks_hash(&level[end * DIGESTS_PER_BLOCK], 1, &digest);
                        level[end] = digest;
                }
                count = blocks;
        }
        *ret = level[0];
        return 0;
}
