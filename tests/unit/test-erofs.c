/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The EROFS writer against three readers: our own (erofs-reader.h) for thousands of random trees,
 * fsck.erofs for a handful, and the limits that must be refused. SLIPWAY_TEST_TREES=N sets the
 * number of random trees, SLIPWAY_TEST_SEED=N the first seed. */

#include "erofs-test.h"
#include "process.h"

enum { TREES = 300 };

/* Writes the tree with several threads and compares it; the image of one thread must be the same.
 */
static void check_form(const struct tree *tree, struct form form)
{
        _cleanup_close_ int fd = memory_file(), other = memory_file();
        const uint8_t *data, *other_data;
        uint64_t size;

        form.threads = 4;
        size = write_form(tree, fd, &form);
        form.threads = 1;
        assert_int_equal(write_form(tree, other, &form), size);
        data = map_image(fd, size);
        other_data = map_image(other, size);
        compare_image(tree, data, size);
        assert_memory_equal(data, other_data, size);
        munmap((void *)data, size);
        munmap((void *)other_data, size);
}

static const struct form forms[] = {
        {},
        { .codec = { CODEC_ZSTD, 1 }, .cluster_size = 65536 },
        { .codec = { CODEC_LZ4, 0 }, .cluster_size = 8192 },
        { .codec = { CODEC_ZSTD, 3 }, .cluster_size = 8192 },
        { .codec = { CODEC_LZ4HC, 3 }, .cluster_size = 131072 },
        { .codec = { CODEC_ZSTD, 1 }, .cluster_size = 1048576 },
};

static void test_random_trees(void **state _unused_)
{
        uint64_t n = setting("SLIPWAY_TEST_TREES", TREES), seed = setting("SLIPWAY_TEST_SEED", 1);

        for (uint64_t i = 0; i < n; i++) {
                _cleanup_tree_ struct tree *tree = random_tree(seed + i);

                if (i % 100 == 0)
                        print_message("seed %llu\n", (unsigned long long)(seed + i));
                check_form(tree, forms[0]);
                check_form(tree, forms[1 + i % (ARRAY_SIZE(forms) - 1)]);
        }
}

/* ---- fsck.erofs ---- */

static void compare_extracted(const struct tree_node *node, int dir_fd, const char *name)
{
        const struct tree_inode *inode = node->inode;
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *content = NULL;
        struct stat st;
        size_t size;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                fail_msg("%s: not extracted", node->name);
        assert_int_equal(st.st_mode & S_IFMT, inode->mode & S_IFMT);
        if (S_ISREG(inode->mode)) {
                assert_int_equal(file_read(dir_fd, name, SIZE_MAX / 2, &content, &size, NULL), 0);
                assert_int_equal(size, inode->size);
                assert_memory_equal(content, inode->data, size);
        } else if (S_ISLNK(inode->mode)) {
                assert_int_equal(path_readlink(dir_fd, name, &content, NULL), 0);
                assert_string_equal(content, inode->target);
        } else if (S_ISDIR(inode->mode)) {
                fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(fd >= 0);
                for (size_t i = 0; i < node->n_children; i++)
                        compare_extracted(node->children[i], fd, node->children[i]->name);
        }
}

/* Devices need root to extract; directories and files that their owner cannot read, too. */
static void make_extractable(struct tree *tree)
{
        struct tree_node *next;

        for (struct tree_node *node = tree->root; node; node = next) {
                struct tree_inode *inode = node->inode;

                next = tree_next(tree->root, node);
                if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode) || S_ISSOCK(inode->mode)) {
                        next = tree_next_skip(tree->root, node);
                        tree_remove(node);
                        continue;
                }
                tree_inode_set_owner(inode, getuid(), getgid());
                tree_inode_set_mode(inode, 0700);
        }
}

