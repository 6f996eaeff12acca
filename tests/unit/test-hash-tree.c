/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The agent's reader of hash trees against the composer's writer, which is compared with
 * veritysetup elsewhere; every damage is found, whatever level it is in; and the index finds what
 * is there. */

#include "test.h"

#include "hash-tree.h"
#include "verity.h"

enum { OFFSET = 3 * BLOCK_SIZE /* of the tree in its file */ };

static const struct uuid uuid = { "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f" };

struct fixture {
        int fd;
        uint64_t blocks;
        struct block_digests leaves;
        struct sha256 root_hash;
};

/* Every seventh block is zeros, every fifth is like the one before it. */
static void make_leaf(uint64_t block, struct sha256 *ret)
{
        if (block % 5 == 4)
                block--;
        if (block % 7 == 0)
                *ret = zero_block_digest;
        else
                sha256_of(&block, sizeof(block), ret);
}

static void fixture_init(struct fixture *f, uint64_t blocks)
{
        char path[] = "/tmp/slipway-test-XXXXXX";
        struct error err = {};

        *f = (struct fixture){ .fd = mkostemp(path, O_CLOEXEC), .blocks = blocks };
        assert_true(f->fd >= 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(ftruncate(f->fd, (off_t)(OFFSET + verity_tree_size(blocks * BLOCK_SIZE))),
                         0);
        assert_ok(block_digests_init(&f->leaves, blocks, &err), &err);
        for (uint64_t i = 0; i < blocks; i++)
                make_leaf(i, &f->leaves.items[i]);
        assert_ok(verity_write(&f->leaves, &uuid, f->fd, OFFSET, &f->root_hash, &err), &err);
}

static void fixture_done(struct fixture *f)
{
        block_digests_done(&f->leaves);
        close(f->fd);
}

static int open_tree(const struct fixture *f, struct hash_tree *ret, struct error *err)
{
        return hash_tree_open(f->fd, OFFSET, f->blocks * BLOCK_SIZE, &f->root_hash, ret, err);
}

/* No level; a full block and one more; two levels; three. */
static const uint64_t sizes[] = { 1, 2, 127, 128, 129, 16383, 16384, 16385, 40000 };

static void test_leaves(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_free_ struct sha256 *found = calloc(sizes[i], sizeof(*found));
                struct error err = {};
                struct sha256 root_hash;
                struct hash_tree t;
                struct fixture f;

                fixture_init(&f, sizes[i]);
                assert_ok(open_tree(&f, &t, &err), &err);
                assert_int_equal(t.shape.size, verity_tree_size(sizes[i] * BLOCK_SIZE));
                assert_ok(hash_tree_leaves(&t, 0, sizes[i], found, &err), &err);
                assert_memory_equal(found, f.leaves.items, sizes[i] * SHA256_SIZE);
                assert_ok(hash_tree_leaves(&t, sizes[i] - 1, 1, found, &err), &err);
                assert_memory_equal(found, &f.leaves.items[sizes[i] - 1], SHA256_SIZE);
                assert_ok(hash_tree_root(f.leaves.items, sizes[i], &root_hash, &err), &err);
                assert_true(sha256_equal(&root_hash, &f.root_hash));
                fixture_done(&f);
        }
}

static void flip_bit(const struct fixture *f, uint64_t offset)
{
        struct error err = {};
        uint8_t byte;

        assert_ok(io_pread(f->fd, &byte, 1, OFFSET + offset, NULL, &err), &err);
        byte ^= 0x20;
        assert_ok(io_pwrite(f->fd, &byte, 1, OFFSET + offset, &err), &err);
}

/* One bit of each block of each level: of digests, and of the padding behind the last one. */
static void test_damage(void **state _unused_)
{
        struct error err = {};
        struct hash_tree t;
        struct fixture f;
        uint64_t size;

        fixture_init(&f, 16385);
        size = verity_tree_size(f.blocks * BLOCK_SIZE);
        for (uint64_t offset = BLOCK_SIZE, i = 0; offset < size; offset += BLOCK_SIZE, i++) {
                uint64_t place = offset + i * 131 % BLOCK_SIZE;
                char text[32];

                flip_bit(&f, place);
                assert_int_equal(open_tree(&f, &t, &err), -EBADMSG);
                /* A block above a damaged one may say it, too. */
                snprintf(text, sizeof(text), "block at %ju", (uintmax_t)offset);
                if (i > 3)
                        assert_non_null(strstr(err.message, text));
                flip_bit(&f, place);
        }
        assert_ok(open_tree(&f, &t, &err), &err);
        fixture_done(&f);
}

