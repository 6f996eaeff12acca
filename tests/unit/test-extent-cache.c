/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache of compressed contents: what was kept is found, what is damaged is not believed, and
 * images are the same with it and without it. */

#include "test.h"

#include <dirent.h>
#include <sys/mman.h>

#include "erofs.h"
#include "io.h"

enum { BLOCKS = 5, PACKS_MAX = 8, FILES = 40, FILE_MAX = 300000 };

static const char parameters[] = "test 1";

struct place {
        char *path;
        int fd;
};

static int setup(void **state)
{
        struct place *p = calloc(1, sizeof(*p));

        p->path = test_mkdir();
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;

        close(p->fd);
        test_rmdir(p->path);
        free(p);
        return 0;
}

static struct extent_cache *open_cache(const struct place *p)
{
        struct extent_cache *c = NULL;
        struct error err = {};

        assert_ok(extent_cache_open(p->fd, parameters, &c, &err), &err);
        return c;
}

/* Names of the packs; returns their number. */
static size_t packs(const struct place *p, char names[][NAME_MAX + 1], size_t max)
{
        int fd = openat(p->fd, "derived", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fdopendir(fd);
        size_t n = 0;

        assert_non_null(dir);
        for (struct dirent *e; (e = readdir(dir));) {
                if (e->d_name[0] == '.' && (e->d_name[1] == '\0' || e->d_name[1] == '.'))
                        continue;
                if (n < max)
                        strcpy(names[n], e->d_name);
                n++;
        }
        closedir(dir);
        return n;
}

static int open_pack(const struct place *p)
{
        char name[1][NAME_MAX + 1], path[NAME_MAX + 16];
        int fd;

        assert_int_equal(packs(p, name, 1), 1);
        snprintf(path, sizeof(path), "derived/%s", name[0]);
        fd = openat(p->fd, path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static void flip(int fd, uint64_t offset)
{
        uint8_t byte;

        assert_int_equal(io_pread(fd, &byte, 1, offset, NULL, NULL), 0);
        byte ^= 0x10;
        assert_int_equal(io_pwrite(fd, &byte, 1, offset, NULL), 0);
}

static struct sha256 object_of(unsigned number)
{
        struct sha256 object;

        sha256_of(&number, sizeof(number), &object);
        return object;
}

/* Keeps one extent of BLOCKS blocks, made of the number. */
static void keep(struct extent_cache *c, unsigned number)
{
        static const uint16_t pieces[] = { 2, 0, 2 };
        static uint8_t data[BLOCKS * BLOCK_SIZE];
        struct sha256 digests[BLOCKS];
        struct extent e = {
                .object = object_of(number),
                .piece_blocks = pieces,
                .pieces = ARRAY_SIZE(pieces),
                .digests = digests,
                .blocks = BLOCKS,
        };
        struct error err = {};

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(number + i / BLOCK_SIZE + i % 251);
        blocks_hash(data, BLOCKS, digests);
        e.block = extent_cache_reserve(c, BLOCKS);
        assert_ok(extent_cache_write(c, e.block, data, BLOCKS, &err), &err);
        assert_ok(extent_cache_add(c, &e, &err), &err);
}

static void finish(struct extent_cache *c)
{
        struct error err = {};

        assert_ok(extent_cache_finish(c, &err), &err);
        extent_cache_free(c);
}

static void keep_pack(const struct place *p, unsigned first, unsigned count)
{
        struct extent_cache *c = open_cache(p);

        for (unsigned i = 0; i < count; i++)
                keep(c, first + i);
        finish(c);
}

static bool is_kept(struct extent_cache *c, unsigned number)
{
        const struct sha256 object = object_of(number);
        const struct extent *e = extent_cache_find(c, &object);
        static uint8_t data[BLOCKS * BLOCK_SIZE];
        struct sha256 digests[BLOCKS];

        if (!e)
                return false;
        assert_int_equal(e->blocks, BLOCKS);
        assert_int_equal(e->pieces, 3);
        assert_int_equal(e->piece_blocks[0], 2);
        assert_int_equal(e->piece_blocks[1], 0);
        if (!extent_cache_read(c, e, 1, BLOCKS - 1, data))
                return false;
        blocks_hash(data, BLOCKS - 1, digests);
        assert_memory_equal(digests, e->digests + 1, (BLOCKS - 1) * sizeof(*digests));
        return true;
}

static void test_kept(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c;

        keep_pack(p, 0, 10);
        keep_pack(p, 10, 1);
        c = open_cache(p);
        for (unsigned i = 0; i < 11; i++)
                assert_true(is_kept(c, i));
        assert_false(is_kept(c, 11));
        assert_false(extent_cache_gathers(c));
        finish(c);
        assert_int_equal(packs(p, NULL, 0), 2); /* nothing was kept: no new pack */
}

/* Other parameters: other packs. */
static void test_parameters(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c = NULL;

        keep_pack(p, 0, 3);
        assert_int_equal(extent_cache_open(p->fd, "test 2", &c, NULL), 0);
        assert_false(is_kept(c, 0));
        extent_cache_free(c);
}

/* A build that is stopped leaves nothing behind. */
static void test_unfinished(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c = open_cache(p);

        keep(c, 0);
        extent_cache_free(c);
        assert_int_equal(packs(p, NULL, 0), 0);
}

/* The end of a pack, bit by bit and cut at many places: never believed, and removed. */
static void test_damaged_index(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c;
        struct stat st;

        for (uint64_t back = 1; back < 56 + 3 * (48 + 8 + BLOCKS * (8 + 32ULL)); back += 3) {
                int fd;

                keep_pack(p, 0, 3);
                fd = open_pack(p);
                assert_int_equal(fstat(fd, &st), 0);
                if (back % 2 == 0)
                        flip(fd, (uint64_t)st.st_size - back);
                else
                        assert_int_equal(ftruncate(fd, st.st_size - (off_t)back), 0);
                close(fd);
                c = open_cache(p);
                for (unsigned i = 0; i < 3; i++)
                        assert_false(is_kept(c, i));
                extent_cache_free(c);
                assert_int_equal(packs(p, NULL, 0), 0);
        }
}

static void test_damaged_blocks(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c;
        int fd;

        keep_pack(p, 0, 3);
        fd = open_pack(p);
        flip(fd, (BLOCKS + 2) * BLOCK_SIZE + 77);
        close(fd);
        c = open_cache(p);
        assert_true(is_kept(c, 0));
        assert_false(is_kept(c, 1));
        finish(c);
        assert_int_equal(packs(p, NULL, 0), 0);
}

/* More packs than PACKS_MAX: the next one takes their place. */
static void test_gathers(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c;

        for (unsigned i = 0; i <= PACKS_MAX; i++)
                keep_pack(p, i, 1);
        assert_int_equal(packs(p, NULL, 0), PACKS_MAX + 1);
        c = open_cache(p);
        assert_true(extent_cache_gathers(c));
        for (unsigned i = 0; i < 4; i++)
                keep(c, i);
        assert_true(is_kept(c, 7)); /* as long as it is open */
        finish(c);
        assert_int_equal(packs(p, NULL, 0), 1);
        c = open_cache(p);
        assert_true(is_kept(c, 3));
        assert_false(is_kept(c, 7));
        extent_cache_free(c);
}

/* The gathered pack is the same as one of those that it takes the place of. */
static void test_gathers_same(void **state)
{
        const struct place *p = *state;
        struct extent_cache *c;

        keep_pack(p, 0, 20);
        for (unsigned i = 0; i < PACKS_MAX; i++)
                keep_pack(p, 100 + i, 1);
        keep_pack(p, 0, 20);
        assert_int_equal(packs(p, NULL, 0), 1);
        c = open_cache(p);
        assert_true(is_kept(c, 19));
        extent_cache_free(c);
}

/* ---- images ---- */

/* Contents by object: the number of a file is in its object's first bytes. */
static int open_object(void *userdata _unused_, const struct sha256 *object,
                       struct error *err _unused_)
{
        int fd = memfd_create("content", MFD_CLOEXEC);
        _cleanup_free_ uint8_t *data = malloc(FILE_MAX); /* there are several threads */
        uint32_t number, size;

        memcpy(&number, object->bytes, sizeof(number));
        memcpy(&size, object->bytes + 4, sizeof(size));
        for (size_t i = 0; i < size; i++)
                data[i] = i % 5 == 0 ? (uint8_t)(i * number >> 7) : (uint8_t)(i / 3000 + number);
        assert_int_equal(io_write(fd, data, size, NULL), 0);
        return fd;
}

static struct tree *objects_tree(unsigned changed)
{
        struct tree *tree;
        char name[16];

        assert_int_equal(tree_new(&tree, NULL), 0);
        for (unsigned i = 0; i < FILES; i++) {
                struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 0, 0);
                uint32_t number = i + (i == changed ? 1000 : 0), size = 1 + i * 7001 % FILE_MAX;

                inode->kind = CONTENT_OBJECT;
                inode->size = size;
                memcpy(inode->object.bytes, &number, sizeof(number));
                memcpy(inode->object.bytes + 4, &size, sizeof(size));
                snprintf(name, sizeof(name), "file-%02u", i);
                assert_int_equal(tree_link(tree->root, name, inode, NULL, NULL), 0);
        }
        return tree;
}

/* The digests of the image, written with the cache of the place or without any. */
static void image_of(const struct tree *tree, const struct place *cached, unsigned threads,
                     struct block_digests *ret)
{
        struct erofs_options options = { .codec = { CODEC_ZSTD, 1 }, .cluster_size = 16384 };
        const struct content_store store = { .open = open_object };
        struct erofs_target target = { .fd = -1, .digests = ret };
        struct erofs_image *image = NULL;
        struct error err = {};

        if (cached)
                options.cache = open_cache(cached);
        options.keep = cached != NULL;
        assert_ok(erofs_image_new(tree->root, &options, &image, &err), &err);
        assert_ok(block_digests_init(ret, erofs_image_bound(image) / BLOCK_SIZE, &err), &err);
        assert_ok(erofs_image_write(image, &store, &target, threads, &err), &err);
        erofs_image_free(image);
        if (cached)
                finish(options.cache);
}

static void assert_same_image(const struct tree *tree, const struct place *cached)
{
        struct block_digests with, without;

        for (unsigned threads = 1; threads <= 4; threads += 3) {
                image_of(tree, NULL, threads, &without);
                image_of(tree, cached, threads, &with);
                assert_int_equal(with.count, without.count);
                assert_memory_equal(with.items, without.items, with.count * sizeof(*with.items));
                block_digests_done(&with);
                block_digests_done(&without);
        }
}

static void test_images(void **state)
{
        const struct place *p = *state;
        struct tree *tree = objects_tree(FILES), *other = objects_tree(17);
        int fd;

        assert_same_image(tree, p); /* fills it, and uses it */
        assert_int_equal(packs(p, NULL, 0), 1);
        assert_same_image(other, p); /* one more file */
        assert_int_equal(packs(p, NULL, 0), 2);
        for (unsigned i = 0; i < FILES; i += 3) { /* till the packs are gathered, and beyond */
                struct tree *next = objects_tree(i);

                assert_same_image(next, p);
                assert_in_range(packs(p, NULL, 0), 1, PACKS_MAX + 1);
                tree_free(next);
        }
        for (uint64_t offset = 0; offset < 200000; offset += 39999) {
                assert_int_equal(path_remove_tree(p->fd, "derived", NULL), 0);
                assert_same_image(tree, p);
                fd = open_pack(p);
                flip(fd, offset);
                close(fd);
                assert_same_image(tree, p);
        }
        tree_free(tree);
        tree_free(other);
}

#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CACHE_TEST(test_kept),           CACHE_TEST(test_parameters),
                CACHE_TEST(test_unfinished),     CACHE_TEST(test_damaged_index),
                CACHE_TEST(test_damaged_blocks), CACHE_TEST(test_gathers),
                CACHE_TEST(test_gathers_same),   CACHE_TEST(test_images),
        };

        return test_run(tests);
}
