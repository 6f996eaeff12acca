/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hash trees against the definition (computed here, level by level) and against veritysetup; every
 * kind of damage is found. */

#include "test.h"

#include "process.h"
#include "verity.h"

enum { BLOCK = 4096 };

static const struct uuid uuid = { "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f" };

struct fixture {
        char *directory, *data, *tree;
        uint64_t size;
        struct sha256 root_hash;
};

static void write_data(const struct fixture *f)
{
        _cleanup_close_ int fd = open(f->data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        struct error err = {};

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)f->size), 0);
        for (uint64_t i = 0; i < f->size / BLOCK; i += 3) /* two of three blocks are zeros */
                assert_ok(io_pwrite(fd, &i, sizeof(i), i * BLOCK + i % 4000, &err), &err);
}

/* The tree over the digests of the file's blocks, into a file. */
static void write_tree(const struct fixture *f, struct sha256 *ret_root_hash)
{
        _cleanup_close_ int fd = open(f->tree, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        _cleanup_block_digests_ struct block_digests leaves = {};
        _cleanup_free_ char *data = NULL;
        struct sha256 again;
        struct error err = {};

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)verity_tree_size(f->size)), 0);
        assert_ok(file_read(AT_FDCWD, f->data, GIB, &data, NULL, &err), &err);
        assert_ok(block_digests_init(&leaves, f->size / BLOCK, &err), &err);
        block_digests_set(&leaves, 0, data, leaves.count);
        assert_ok(verity_write(&leaves, &uuid, fd, 0, ret_root_hash, &err), &err);
        assert_ok(verity_write(&leaves, &uuid, -1, 0, &again, &err), &err);
        assert_true(sha256_equal(&again, ret_root_hash));
}

static void fixture_init(struct fixture *f, uint64_t size)
{
        *f = (struct fixture){ .directory = test_mkdir(), .size = size };
        assert_true(asprintf(&f->data, "%s/data", f->directory) > 0);
        assert_true(asprintf(&f->tree, "%s/tree", f->directory) > 0);
        write_data(f);
        write_tree(f, &f->root_hash);
}

static void fixture_done(struct fixture *f)
{
        test_rmdir(f->directory);
        free(f->data);
        free(f->tree);
}

/* Judged as a file each. */
static int verify(const char *data, const char *tree, const struct sha256 *root_hash,
                  struct error *err)
{
        _cleanup_close_ int data_fd = open(data, O_RDONLY | O_CLOEXEC),
                            tree_fd = open(tree, O_RDONLY | O_CLOEXEC);
        _cleanup_block_digests_ struct block_digests leaves = {};
        int r = verity_check_tree(tree_fd, 0, GIB, root_hash, &leaves, err);

        return r < 0 ? r : verity_check_blocks(data_fd, 0, &leaves, err);
}

/* Hashes all blocks of `data` into a new level, padded to whole blocks. */
static uint8_t *hash_level(const uint8_t *data, uint64_t blocks, uint64_t *ret_blocks)
{
        uint8_t *level;

        *ret_blocks = DIV_ROUND_UP(blocks * SHA256_SIZE, BLOCK);
        level = calloc(*ret_blocks, BLOCK);
        assert_non_null(level);
        for (uint64_t i = 0; i < blocks; i++)
                sha256_of(data + i * BLOCK, BLOCK, (struct sha256 *)(level + i * SHA256_SIZE));
        return level;
}

/* The tree by its definition: the levels from the leaves up stand in the file from the end back;
 * the root hash is that of the single block at the top. One block of data has no level at all. */
static void compare_tree(const struct fixture *f, const uint8_t *data, const uint8_t *tree,
                         uint64_t tree_size)
{
        uint64_t blocks = f->size / BLOCK, end = tree_size;
        _cleanup_free_ uint8_t *level = NULL;
        struct sha256 root_hash;

        while (blocks > 1) {
                uint8_t *above = hash_level(level ?: data, blocks, &blocks);

                free(level);
                level = above;
                end -= blocks * BLOCK;
                assert_memory_equal(tree + end, level, blocks * BLOCK);
        }
        assert_int_equal(end, BLOCK); /* only the superblock is left */
        sha256_of(level ?: data, BLOCK, &root_hash);
        assert_memory_equal(&root_hash, &f->root_hash, sizeof(root_hash));
        assert_memory_equal(tree, "verity\0\0\1\0\0\0\1\0\0\0", 16);
        assert_memory_equal(tree + 16, &uuid, sizeof(uuid));
}

static void test_tree(void **state _unused_)
{
        /* One block; a full leaf block and one more; three levels. */
        static const uint64_t blocks[] = { 1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1, 20000 };

        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
                _cleanup_free_ char *data = NULL, *tree = NULL;
                struct error err = {};
                struct fixture f;
                size_t size;

                fixture_init(&f, blocks[i] * BLOCK);
                assert_ok(file_read(AT_FDCWD, f.data, GIB, &data, NULL, &err), &err);
                assert_ok(file_read(AT_FDCWD, f.tree, GIB, &tree, &size, &err), &err);
                assert_int_equal(size, verity_tree_size(f.size));
                compare_tree(&f, (uint8_t *)data, (uint8_t *)tree, size);
                assert_ok(verify(f.data, f.tree, &f.root_hash, &err), &err);
                fixture_done(&f);
        }
}

