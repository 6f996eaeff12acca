/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Digests of blocks and of sparse files that are made of them. */

#include "test.h"

#include "block-digests.h"

static void test_blocks(void **state _unused_)
{
        _cleanup_block_digests_ struct block_digests b = {};
        char data[2 * BLOCK_SIZE] = { [5] = 'x' };
        struct sha256 wanted;
        struct error err = {};

        assert_ok(block_digests_init(&b, 5, &err), &err);
        assert_true(block_digests_zero(&b, 0, 5));
        block_digests_set(&b, 2, data, 2);
        assert_true(block_digests_zero(&b, 0, 2));
        assert_false(block_digests_zero(&b, 0, 3));
        assert_true(block_digests_zero(&b, 3, 2));
        sha256_of(data, BLOCK_SIZE, &wanted);
        assert_true(sha256_equal(&b.items[2], &wanted));
}

static void test_known(void **state _unused_)
{
        _cleanup_block_digests_ struct block_digests b = {};
        const struct known_blocks known = { .offset = 10 * BLOCK_SIZE, .digests = &b };
        struct error err = {};
        uint64_t first = 0;

        assert_ok(block_digests_init(&b, 4, &err), &err);
        assert_true(known_blocks_find(&known, 11 * BLOCK_SIZE, 3 * BLOCK_SIZE, &first));
        assert_int_equal(first, 1);
        assert_false(known_blocks_find(&known, 9 * BLOCK_SIZE, BLOCK_SIZE, &first));
        assert_false(known_blocks_find(&known, 11 * BLOCK_SIZE, 4 * BLOCK_SIZE, &first));
        assert_false(known_blocks_find(NULL, 0, BLOCK_SIZE, &first));
}

static void sparse_digest_sees_content_not_holes(void **state _unused_)
{
        char *dir = test_mkdir(), zeros[4096] = {};
        _cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int a = openat(dir_fd, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_close_ int b = openat(dir_fd, "b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct sha256 of_a, of_b;
        struct error err = {};

        assert_ok(io_pwrite(a, "x", 1, 5 * MIB + 17, &err), &err);
        assert_ok(io_pwrite(b, "x", 1, 5 * MIB + 17, &err), &err);
        assert_ok(io_pwrite(b, zeros, sizeof(zeros), 2 * MIB, &err), &err);
        assert_int_equal(ftruncate(a, 9 * MIB), 0);
        assert_int_equal(ftruncate(b, 9 * MIB), 0);
        assert_ok(sparse_digest(a, 9 * MIB, NULL, 3, &of_a, &err), &err);
        assert_ok(sparse_digest(b, 9 * MIB, NULL, 3, &of_b, &err), &err);
        assert_true(sha256_equal(&of_a, &of_b));
        assert_ok(io_pwrite(b, "y", 1, 8 * MIB, &err), &err);
        assert_ok(sparse_digest(b, 9 * MIB, NULL, 3, &of_b, &err), &err);
        assert_false(sha256_equal(&of_a, &of_b));
        assert_int_equal(ftruncate(a, 10 * MIB), 0);
        assert_ok(sparse_digest(a, 10 * MIB, NULL, 3, &of_b, &err), &err);
        assert_false(sha256_equal(&of_a, &of_b));
        test_rmdir(dir);
}

/* A file of which a part is known has the digest that reading all of it gives. */
static void test_sparse_known(void **state _unused_)
{
        _cleanup_block_digests_ struct block_digests b = {};
        _cleanup_free_ char *data = calloc(1, 3 * MIB);
        const struct known_blocks known = { .offset = MIB / 2, .digests = &b };
        char *dir = test_mkdir();
        _cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = openat(dir_fd, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct sha256 read, derived;
        struct error err = {};

        assert_non_null(data);
        memset(data + MIB + 77, 'k', MIB);
        assert_ok(io_pwrite(fd, "x", 1, 5, &err), &err);
        assert_ok(io_pwrite(fd, data, 3 * MIB, MIB / 2, &err), &err);
        assert_ok(io_pwrite(fd, "y", 1, 4 * MIB, &err), &err);
        assert_ok(block_digests_init(&b, 3 * MIB / BLOCK_SIZE, &err), &err);
        block_digests_set(&b, 0, data, b.count);
        assert_ok(sparse_digest(fd, 4 * MIB + 1, NULL, 1, &read, &err), &err);
        assert_ok(sparse_digest(fd, 4 * MIB + 1, &known, 4, &derived, &err), &err);
        assert_true(sha256_equal(&read, &derived));
        /* It is the known digests that count where there are some. */
        block_digests_set(&b, MIB / BLOCK_SIZE, data, 1);
        assert_ok(sparse_digest(fd, 4 * MIB + 1, &known, 4, &derived, &err), &err);
        assert_false(sha256_equal(&read, &derived));
        test_rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blocks),
                cmocka_unit_test(test_known),
                cmocka_unit_test(sparse_digest_sees_content_not_holes),
                cmocka_unit_test(test_sparse_known),
        };

        return test_run(tests);
}