static void test_fsck(void **state _unused_)
{
        char *directory = test_mkdir();
        struct error err = {};

        for (uint64_t seed = 1; seed <= 12; seed++) {
                _cleanup_tree_ struct tree *tree = random_tree(seed);
                _cleanup_free_ char *image = NULL, *extract = NULL, *output = NULL;
                _cleanup_close_ int fd = -1;

                make_extractable(tree);
                assert_true(asprintf(&image, "%s/%u.erofs", directory, (unsigned)seed) > 0);
                assert_true(asprintf(&output, "%s/%u", directory, (unsigned)seed) > 0);
                assert_true(asprintf(&extract, "--extract=%s", output) > 0);
                fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                assert_true(fd >= 0);
                write_form(tree, fd, &forms[seed % 3 == 0 ? 2 : 0]);
                assert_ok(spawn((const char *const[]){ "fsck.erofs", extract, image, NULL }, NULL,
                                NULL, &err),
                          &err);
                compare_extracted(tree->root, AT_FDCWD, output);
        }
        test_rmdir(directory);
}

/* ---- large things ---- */

static void link_new(struct tree_node *directory, const char *name, struct tree_inode *inode)
{
        assert_non_null(inode);
        assert_int_equal(tree_link(directory, name, inode, NULL, NULL), 0);
}

static struct tree *tree_with(const char *name, struct tree_inode *inode)
{
        struct tree *tree;

        assert_int_equal(tree_new(&tree, NULL), 0);
        if (inode)
                link_new(tree->root, name, inode);
        return tree;
}

static void test_large_directory(void **state _unused_)
{
        _cleanup_tree_ struct tree *tree = tree_with(NULL, NULL);
        _cleanup_close_ int fd = memory_file();
        struct reader reader;
        uint64_t size;
        struct reader_inode root;
        struct reader_entry entry;
        const uint8_t *data;
        char name[32];

        for (unsigned i = 0; i < 100000; i++) {
                snprintf(name, sizeof(name), "entry-%06u", i);
                /* 70,000 of them directories: a link count that needs an extended inode */
                link_new(tree->root, name,
                         tree_inode_new(i < 70000 ? S_IFDIR | 0755 : S_IFREG | 0644, 0, 0));
        }
        size = write_plain(tree, fd);
        data = map_image(fd, size);
        compare_image(tree, data, size);
        assert_true(reader_open(&reader, data, size));
        assert_true(reader_inode(&reader, reader.root_nid, &root));
        assert_int_equal(root.nlink, 70002);
        for (unsigned i = 0; i < 100000; i += 7) {
                snprintf(name, sizeof(name), "entry-%06u", i);
                assert_true(reader_lookup(&reader, &root, name, &entry));
                assert_int_equal(reader_compare(&entry, name, strlen(name)), 0);
        }
        assert_true(reader_lookup(&reader, &root, ".", &entry));
        assert_true(reader_lookup(&reader, &root, "..", &entry));
        assert_false(reader_lookup(&reader, &root, "entry-100000", &entry));
        munmap((void *)data, size);
}

static uint64_t allocated(int fd)
{
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return (uint64_t)st.st_blocks * 512;
}

/* 5 GiB with a few bytes at both ends and beyond 4 GiB: an extended inode, and an image of holes.
 */
