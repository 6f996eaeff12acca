/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file, or slot, holds the superblock in its first block, then the tree's levels from the top
 * down, so its size follows from the data's. Checking is libcryptsetup's, on regular files: no
 * device, no root. It explains failures only to a log callback; the last line it says there becomes
 * the error's message. */

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <libcryptsetup.h>

#include "io.h"
#include "verity.h"

enum {
        VERITY_LOG_MAX = 512,
        VERITY_VERSION = 1, /* of the format: current, not Chrome OS's */
};

uint64_t verity_tree_size(uint64_t data_size)
{
        struct hash_tree_shape shape;

        return hash_tree_shape(ROUND_UP(data_size, BLOCK_SIZE), &shape) < 0 ? BLOCK_SIZE
                                                                            : shape.size;
}

/* ---- writing ---- */

struct verity_superblock {
        uint8_t signature[8];
        uint32_t version, hash_type;
        uint8_t uuid[16];
        char algorithm[32];
        uint32_t data_block_size, hash_block_size;
        uint64_t data_blocks;
        uint16_t salt_size;
        uint8_t padding1[6];
        uint8_t salt[256];
        uint8_t padding2[168];
} _packed_;
static_assert(sizeof(struct verity_superblock) == 512, "verity superblock");

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
        uint64_t size = level->count * SHA256_SIZE, whole = size / BLOCK_SIZE;
        uint64_t blocks = DIV_ROUND_UP(size, BLOCK_SIZE);
        uint8_t last[BLOCK_SIZE] = {};
        int r = 0;

        if (fd >= 0)
                r = io_pwrite(fd, level->items, size, offset, err);
        if (r >= 0)
                r = block_digests_init(ret_above, blocks, err);
        if (r < 0)
                return r;
        block_digests_set(ret_above, 0, level->items, whole);
        if (whole < blocks) {
                memcpy(last, &level->items[whole * DIGESTS_PER_BLOCK], size % BLOCK_SIZE);
                block_digests_set(ret_above, whole, last, 1);
        }
        return 0;
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

/* ---- checking ---- */

struct session {
        struct crypt_device *device;
        char log[VERITY_LOG_MAX];
};

static void session_done(struct session *s)
{
        crypt_free(s->device);
        s->device = NULL;
}

/* Keeps the last error libcryptsetup tells, without its line end. */
static void keep_log(int level, const char *message, void *userdata)
{
        struct session *s = userdata;

        if (level != CRYPT_LOG_ERROR)
                return;
        snprintf(s->log, sizeof(s->log), "%s", message);
        s->log[strcspn(s->log, "\n")] = '\0';
}

static int session_error(const struct session *s, int code, const char *what, struct error *err)
{
        if (s->log[0])
                return error_set(err, code, "%s: %s", what, s->log);
        return error_code(err, code, "%s", what);
}

/* Before there is a session, libcryptsetup would tell stderr what is wrong with the paths: so they
 * are checked here. */
static int session_open(struct session *s, const char *data_path, const char *tree_path,
                        struct error *err)
{
        const char *const paths[] = { data_path, tree_path };
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                if (access(paths[i], R_OK) < 0)
                        return error_errno(err, "%s", paths[i]);
        r = crypt_init_data_device(&s->device, tree_path, data_path);
        if (r < 0)
                return error_code(err, r, "%s", tree_path);
        crypt_set_log_callback(s->device, keep_log, s);
        return 0;
}

static int check_parameters(struct session *s, struct error *err)
{
        struct crypt_params_verity found = {};
        int r = crypt_get_verity_info(s->device, &found);

        if (r < 0)
                return session_error(s, r, "superblock", err);
        if (!streq(found.hash_name, "sha256") || found.hash_type != VERITY_VERSION ||
            found.data_block_size != BLOCK_SIZE || found.hash_block_size != BLOCK_SIZE ||
            found.salt_size != 0)
                return error_set(err, -EBADMSG, "superblock: not sha256 4096/4096 without salt");
        return 0;
}

static int verify_session(struct session *s, const char *data_path, const char *tree_path,
                          const struct sha256 *root_hash, struct error *err)
{
        struct crypt_params_verity params = {
                .data_device = data_path,
                .flags = CRYPT_VERITY_CHECK_HASH,
        };
        int r = session_open(s, data_path, tree_path, err);

        if (r < 0)
                return r;
        r = crypt_load(s->device, CRYPT_VERITY, &params);
        if (r < 0)
                return session_error(s, r, "superblock", err);
        r = check_parameters(s, err);
        if (r < 0)
                return r;
        /* Without a name nothing is activated: the blocks are checked here, in this process. */
        r = crypt_activate_by_volume_key(s->device, NULL, (const char *)root_hash->bytes,
                                         SHA256_SIZE, CRYPT_ACTIVATE_READONLY);
        return r < 0 ? session_error(s, r, "blocks", err) : 0;
}

int verity_verify(const char *data_path, const char *tree_path, const struct sha256 *root_hash,
                  struct error *err)
{
        _cleanup_(session_done) struct session s = {};

        return error_prefix(err, verify_session(&s, data_path, tree_path, root_hash, err),
                            "verity: %s", data_path);
}
