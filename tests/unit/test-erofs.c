/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The EROFS writer against three readers: our own (erofs-reader.h) for thousands of random trees,
 * fsck.erofs for a handful, and the limits that must be refused. SLIPWAY_TEST_TREES=N sets the
 * number of random trees, SLIPWAY_TEST_SEED=N the first seed. */

#include "test.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "erofs-reader.h"
#include "erofs.h"
#include "process.h"

enum { TREES = 600, BUILD_TIME = 1700000000, LINKED_MAX = 64 };

/* ---- images ---- */

static int memory_file(void)
{
        int fd = memfd_create("image", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

/* What a test wants of an image beside its tree. */
struct form {
        struct codec_settings codec;
        uint32_t cluster_size;
        unsigned threads;
        uint64_t offset;
};

/* Writes the tree's image; returns its size. */
static uint64_t write_form(const struct tree *tree, int fd, const struct form *form)
{
        struct erofs_options options = {
                .build_time = BUILD_TIME,
                .label = "slipway-test",
                .codec = form->codec,
                .cluster_size = form->cluster_size,
        };
        struct erofs_target target = { fd, form->offset, UINT64_MAX, NULL };
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        struct error err = {};

        assert_ok(erofs_image_new(tree->root, &options, &image, &err), &err);
        assert_ok(erofs_image_write(image, NULL, &target, form->threads, &err), &err);
        assert_in_range(erofs_image_size(image), 1, erofs_image_bound(image));
        return erofs_image_size(image);
}

static uint64_t write_plain(const struct tree *tree, int fd)
{
        return write_form(tree, fd, &(struct form){});
}

static const uint8_t *map_image(int fd, uint64_t size)
{
        void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

        assert_ptr_not_equal(data, MAP_FAILED);
        return data;
}

/* ---- comparing an image with its tree ---- */

struct comparison {
        struct reader reader;
        struct { /* inodes with several names, and the node id they were found at */
                const struct tree_inode *inode;
                uint64_t nid;
        } linked[LINKED_MAX];
        size_t n_linked;
        uint64_t inodes; /* seen */
};

static void compare_content(const struct comparison *c, const struct reader_inode *found,
                            const void *data, uint64_t size)
{
        uint64_t done = 0;
        size_t length;

        assert_int_equal(found->size, size);
        for (uint64_t i = 0; done < size; i++) {
                const uint8_t *block = reader_block(&c->reader, found, i, &length);

                assert_non_null(block);
                assert_memory_equal(block, (const char *)data + done, length);
                done += length;
        }
}

static void compare_xattrs(const struct comparison *c, const struct reader_inode *found,
                           const struct tree_inode *inode)
{
        char name[300];
        const uint8_t *value;
        uint64_t cursor = 0;
        size_t size, n = 0;

        while (reader_xattr(&c->reader, found, &cursor, name, &value, &size)) {
                assert_true(n < inode->n_xattrs);
                assert_string_equal(name, inode->xattrs[n].name);
                assert_int_equal(size, inode->xattrs[n].size);
                assert_memory_equal(value, inode->xattrs[n].value, size);
                n++;
        }
        assert_int_equal(n, inode->n_xattrs);
        assert_int_equal(cursor, found->xattrs_size);
}

static uint32_t linux_device(dev_t d)
{
        return (minor(d) & 0xff) | major(d) << 8 | (minor(d) >> 8) << 20;
}

static uint32_t count_directories(const struct tree_node *node)
{
        uint32_t n = 0;

        for (size_t i = 0; i < node->n_children; i++)
                n += S_ISDIR(node->children[i]->inode->mode);
        return n;
}

/* A second name must lead to the node id of the first; true when that was compared already. */
static bool compare_link(struct comparison *c, const struct tree_inode *inode, uint64_t nid)
{
        if (inode->references == 1)
                return false;
        for (size_t i = 0; i < c->n_linked; i++) {
                if (c->linked[i].inode != inode)
                        continue;
                assert_int_equal(c->linked[i].nid, nid);
                return true;
        }
        assert_true(c->n_linked < LINKED_MAX);
        c->linked[c->n_linked].inode = inode;
        c->linked[c->n_linked++].nid = nid;
        return false;
}

/* Whether anything is left to compare below. */
static bool compare_inode(struct comparison *c, const struct tree_node *node, uint64_t nid,
                          struct reader_inode *ret)
{
        const struct tree_inode *inode = node->inode;
        bool directory = S_ISDIR(inode->mode);

        if (compare_link(c, inode, nid))
                return false;
        assert_true(reader_inode(&c->reader, nid, ret));
        c->inodes++;
        assert_int_equal(ret->ino, nid);
        assert_int_equal(ret->mode, inode->mode);
        assert_int_equal(ret->uid, inode->uid);
        assert_int_equal(ret->gid, inode->gid);
        assert_int_equal(ret->mtime, inode->mtime ?: BUILD_TIME);
        assert_int_equal(ret->nlink, directory ? 2 + count_directories(node) : inode->references);
        compare_xattrs(c, ret, inode);
        if (S_ISREG(inode->mode)) {
                assert_true(ret->layout == READER_PLAIN ||
                            (c->reader.algorithms != 0 && ret->layout == READER_COMPACT));
                compare_content(c, ret, inode->data, inode->size);
        } else if (S_ISLNK(inode->mode)) {
                compare_content(c, ret, inode->target, strlen(inode->target));
        } else if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
                assert_int_equal(ret->rdev, linux_device(inode->rdev));
        }
        return directory;
}

/* EROFS file types. */
static uint8_t type_of(mode_t mode)
{
        static const char types[] = "\0\5\3\0\2\0\4\0\1\0\7\0\6\0\0"; /* by mode >> 12 */

        return (uint8_t)types[(mode & S_IFMT) >> 12];
}

static bool is_dots(const struct reader_entry *e)
{
        return e->name[0] == '.' && (e->length == 1 || (e->length == 2 && e->name[1] == '.'));
}

static void compare_node(struct comparison *c, const struct tree_node *node, uint64_t nid,
                         uint64_t parent_nid);

/* Entries come in strict order, "." and ".." once each, children as the tree has them. */
static void compare_entries(struct comparison *c, const struct tree_node *node,
                            const struct reader_inode *found, uint64_t parent_nid)
{
        struct reader_entry e, previous = { .name = "" };
        size_t length, child = 0, dots = 0;

        for (uint64_t i = 0; i * READER_BLOCK < found->size; i++) {
                const uint8_t *block = reader_block(&c->reader, found, i, &length);

                assert_non_null(block);
                assert_true(reader_entries(block, length) > 0);
                for (size_t k = 0; k < reader_entries(block, length); k++) {
                        assert_true(reader_entry(block, length, k, &e));
                        assert_true(reader_compare(&e, previous.name, previous.length) > 0);
                        previous = e;
                        if (is_dots(&e)) {
                                dots++;
                                assert_int_equal(e.type, type_of(S_IFDIR));
                                assert_int_equal(e.nid, e.length == 1 ? found->nid : parent_nid);
                                continue;
                        }
                        assert_true(child < node->n_children);
                        assert_int_equal(reader_compare(&e, node->children[child]->name,
                                                        strlen(node->children[child]->name)),
                                         0);
                        assert_int_equal(e.type, type_of(node->children[child]->inode->mode));
                        compare_node(c, node->children[child++], e.nid, found->nid);
                }
        }
        assert_int_equal(child, node->n_children);
        assert_int_equal(dots, 2);
}

static void compare_node(struct comparison *c, const struct tree_node *node, uint64_t nid,
                         uint64_t parent_nid)
{
        struct reader_inode found;

        if (compare_inode(c, node, nid, &found))
                compare_entries(c, node, &found, parent_nid);
}

static void compare_image(const struct tree *tree, const uint8_t *data, uint64_t size)
{
        struct comparison c = {};

        assert_true(reader_open(&c.reader, data, size));
        compare_node(&c, tree->root, c.reader.root_nid, c.reader.root_nid);
        assert_int_equal(c.reader.inodes, c.inodes);
}

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

/* ---- random trees ---- */

static uint64_t next_random(uint64_t *state)
{
        uint64_t z = *state += 0x9E3779B97F4A7C15ULL;

        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
        return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
        return next_random(state) % limit;
}

/* Sizes near the edges of blocks more often than not. */
static size_t random_size(uint64_t *s, size_t limit)
{
        size_t size = below(s, 3) == 0 ? below(s, limit) : below(s, limit / 4096 + 1) * 4096;

        size += below(s, 4) == 0 ? below(s, 64) : 0;
        size -= below(s, 4) == 0 ? MIN(size, below(s, 64)) : 0;
        return MIN(size, limit - 1);
}

static void random_bytes(uint64_t *s, char *p, size_t size)
{
        uint64_t word;

        for (size_t i = 0; i < size; i += sizeof(word)) {
                word = next_random(s);
                memcpy(p + i, &word, MIN(sizeof(word), size - i));
        }
        /* Some whole blocks of zeros, which the writer leaves as holes. */
        for (size_t i = 0; i + 4096 <= size; i += 4096)
                if (below(s, 3) == 0)
                        memset(p + i, 0, 4096);
}

/* Any bytes but NUL and '/'; many begin like "." and "..", whose order is special. */
static void random_name(uint64_t *s, char *ret)
{
        static const char starts[] = "!+-./.0aA~";
        size_t length = below(s, 8) == 0 ? 1 + below(s, 255) : 1 + below(s, 12);

        for (size_t i = 0; i < length; i++) {
                ret[i] = below(s, 2) == 0 ? starts[below(s, sizeof(starts) - 1)]
                                          : (char)(1 + below(s, 255));
                if (ret[i] == '/')
                        ret[i] = '.';
        }
        ret[length] = '\0';
}

static void random_xattrs(uint64_t *s, struct tree_inode *inode)
{
        static const char *const names[] = {
                "user.a",           "user.some longer name",   "trusted.overlay.opaque",
                "security.selinux", "system.posix_acl_access", "system.posix_acl_default",
                "security.ima",
        };
        char value[9000];

        for (size_t n = below(s, 4); n > 0; n--) {
                size_t size = below(s, 10) == 0 ? below(s, sizeof(value)) : below(s, 40);

                random_bytes(s, value, size);
                assert_int_equal(tree_inode_set_xattr(inode, names[below(s, ARRAY_SIZE(names))],
                                                      value, size, NULL),
                                 0);
        }
}

static void random_symlink(uint64_t *s, struct tree_inode *inode)
{
        size_t length = 1 + (below(s, 4) == 0 ? below(s, 4095) : below(s, 60));

        inode->target = malloc(length + 1);
        assert_non_null(inode->target);
        memset(inode->target, 't', length);
        inode->target[length] = '\0';
        inode->size = length;
}

/* At and around the ends of blocks and clusters, and now and then large. */
static size_t random_file_size(uint64_t *s, size_t limit)
{
        static const size_t units[] = { 4096, 8192, 65536, 131072, 1048576 };
        size_t size;

        if (below(s, 8) > 0)
                return random_size(s, 40000);
        size = units[below(s, 2 + below(s, 4))] * (1 + below(s, 3)) + below(s, 5) - 2;
        return MIN(size, limit);
}

/* Stretches that compress well, a little, and not at all. */
static void random_content(uint64_t *s, char *p, size_t size)
{
        for (size_t done = 0, n; done < size; done += n) {
                n = MIN(size - done, (size_t)(1 + below(s, below(s, 4) == 0 ? 100000 : 6000)));
                if (below(s, 3) == 0)
                        random_bytes(s, p + done, n);
                else
                        memset(p + done, below(s, 2) == 0 ? 0 : (int)below(s, 256), n);
                for (size_t i = 0; below(s, 2) == 0 && i < n; i += 1 + below(s, 200))
                        p[done + i] = (char)below(s, 256);
        }
}

static struct tree_inode *random_inode(uint64_t *s)
{
        static const mode_t types[] = { S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR,
                                        S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
        static const uint32_t ids[] = { 0, 0, 0, 1, 1000, 65534, 65535, 65536, 4294967294 };
        mode_t type = types[below(s, ARRAY_SIZE(types))];
        struct tree_inode *inode =
                tree_inode_new(type | (mode_t)below(s, 010000), ids[below(s, ARRAY_SIZE(ids))],
                               ids[below(s, ARRAY_SIZE(ids))]);
        static char data[2 * 1048576 + 4096];

        assert_non_null(inode);
        if (below(s, 5) == 0)
                inode->mtime = below(s, 1ULL << 36);
        if (below(s, 3) == 0)
                random_xattrs(s, inode);
        if (type == S_IFLNK)
                random_symlink(s, inode);
        if (type == S_IFCHR || type == S_IFBLK)
                inode->rdev = makedev(below(s, 4096), below(s, 1 << 20));
        if (type == S_IFREG) {
                size_t size = random_file_size(s, sizeof(data));

                random_content(s, data, size);
                assert_int_equal(tree_inode_set_data(inode, data, size, NULL), 0);
        }
        return inode;
}

static struct tree *random_tree(uint64_t seed)
{
        struct tree_node *directories[64], *node;
        struct tree_inode *linked[8];
        size_t n_directories = 1, n_linked = 0, nodes;
        uint64_t s = seed;
        struct tree *tree;
        char name[256];

        assert_int_equal(tree_new(&tree, NULL), 0);
        random_xattrs(&s, tree->root->inode);
        directories[0] = tree->root;
        nodes = below(&s, below(&s, 4) == 0 ? 400 : 40);
        for (size_t i = 0; i < nodes; i++) {
                struct tree_node *parent = directories[below(&s, n_directories)];
                bool link = n_linked > 0 && below(&s, 6) == 0;
                struct tree_inode *inode = link ? linked[below(&s, n_linked)] : random_inode(&s);

                random_name(&s, name);
                if (tree_link(parent, name, inode, &node, NULL) < 0) {
                        if (!link)
                                tree_inode_free(inode);
                        continue;
                }
                if (S_ISDIR(inode->mode) && n_directories < ARRAY_SIZE(directories))
                        directories[n_directories++] = node;
                if (!S_ISDIR(inode->mode) && !link && n_linked < ARRAY_SIZE(linked))
                        linked[n_linked++] = inode;
        }
        return tree;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
        const char *value = getenv(name);

        return value ? strtoull(value, NULL, 10) : fallback;
}

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