/* Every byte of the superblock counts, but for the UUID. */
static void test_superblock(void **state _unused_)
{
        struct error err = {};
        struct hash_tree t;
        struct fixture f;

        fixture_init(&f, 129);
        for (uint64_t i = 0; i < BLOCK_SIZE; i += i < 512 ? 1 : 97) {
                flip_bit(&f, i);
                assert_int_equal(open_tree(&f, &t, &err), i >= 16 && i < 32 ? 0 : -EBADMSG);
                flip_bit(&f, i);
        }
        fixture_done(&f);
}

static void test_refused(void **state _unused_)
{
        struct error err = {};
        struct sha256 other;
        struct hash_tree t;
        struct fixture f;

        fixture_init(&f, 300);
        other = f.root_hash;
        other.bytes[31] ^= 1;
        assert_int_equal(hash_tree_open(f.fd, OFFSET, 300 * BLOCK_SIZE, &other, &t, &err),
                         -EBADMSG);
        assert_int_equal(hash_tree_open(f.fd, OFFSET, 299 * BLOCK_SIZE, &f.root_hash, &t, &err),
                         -EBADMSG);
        assert_int_equal(hash_tree_open(f.fd, OFFSET, 301 * BLOCK_SIZE, &f.root_hash, &t, &err),
                         -EBADMSG);
        assert_int_equal(hash_tree_open(f.fd, OFFSET, 0, &f.root_hash, &t, &err), -EINVAL);
        assert_int_equal(hash_tree_open(f.fd, OFFSET, 4097, &f.root_hash, &t, &err), -EINVAL);
        assert_int_equal(hash_tree_root(NULL, 0, &other, &err), -EINVAL);
        assert_int_equal(ftruncate(f.fd, OFFSET + 2 * BLOCK_SIZE + 1), 0);
        assert_int_equal(open_tree(&f, &t, &err), -EBADMSG);
        assert_non_null(strstr(err.message, "ends early"));
        fixture_done(&f);
}

/* Each block but zeros is found, at the first place that has its content; others are not. */
static void test_index(void **state _unused_)
{
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_(block_index_free_p) struct block_index *index = NULL;
                struct error err = {};
                struct sha256 digest;
                struct hash_tree t;
                struct fixture f;
                uint64_t found;

                fixture_init(&f, sizes[i]);
                assert_ok(hash_tree_trust(f.fd, OFFSET, sizes[i] * BLOCK_SIZE, &t, &err), &err);
                t.root_hash = f.root_hash;
                assert_ok(block_index_new(&t, &index, &err), &err);
                for (uint64_t k = 0; k < sizes[i]; k++) {
                        bool is_zero = sha256_equal(&f.leaves.items[k], &zero_block_digest);

                        assert_int_equal(block_index_find(index, &f.leaves.items[k], &found),
                                         !is_zero);
                        if (!is_zero)
                                assert_int_equal(found, k % 5 == 4 ? k - 1 : k);
                        sha256_of(&k, sizeof(k) - 1, &digest);
                        assert_false(block_index_find(index, &digest, &found));
                }
                fixture_done(&f);
        }
}

/* The fuzzer's corpus, whose files are named after their defects: number of blocks, root hash,
 * tree. */
static void test_corpus(void **state _unused_)
{
        _cleanup_closedir_ DIR *dir = opendir(TEST_DATA_DIR "/hash-tree");
        struct error err = {};
        size_t count = 0;

        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_close_ int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
                struct sha256 root_hash;
                struct hash_tree t;
                uint32_t blocks;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                assert_ok(io_pread(fd, &blocks, sizeof(blocks), 0, NULL, &err), &err);
                assert_ok(io_pread(fd, &root_hash, sizeof(root_hash), 4, NULL, &err), &err);
                r = hash_tree_open(fd, 4 + SHA256_SIZE, (uint64_t)blocks * BLOCK_SIZE, &root_hash,
                                   &t, &err);
                if ((r < 0) != !!startswith(entry->d_name, "should-fail-"))
                        fail_msg("%s: %d", entry->d_name, r);
                count++;
        }
        assert_true(count > 15);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_leaves),  cmocka_unit_test(test_damage),
                cmocka_unit_test(test_refused), cmocka_unit_test(test_superblock),
                cmocka_unit_test(test_index),   cmocka_unit_test(test_corpus),
        };

        return test_run(tests);
}
