/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* dm-verity trees through libcryptsetup, on regular files: no device, no root. The file holds
 * libcryptsetup's superblock in its first block, then the tree's levels from the top down, so its
 * size follows from the data's. libcryptsetup explains failures only to a log callback; the last
 * line it says there becomes the error's message. */

#include <fcntl.h>
#include <libcryptsetup.h>

#include "io.h"
#include "verity.h"

enum {
        VERITY_BLOCK = 4096,
        VERITY_DIGESTS = VERITY_BLOCK / SHA256_SIZE, /* in one block of the tree */
        VERITY_LOG_MAX = 512,
        VERITY_VERSION = 1, /* of the format: current, not Chrome OS's */
};

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

uint64_t verity_tree_size(uint64_t data_size)
{
        uint64_t blocks = 1 /* superblock */, level = DIV_ROUND_UP(data_size, VERITY_BLOCK);

        while (level > 1) {
                level = DIV_ROUND_UP(level, VERITY_DIGESTS);
                blocks += level;
        }
        return blocks * VERITY_BLOCK;
}

/* Creates the tree's file at its final size. */
static int create_tree_file(const char *path, uint64_t size, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
                return error_errno(err, "%s", path);
        return 0;
}

static int format_device(struct session *s, const char *data_path, uint64_t data_size,
                         const struct uuid *uuid, struct error *err)
{
        struct crypt_params_verity params = {
                .hash_name = "sha256",
                .data_device = data_path,
                .hash_type = VERITY_VERSION,
                .data_block_size = VERITY_BLOCK,
                .hash_block_size = VERITY_BLOCK,
                .data_size = data_size / VERITY_BLOCK,
                .flags = CRYPT_VERITY_CREATE_HASH,
        };
        char text[UUID_TEXT_SIZE];
        int r = crypt_format(s->device, CRYPT_VERITY, NULL, NULL, uuid_text(uuid, text), NULL, 0,
                             &params);

        return r < 0 ? session_error(s, r, "format", err) : 0;
}

static int read_root_hash(struct session *s, struct sha256 *ret, struct error *err)
{
        size_t size = SHA256_SIZE;
        int r = crypt_volume_key_get(s->device, CRYPT_ANY_SLOT, (char *)ret->bytes, &size, NULL, 0);

        if (r < 0)
                return session_error(s, r, "root hash", err);
        return size == SHA256_SIZE ? 0 : error_set(err, -EBADMSG, "root hash of %zu bytes", size);
}

static int format_session(struct session *s, const char *data_path, uint64_t data_size,
                          const char *tree_path, const struct uuid *uuid, struct sha256 *ret,
                          struct error *err)
{
        int r = session_open(s, data_path, tree_path, err);

        if (r < 0)
                return r;
        r = format_device(s, data_path, data_size, uuid, err);
        if (r < 0)
                return r;
        return read_root_hash(s, ret, err);
}

int verity_format(const char *data_path, uint64_t data_size, const char *tree_path,
                  const struct uuid *uuid, struct sha256 *ret_root_hash, struct error *err)
{
        _cleanup_(session_done) struct session s = {};
        struct sha256 root_hash;
        int r;

        if (data_size == 0 || data_size % VERITY_BLOCK != 0)
                return error_set(err, -EINVAL, "verity: %s: %llu bytes are not whole blocks",
                                 data_path, (unsigned long long)data_size);
        r = create_tree_file(tree_path, verity_tree_size(data_size), err);
        if (r < 0)
                return error_prefix(err, r, "verity");
        r = format_session(&s, data_path, data_size, tree_path, uuid, &root_hash, err);
        if (r < 0)
                return error_prefix(err, r, "verity");
        *ret_root_hash = root_hash;
        return 0;
}

static int check_parameters(struct session *s, struct error *err)
{
        struct crypt_params_verity found = {};
        int r = crypt_get_verity_info(s->device, &found);

        if (r < 0)
                return session_error(s, r, "superblock", err);
        if (!streq(found.hash_name, "sha256") || found.hash_type != VERITY_VERSION ||
            found.data_block_size != VERITY_BLOCK || found.hash_block_size != VERITY_BLOCK ||
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