static void test_large_file(void **state _unused_)
{
        static const uint64_t size = 5 * GIB + 5, places[] = { 0, 4 * GIB + 4094, 5 * GIB };
        char path[] = "/tmp/slipway-erofs-XXXXXX";
        _cleanup_close_ int source = mkstemp(path), fd = memory_file();
        struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 0, 0);
        _cleanup_tree_ struct tree *tree = tree_with("large", inode);
        uint64_t image_size;
        struct reader reader;
        struct reader_inode found;
        struct reader_entry entry;
        const uint8_t *data;
        size_t length;

        assert_int_equal(ftruncate(source, (off_t)size), 0);
        for (size_t i = 0; i < ARRAY_SIZE(places); i++)
                assert_int_equal(io_pwrite(source, "mark!", 5, places[i], NULL), 0);
        inode->kind = CONTENT_PATH;
        inode->size = size;
        inode->path = strdup(path);
        image_size = write_plain(tree, fd);
        unlink(path);

        assert_in_range(allocated(fd), 4 * 4096, 16 * 4096);
        data = map_image(fd, image_size);
        assert_true(reader_open(&reader, data, image_size));
        assert_true(reader_inode(&reader, reader.root_nid, &found));
        assert_true(reader_lookup(&reader, &found, "large", &entry));
        assert_true(reader_inode(&reader, entry.nid, &found));
        assert_int_equal(found.size, size);
        assert_memory_equal(reader_block(&reader, &found, 0, &length), "mark!", 5);
        assert_memory_equal(reader_block(&reader, &found, 4 * GIB / 4096, &length) + 4094, "ma", 2);
        assert_memory_equal(reader_block(&reader, &found, 4 * GIB / 4096 + 1, &length), "rk!", 3);
        assert_memory_equal(reader_block(&reader, &found, 5 * GIB / 4096, &length), "mark!", 5);
        munmap((void *)data, image_size);
}

static void test_offset(void **state _unused_)
{
        _cleanup_tree_ struct tree *tree = random_tree(7);
        struct form form = { .offset = 3 * 4096ULL };
        _cleanup_close_ int fd = memory_file();
        uint64_t size = write_form(tree, fd, &form);
        const uint8_t *data = map_image(fd, form.offset + size);

        for (uint64_t i = 0; i < form.offset; i++)
                assert_int_equal(data[i], 0);
        compare_image(tree, data + form.offset, size);
        munmap((void *)data, form.offset + size);
}

/* Nothing goes beyond the room there is, but the size is that of the whole image. */
static void test_room(void **state _unused_)
{
        _cleanup_tree_ struct tree *tree = random_tree(7);
        struct erofs_options options = { .build_time = BUILD_TIME, .label = "slipway-test" };
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        _cleanup_close_ int fd = memory_file(), whole = memory_file();
        struct erofs_target target = { fd, 0, 4 * 4096, NULL };
        uint64_t size = write_plain(tree, whole);
        uint8_t some[4 * 4096], same[4 * 4096];
        struct error err = {};
        struct stat st;

        assert_true(size > target.room);
        assert_ok(erofs_image_new(tree->root, &options, &image, &err), &err);
        assert_ok(erofs_image_write(image, NULL, &target, 0, &err), &err);
        assert_int_equal(erofs_image_size(image), size);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, target.room);
        assert_int_equal(io_pread(fd, some, sizeof(some), 0, NULL, NULL), 0);
        assert_int_equal(io_pread(whole, same, sizeof(same), 0, NULL, NULL), 0);
        assert_memory_equal(some, same, sizeof(some));
}

/* An empty tree is a superblock and an inode, each in a block of its own; the superblock is known
 * byte by byte. */
static void test_superblock(void **state _unused_)
{
        static const struct uuid uuid = { "0123456789abcde" };
        struct erofs_options options = { .uuid = (struct uuid *)&uuid, .build_time = 0x12345678 };
        _cleanup_tree_ struct tree *tree = tree_with(NULL, NULL);
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        _cleanup_close_ int fd = memory_file();
        struct erofs_target target = { fd, 0, UINT64_MAX, NULL };
        static const uint8_t expected[] = {
                0xe2, 0xe1, 0xf5, 0xe0, 0,   0,   0,   0, /* magic, checksum */
                3,    0,    0,    0,    12,  0,   1,   0, /* features, bits, root */
                1,    0,    0,    0,    0,   0,   0,   0, /* inodes */
                0x78, 0x56, 0x34, 0x12, 0,   0,   0,   0, /* build time */
                0,    0,    0,    0,    2,   0,   0,   0, /* nanoseconds, blocks */
                1,    0,    0,    0,    0,   0,   0,   0, /* metadata, shared xattrs */
                '0',  '1',  '2',  '3',  '4', '5', '6', '7', '8', '9', 'a',
                'b',  'c',  'd',  'e',  0,   'l', 'a', 'b', 'e', 'l', 0,
        };
        uint8_t sb[128];

        options.label = "label";
        assert_int_equal(erofs_image_new(tree->root, &options, &image, NULL), 0);
        assert_int_equal(erofs_image_write(image, NULL, &target, 0, NULL), 0);
        assert_int_equal(erofs_image_size(image), 2 * 4096);
        assert_int_equal(io_pread(fd, sb, sizeof(sb), 1024, NULL, NULL), 0);
        memset(sb + 4, 0, 4);
        assert_memory_equal(sb, expected, sizeof(expected));
        for (size_t i = sizeof(expected); i < sizeof(sb); i++)
                assert_int_equal(sb[i], 0);
}

