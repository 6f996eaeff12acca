/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cpio writer against a golden dump (made by a reader of our own that knows the format from the
 * other side), and against cpio(1) where it is installed; compression there and back. */

#include "test.h"

#include "compress.h"
#include "cpio.h"
#include "golden.h"
#include "process.h"

enum { HEADER_SIZE = 110 };

static struct tree *sample(void)
{
        struct tree_node *node;
        struct error err = {};
        struct tree *tree;

        assert_ok(tree_new(&tree, &err), &err);
        assert_ok(tree_put_file(tree, "/usr/bin/one", "1", 1, 0755, NULL, &err), &err);
        assert_ok(tree_put_file(tree, "/usr/bin/four", "4444", 4, 0644, NULL, &err), &err);
        assert_ok(tree_put_file(tree, "/empty", "", 0, 0600, NULL, &err), &err);
        assert_ok(tree_put_symlink(tree, "/bin", "usr/bin", NULL, &err), &err);
        assert_ok(tree_make_dirs(tree, "/tmp", &node, &err), &err);
        tree_inode_set_owner(node->inode, 7, 8);
        tree_inode_set_mode(node->inode, 01777);
        return tree;
}

static uint32_t field(const char *header, size_t index)
{
        char text[9] = {};

        memcpy(text, header + 6 + 8 * index, 8);
        return (uint32_t)strtoul(text, NULL, 16);
}

/* One line an entry; fails the test when anything is out of place. */
static void dump(const struct buffer *archive, struct buffer *out)
{
        for (size_t at = 0; at < archive->size;) {
                const char *header = archive->data + at, *name = header + HEADER_SIZE, *content;
                uint32_t size, name_size;

                assert_true(at % 4 == 0 && at + HEADER_SIZE < archive->size);
                assert_memory_equal(header, "070701", 6);
                size = field(header, 6);
                name_size = field(header, 11);
                content = header + ROUND_UP(HEADER_SIZE + name_size, 4);
                assert_int_equal(strlen(name) + 1, name_size);
                buffer_printf(out, "%u %06o %u:%u links %u mtime %u %s \"%.*s\"\n",
                              field(header, 0), field(header, 1), field(header, 2),
                              field(header, 3), field(header, 4), field(header, 5), name, (int)size,
                              content);
                at = (size_t)(content - archive->data) + ROUND_UP(size, 4);
        }
}

static void write_sample(struct buffer *archive)
{
        struct error err = {};
        struct tree *tree = sample();

        assert_ok(cpio_write(tree, NULL, 1700000000, NULL, archive, &err), &err);
        tree_free(tree);
}

static void test_golden(void **state _unused_)
{
        _cleanup_buffer_ struct buffer archive = {}, text = {};

        write_sample(&archive);
        dump(&archive, &text);
        assert_golden("cpio.txt", text.data);
}

static void test_other_reader(void **state _unused_)
{
        _cleanup_buffer_ struct buffer archive = {};
        char *directory = test_mkdir(), path[128];
        _cleanup_free_ char *list = NULL;
        struct error err = {};

        write_sample(&archive);
        snprintf(path, sizeof(path), "%s/archive", directory);
        assert_ok(file_write(AT_FDCWD, path, archive.data, archive.size, 0644, &err), &err);
        assert_ok(spawn((const char *const[]){ "cpio", "-t", "-F", path, NULL }, NULL, &list, &err),
                  &err);
        test_rmdir(directory);
        assert_string_equal(list, "bin\nempty\ntmp\nusr\nusr/bin\nusr/bin/four\nusr/bin/one\n");
}

static void identity(const struct tree *tree, uint64_t mtime, struct sha256 *ret)
{
        struct error err = {};

        assert_ok(cpio_identity(tree, NULL, mtime, NULL, ret, &err), &err);
}

