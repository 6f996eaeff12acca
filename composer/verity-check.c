/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Judging a hash tree and what it is over. The tree is computed again from its own leaves and
 * compared byte for byte, so that what is wrong in it is told from what is wrong in the image. */

#include <endian.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "io.h"
#include "verity-superblock.h"
#include "verity.h"

static int read_superblock(int fd, uint64_t offset, uint64_t *ret_data_size, struct error *err)
{
        struct verity_superblock sb = {};
        int r = io_pread(fd, &sb, sizeof(sb), offset, NULL, err);

        if (r < 0)
                return r;
        if (memcmp(sb.signature, "verity\0", sizeof(sb.signature)) != 0)
                return error_set(err, -EBADMSG, "no superblock");
        if (le32toh(sb.version) != VERITY_VERSION || le32toh(sb.hash_type) != VERITY_VERSION ||
            strncmp(sb.algorithm, "sha256", sizeof(sb.algorithm)) != 0 ||
            le32toh(sb.data_block_size) != BLOCK_SIZE ||
            le32toh(sb.hash_block_size) != BLOCK_SIZE || sb.salt_size != 0 ||
            le64toh(sb.data_blocks) > INT64_MAX / BLOCK_SIZE)
                return error_set(err, -EBADMSG, "superblock: not sha256 4096/4096 without salt");
        *ret_data_size = le64toh(sb.data_blocks) * BLOCK_SIZE;
        return 0;
}

static int read_shape(int fd, uint64_t offset, uint64_t room, struct hash_tree_shape *ret,
                      struct error *err)
{
        uint64_t data_size = 0;
        int r = read_superblock(fd, offset, &data_size, err);

        if (r >= 0 && (hash_tree_shape(data_size, ret) < 0 || ret->size > room))
                r = error_set(err, -EBADMSG, "the superblock's %" PRIu64 " bytes do not fit",
                              data_size);
        return r;
}

static int read_tree(int fd, uint64_t offset, uint64_t size, uint8_t **ret, struct error *err)
{
        _cleanup_free_ uint8_t *tree = malloc(size);
        size_t n;
        int r = tree ? io_pread(fd, tree, size, offset, &n, err) : error_oom(err);

        if (r >= 0 && n < size)
                r = error_set(err, -EBADMSG, "it ends early");
        if (r >= 0)
                *ret = TAKE_PTR(tree);
        return r;
}

/* All of it, as it must be above these leaves. */
static int compute_tree(const struct block_digests *leaves, uint64_t size, uint8_t **ret,
                        struct sha256 *ret_root, struct error *err)
{
        _cleanup_close_ int fd = memfd_create("tree", MFD_CLOEXEC);
        int r;

        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
                return error_errno(err, "memory");
        r = verity_write(leaves, &(struct uuid){}, fd, 0, ret_root, err);
        return r < 0 ? r : read_tree(fd, 0, size, ret, err);
}

static int compare(const struct block_digests *leaves, const uint8_t *tree, uint64_t size,
                   const struct sha256 *root_hash, struct error *err)
{
        _cleanup_free_ uint8_t *wanted = NULL;
        struct sha256 root;
        int r = compute_tree(leaves, size, &wanted, &root, err);

        if (r < 0)
                return r;
        for (uint64_t at = BLOCK_SIZE; at < size; at += BLOCK_SIZE)
                if (memcmp(tree + at, wanted + at, BLOCK_SIZE) != 0)
                        return error_set(err, -EBADMSG, "its block %" PRIu64 " is wrong",
                                         at / BLOCK_SIZE);
        return sha256_equal(&root, root_hash)
                       ? 0
                       : error_set(err, -EBADMSG, "it does not come to the root hash");
}

int verity_check_tree(int fd, uint64_t offset, uint64_t room, const struct sha256 *root_hash,
                      struct block_digests *ret_leaves, struct error *err)
{
        _cleanup_block_digests_ struct block_digests leaves = {};
        _cleanup_free_ uint8_t *tree = NULL;
        struct hash_tree_shape shape;
        int r = read_shape(fd, offset, room, &shape, err);

        if (r >= 0)
                r = read_tree(fd, offset, shape.size, &tree, err);
        if (r >= 0)
                r = block_digests_init(&leaves, shape.data_blocks, err);
        if (r < 0)
                return r;
        /* That of an only block is the root hash itself. */
        memcpy(leaves.items, shape.levels > 0 ? tree + shape.level[0].offset : root_hash->bytes,
               leaves.count * SHA256_SIZE);
        r = compare(&leaves, tree, shape.size, root_hash, err);
        if (r >= 0)
                *ret_leaves = TAKE_STRUCT(leaves);
        return r;
}

int verity_check_blocks(int fd, uint64_t offset, const struct block_digests *leaves,
                        struct error *err)
{
        _cleanup_block_digests_ struct block_digests found = {};
        int r = block_digests_read(&found, fd, offset, leaves->count * BLOCK_SIZE, err);

        for (uint64_t i = 0; r >= 0 && i < leaves->count; i++)
                if (!sha256_equal(&found.items[i], &leaves->items[i]))
                        r = error_set(err, -EBADMSG, "block %" PRIu64 " is wrong", i);
        return r;
}