/* ---- what must be refused ---- */

static void assert_refused(const struct tree *tree, const struct erofs_options *options, int code,
                           const char *message)
{
        static const struct erofs_options none = {};
        struct erofs_image *image = NULL;
        struct error err = {};

        assert_int_equal(erofs_image_new(tree->root, options ?: &none, &image, &err), code);
        assert_null(image);
        if (!strstr(err.message, message))
                fail_msg("'%s' is not in '%s'", message, err.message);
}

static void test_refused_names(void **state _unused_)
{
        _cleanup_tree_ struct tree *tree = tree_with("a", tree_inode_new(S_IFREG, 0, 0));
        struct tree_node *node = tree->root->children[0];
        char *good = node->name, longest[258];

        memset(longest, 'x', 257);
        longest[256] = '\0';
        node->name = longest;
        assert_refused(tree, NULL, -ENAMETOOLONG, "longer than 255 bytes");
        node->name = (char[]){ "a/b" };
        assert_refused(tree, NULL, -EINVAL, "'a/b' is not a file name");
        node->name = good;
}

static void test_refused_links(void **state _unused_)
{
        struct tree_inode *inode = tree_inode_new(S_IFREG, 0, 0);
        _cleanup_tree_ struct tree *tree = tree_with("a", inode);

        inode->references = 3;
        assert_refused(tree, NULL, -EMLINK, "/a: has 3 links, but 1 names in the tree");
        inode->references = 1;
}

static void test_refused_xattrs(void **state _unused_)
{
        struct tree_inode *inode = tree_inode_new(S_IFREG, 0, 0);
        _cleanup_tree_ struct tree *tree = tree_with("a", inode);
        static char value[TREE_XATTR_VALUE_MAX];
        char name[16];

        assert_int_equal(tree_inode_set_xattr(inode, "system.other", "", 0, NULL), 0);
        assert_refused(tree, NULL, -EOPNOTSUPP, "/a: xattr 'system.other'");
        assert_int_equal(tree_inode_set_xattr(inode, "system.other", NULL, 0, NULL), 0);
        assert_int_equal(tree_inode_set_xattr(inode, "user.", "", 0, NULL), 0);
        assert_refused(tree, NULL, -EOPNOTSUPP, "/a: xattr 'user.'");
        assert_int_equal(tree_inode_set_xattr(inode, "user.", NULL, 0, NULL), 0);

        for (unsigned i = 0; i < 4; i++) {
                snprintf(name, sizeof(name), "user.%u", i);
                assert_int_equal(tree_inode_set_xattr(inode, name, value, sizeof(value) - 16, NULL),
                                 0);
        }
        check_form(tree, forms[0]);
        assert_int_equal(tree_inode_set_xattr(inode, "user.4", value, 256, NULL), 0);
        assert_refused(tree, NULL, -E2BIG, "/a: xattrs: more than 262148 bytes together");
        inode->xattrs[0].size = 65536;
        assert_refused(tree, NULL, -E2BIG, "/a: xattr 'user.0': value larger than 65535 bytes");
        inode->xattrs[0].size = 1;
}