/* Whatever makes another archive is another one; owners make none. */
static void test_identity(void **state _unused_)
{
        struct sha256 before, after;
        struct error err = {};
        struct tree *tree = sample();

        identity(tree, 1, &before);
        tree_inode_set_owner(tree_lookup(tree, "/usr/bin/one")->inode, 1, 1);
        identity(tree, 1, &after);
        assert_true(sha256_equal(&before, &after));
        identity(tree, 2, &after);
        assert_false(sha256_equal(&before, &after));

        tree_inode_set_mode(tree_lookup(tree, "/usr/bin/one")->inode, 0700);
        identity(tree, 1, &after);
        assert_false(sha256_equal(&before, &after));
        before = after;
        assert_ok(tree_put_file(tree, "/usr/bin/one", "2", 1, 0700, NULL, &err), &err);
        identity(tree, 1, &after);
        assert_false(sha256_equal(&before, &after));
        before = after;
        assert_ok(tree_put_symlink(tree, "/bin", "usr/bim", NULL, &err), &err);
        identity(tree, 1, &after);
        assert_false(sha256_equal(&before, &after));
        before = after;
        assert_ok(tree_move(tree_lookup(tree, "/empty"), tree->root, "empti", &err), &err);
        identity(tree, 1, &after);
        assert_false(sha256_equal(&before, &after));
        tree_free(tree);
}

static void test_refused(void **state _unused_)
{
        _cleanup_buffer_ struct buffer archive = {};
        struct tree *tree = sample();
        struct error err = {};

        tree_lookup(tree, "/usr/bin/one")->inode->size = 1ULL << 32;
        assert_int_equal(cpio_write(tree, NULL, 0, NULL, &archive, &err), -EFBIG);
        assert_string_equal(err.message, "usr/bin/one: too large for an initrd");
        tree_lookup(tree, "/usr/bin/one")->inode->size = 1;
        tree_free(tree);
}

/* More than the compressor's window; the same bytes each time. */
static void test_compress(void **state _unused_)
{
        size_t size = 20 * MIB, n1, n2, n;
        _cleanup_free_ char *data = malloc(size), *one = NULL, *two = NULL, *again = NULL;
        struct error err = {};
        uint32_t x = 1;

        for (size_t i = 0; i < size; i++) {
                x = x * 1664525 + 1013904223;
                data[i] = (char)(x >> 29);
        }
        assert_ok(compress(data, size, COMPRESS_LEVEL_DEFAULT, &one, &n1, &err), &err);
        assert_ok(compress(data, size, COMPRESS_LEVEL_DEFAULT, &two, &n2, &err), &err);
        assert_true(n1 == n2 && n1 < size / 2);
        assert_memory_equal(one, two, n1);
        assert_ok(decompress("x.zst", one, n1, size, &again, &n, &err), &err);
        assert_int_equal(n, size);
        assert_memory_equal(again, data, size);
}

/* "hello, world\n" by xz(1). */
static const uint8_t hello_xz[] = {
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x0c, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x2c, 0x20, 0x77, 0x6f, 0x72, 0x6c, 0x64, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x7b,
        0x46, 0x5a, 0x81, 0xc9, 0x12, 0xb8, 0xea, 0x00, 0x01, 0x25, 0x0d, 0x71, 0x19, 0xc4, 0xb6,
        0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
};

static void test_decompress(void **state _unused_)
{
        struct error err = {};
        size_t n, size;
        _cleanup_free_ char *zst = NULL;
        char *text;

        assert_ok(compress("hello", 5, 1, &zst, &size, &err), &err);
        assert_ok(decompress("x.xz", hello_xz, sizeof(hello_xz), KIB, &text, &n, &err), &err);
        assert_string_equal(text, "hello, world\n");
        free(text);
        assert_int_equal(decompress("x.xz", hello_xz, sizeof(hello_xz) / 2, KIB, &text, &n, &err),
                         -EBADMSG);
        assert_int_equal(decompress("x.xz", hello_xz, sizeof(hello_xz), 5, &text, &n, &err),
                         -EFBIG);
        assert_int_equal(decompress("x.zst", "junk", 4, KIB, &text, &n, &err), -EBADMSG);
        assert_int_equal(decompress("x.gz", "junk", 4, KIB, &text, &n, &err), -EINVAL);
        assert_int_equal(decompress("x.zst", zst, size, 4, &text, &n, &err), -EFBIG);
        assert_string_equal(err.message, "x.zst: larger than 4 bytes");
        assert_null(compressed_suffix("x.ko"));
        assert_string_equal(compressed_suffix("x.ko.xz"), ".xz");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),     cmocka_unit_test(test_other_reader),
                cmocka_unit_test(test_refused),    cmocka_unit_test(test_compress),
                cmocka_unit_test(test_decompress), cmocka_unit_test(test_identity),
        };

        return test_run(tests);
}
