/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the tests of the EROFS writer: images in memory, their comparison with the tree by a reader
 * that shares nothing with the writer, and random trees. */

#include "test.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "erofs-reader.h"
#include "erofs.h"

enum { BUILD_TIME = 1700000000, LINKED_MAX = 64 };

/* ---- images ---- */

static inline int memory_file(void)
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
static inline uint64_t write_form(const struct tree *tree, int fd, const struct form *form)
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

static inline uint64_t write_plain(const struct tree *tree, int fd)
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

static inline void compare_content(const struct comparison *c, const struct reader_inode *found,
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

static inline void compare_xattrs(const struct comparison *c, const struct reader_inode *found,
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

static inline uint32_t linux_device(dev_t d)
{
        return (minor(d) & 0xff) | major(d) << 8 | (minor(d) >> 8) << 20;
}

static inline uint32_t count_directories(const struct tree_node *node)
{
        uint32_t n = 0;

        for (size_t i = 0; i < node->n_children; i++)
                n += S_ISDIR(node->children[i]->inode->mode);
        return n;
}

/* A second name must lead to the node id of the first; true when that was compared already. */
static inline bool compare_link(struct comparison *c, const struct tree_inode *inode, uint64_t nid)
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
static inline bool compare_inode(struct comparison *c, const struct tree_node *node, uint64_t nid,
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
static inline uint8_t type_of(mode_t mode)
{
        static const char types[] = "\0\5\3\0\2\0\4\0\1\0\7\0\6\0\0"; /* by mode >> 12 */

        return (uint8_t)types[(mode & S_IFMT) >> 12];
}

static inline bool is_dots(const struct reader_entry *e)
{
        return e->name[0] == '.' && (e->length == 1 || (e->length == 2 && e->name[1] == '.'));
}

static inline void compare_node(struct comparison *c, const struct tree_node *node, uint64_t nid,
                                uint64_t parent_nid);

/* Entries come in strict order, "." and ".." once each, children as the tree has them. */
static inline void compare_entries(struct comparison *c, const struct tree_node *node,
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

static inline void compare_node(struct comparison *c, const struct tree_node *node, uint64_t nid,
                                uint64_t parent_nid)
{
        struct reader_inode found;

        if (compare_inode(c, node, nid, &found))
                compare_entries(c, node, &found, parent_nid);
}

static inline void compare_image(const struct tree *tree, const uint8_t *data, uint64_t size)
{
        struct comparison c = {};

        assert_true(reader_open(&c.reader, data, size));
        compare_node(&c, tree->root, c.reader.root_nid, c.reader.root_nid);
        assert_int_equal(c.reader.inodes, c.inodes);
}

/* ---- random trees ---- */

static inline uint64_t next_random(uint64_t *state)
{
        uint64_t z = *state += 0x9E3779B97F4A7C15ULL;

        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
        return z ^ z >> 31;
}

static inline uint64_t below(uint64_t *state, uint64_t limit)
{
        return next_random(state) % limit;
}

/* Sizes near the edges of blocks more often than not. */
static inline size_t random_size(uint64_t *s, size_t limit)
{
        size_t size = below(s, 3) == 0 ? below(s, limit) : below(s, limit / 4096 + 1) * 4096;

        size += below(s, 4) == 0 ? below(s, 64) : 0;
        size -= below(s, 4) == 0 ? MIN(size, below(s, 64)) : 0;
        return MIN(size, limit - 1);
}

static inline void random_bytes(uint64_t *s, char *p, size_t size)
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
static inline void random_name(uint64_t *s, char *ret)
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

static inline void random_xattrs(uint64_t *s, struct tree_inode *inode)
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

static inline void random_symlink(uint64_t *s, struct tree_inode *inode)
{
        size_t length = 1 + (below(s, 4) == 0 ? below(s, 4095) : below(s, 60));

        inode->target = malloc(length + 1);
        assert_non_null(inode->target);
        memset(inode->target, 't', length);
        inode->target[length] = '\0';
        inode->size = length;
}

/* At and around the ends of blocks and clusters, and now and then large. */
static inline size_t random_file_size(uint64_t *s, size_t limit)
{
        static const size_t units[] = { 4096, 8192, 65536, 131072, 1048576 };
        size_t size;

        if (below(s, 8) > 0)
                return random_size(s, 40000);
        size = units[below(s, 2 + below(s, 4))] * (1 + below(s, 3)) + below(s, 5) - 2;
        return MIN(size, limit);
}

/* Stretches that compress well, a little, and not at all. */
static inline void random_content(uint64_t *s, char *p, size_t size)
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

static inline struct tree_inode *random_inode(uint64_t *s)
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

static inline struct tree *random_tree(uint64_t seed)
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

static inline uint64_t setting(const char *name, uint64_t fallback)
{
        const char *value = getenv(name);

        return value ? strtoull(value, NULL, 10) : fallback;
}