/* veritysetup verifies our tree, and formats the same bytes. */
static void test_veritysetup(void **state _unused_)
{
        static const uint64_t blocks[] = { 1, 2, 129, 1000, 128 * 128 + 1 };

        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
                _cleanup_free_ char *theirs = NULL, *option = NULL, *a = NULL, *b = NULL;
                char hex[SHA256_HEX_SIZE], text[UUID_TEXT_SIZE];
                size_t size_a, size_b;
                struct error err = {};
                struct fixture f;

                fixture_init(&f, blocks[i] * BLOCK);
                assert_ok(spawn((const char *const[]){ "veritysetup", "verify", f.data, f.tree,
                                                       sha256_hex(&f.root_hash, hex), NULL },
                                NULL, NULL, &err),
                          &err);
                assert_true(asprintf(&theirs, "%s/theirs", f.directory) > 0);
                assert_true(asprintf(&option, "--uuid=%s", uuid_text(&uuid, text)) > 0);
                assert_ok(spawn((const char *const[]){ "veritysetup", "format", "--salt=-", option,
                                                       f.data, theirs, NULL },
                                NULL, NULL, &err),
                          &err);
                assert_ok(file_read(AT_FDCWD, f.tree, GIB, &a, &size_a, &err), &err);
                assert_ok(file_read(AT_FDCWD, theirs, GIB, &b, &size_b, &err), &err);
                assert_int_equal(size_a, size_b);
                assert_memory_equal(a, b, size_a);
                fixture_done(&f);
        }
}

static void test_size(void **state _unused_)
{
        assert_int_equal(verity_tree_size(1 * BLOCK), 1 * BLOCK);
        assert_int_equal(verity_tree_size(2 * BLOCK), 2 * BLOCK);
        assert_int_equal(verity_tree_size(128 * BLOCK), 2 * BLOCK);
        assert_int_equal(verity_tree_size(129 * BLOCK), 4 * BLOCK);
        assert_int_equal(verity_tree_size(1 * GIB), (1 + 2048 + 16 + 1) * BLOCK);
}

static void flip_bit(const char *path, uint64_t offset)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
        struct error err = {};
        uint8_t byte;

        assert_true(fd >= 0);
        assert_ok(io_pread(fd, &byte, 1, offset, NULL, &err), &err);
        byte ^= 0x10;
        assert_ok(io_pwrite(fd, &byte, 1, offset, &err), &err);
}

/* One bit anywhere in the data or in the used part of the tree. */
static void test_damage(void **state _unused_)
{
        struct error err = {};
        struct fixture f;

        fixture_init(&f, 300 * BLOCK);
        for (uint64_t offset = 5; offset < f.size; offset += 30 * BLOCK + 77) {
                flip_bit(f.data, offset);
                assert_true(verify(f.data, f.tree, &f.root_hash, &err) < 0);
                assert_non_null(strstr(err.message, "block "));
                flip_bit(f.data, offset);
        }
        for (uint64_t i = 0; i < 300; i += 29) { /* leaves begin in the tree's third block */
                flip_bit(f.tree, 2 * BLOCK + i * SHA256_SIZE + i % SHA256_SIZE);
                assert_true(verify(f.data, f.tree, &f.root_hash, &err) < 0);
                flip_bit(f.tree, 2 * BLOCK + i * SHA256_SIZE + i % SHA256_SIZE);
        }
        assert_ok(verify(f.data, f.tree, &f.root_hash, &err), &err);
        f.root_hash.bytes[31] ^= 1;
        assert_true(verify(f.data, f.tree, &f.root_hash, &err) < 0);
        fixture_done(&f);
}

/* A tree of other parameters is refused even when it is consistent. */
static void test_other_parameters(void **state _unused_)
{
        char hex[SHA256_HEX_SIZE] = "";
        struct error err = {};
        struct sha256 root_hash;
        _cleanup_free_ char *salt = NULL, *output = NULL;
        const char *line;
        struct fixture f;

        fixture_init(&f, 10 * BLOCK);
        assert_true(asprintf(&salt, "%s/salted", f.directory) > 0);
        assert_ok(spawn((const char *const[]){ "veritysetup", "format", "--salt=0102", f.data, salt,
                                               NULL },
                        NULL, &output, &err),
                  &err);
        line = strstr(output, "Root hash:");
        assert_non_null(line);
        assert_int_equal(sscanf(line, "Root hash: %64s", hex), 1);
        assert_int_equal(hex_decode(hex, root_hash.bytes, sizeof(root_hash)), 0);
        assert_int_equal(verify(f.data, salt, &root_hash, &err), -EBADMSG);
        assert_non_null(strstr(err.message, "without salt"));
        fixture_done(&f);
}

static void test_refused(void **state _unused_)
{
        struct block_digests none = {};
        struct sha256 root_hash;
        struct error err = {};
        struct fixture f;

        assert_int_equal(verity_write(&none, &uuid, -1, 0, &root_hash, &err), -EINVAL);
        fixture_init(&f, 2 * BLOCK);
        assert_int_equal(unlink(f.tree), 0);
        assert_true(verify(f.data, f.tree, &root_hash, &err) < 0);
        fixture_done(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tree),    cmocka_unit_test(test_veritysetup),
                cmocka_unit_test(test_size),    cmocka_unit_test(test_damage),
                cmocka_unit_test(test_refused), cmocka_unit_test(test_other_parameters),
        };

        return test_run(tests);
}