static void test_refused_inodes(void **state _unused_)
{
        struct tree_inode *inode = tree_inode_new(S_IFLNK | 0777, 0, 0);
        _cleanup_tree_ struct tree *tree = tree_with("a", inode);

        assert_refused(tree, NULL, -EINVAL, "/a: symlink without a target");
        inode->target = malloc(4097);
        memset(inode->target, 'x', 4096);
        inode->target[4096] = '\0';
        assert_refused(tree, NULL, -ENAMETOOLONG, "/a: symlink target longer than 4095 bytes");
        inode->mode = S_IFCHR;
        inode->rdev = makedev(4096, 0);
        assert_refused(tree, NULL, -ERANGE, "/a: device 4096:0");
        inode->mode = 0;
        assert_refused(tree, NULL, -EINVAL, "/a: mode 0 has no known file type");
        inode->mode = S_IFREG;
        inode->size = 1;
        assert_refused(tree, NULL, -EINVAL, "/a: a size, but no content");
        inode->kind = CONTENT_MEMORY;
        inode->size = 16ULL * 1024 * GIB;
        assert_refused(tree, NULL, -EFBIG, "/a: EROFS ends at 16 TiB");
        inode->size = UINT64_MAX;
        assert_refused(tree, NULL, -EFBIG, "/a: EROFS ends at 16 TiB");
        inode->kind = CONTENT_NONE;
        inode->size = 0;
        assert_refused(tree, &(struct erofs_options){ .label = "sixteen letters!" }, -EINVAL,
                       "label 'sixteen letters!' is longer than 15 bytes");
}

static int write_to_memory(const struct tree *tree, struct error *err)
{
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        _cleanup_close_ int fd = memory_file();
        struct erofs_target target = { fd, 0, UINT64_MAX, NULL };

        assert_int_equal(erofs_image_new(tree->root, &(struct erofs_options){}, &image, NULL), 0);
        return erofs_image_write(image, NULL, &target, 4, err);
}

/* A source that changed since is an error that names the file, never a wrong image; also when other
 * threads wait for it. */
static void test_refused_content(void **state _unused_)
{
        char path[] = "/tmp/slipway-erofs-XXXXXX";
        struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 0, 0);
        _cleanup_tree_ struct tree *tree = tree_with("a", inode);
        _cleanup_close_ int source = mkstemp(path);
        struct error err = {};

        inode->kind = CONTENT_PATH;
        inode->size = 5 * MIB;
        inode->path = strdup(path);
        assert_int_equal(ftruncate(source, 9999), 0);
        assert_true(write_to_memory(tree, &err) < 0);
        assert_non_null(strstr(err.message, "/a: "));
        unlink(path);
        assert_int_equal(write_to_memory(tree, &err), -ENOENT);
}

static void test_refused_cluster(void **state _unused_)
{
        static const uint32_t sizes[] = { 0, 4096, 65535, 3 * 4096, 2 * 1024 * 1024 };
        _cleanup_tree_ struct tree *tree = tree_with(NULL, NULL);

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                assert_refused(tree,
                               &(struct erofs_options){ .codec = { CODEC_ZSTD, 3 },
                                                        .cluster_size = sizes[i] },
                               -EINVAL, "is no power of two from 8192 to 1048576");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_superblock),
                cmocka_unit_test(test_random_trees),
                cmocka_unit_test(test_fsck),
                cmocka_unit_test(test_large_directory),
                cmocka_unit_test(test_large_file),
                cmocka_unit_test(test_offset),
                cmocka_unit_test(test_room),
                cmocka_unit_test(test_refused_names),
                cmocka_unit_test(test_refused_links),
                cmocka_unit_test(test_refused_xattrs),
                cmocka_unit_test(test_refused_inodes),
                cmocka_unit_test(test_refused_content),
                cmocka_unit_test(test_refused_cluster),
        };

        return test_run(tests);
}
