/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Made-up kernels, from the making of patches to the blocks that come out of them: what is left out
 * when they are made, and that nothing but right blocks ever comes out, whatever is damaged. */

#include "test.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "module-diff.h"
#include "patched-modules.h"
#include "verity.h"

enum { LEVEL = 3, GAP_BLOCKS = 3 /* of other things, before each module */ };

/* Modules of the two kernels; sizes 0: it is not there. */
struct sample {
        const char *path; /* below the kernel's directory */
        size_t old_size, new_size;
        const struct xz_parameters *xz; /* NULL: it is no xz at all */
        bool same;                      /* in both kernels */
};

static const struct xz_parameters preset_1 = { 1, 1, 1024 * 1024, 3 * 1024 * 1024 };

static const struct sample samples[] = {
        { "kernel/drivers/block.ko.xz", 100000, 100100, &xz_kernel_threaded, false },
        { "kernel/drivers/gone.ko.xz", 30000, 0, &xz_kernel_threaded, false },
        { "kernel/drivers/new.ko.xz", 0, 30000, &xz_kernel_threaded, false },
        { "kernel/drivers/other.ko.xz", 60000, 60000, &preset_1, false },
        { "kernel/drivers/raw.ko.xz", 9000, 9000, NULL, false },
        { "kernel/fs/large.ko.xz", 300000, 310000, &xz_kernel_threaded, false },
        { "kernel/fs/same.ko.xz", 20000, 20000, &xz_kernel_threaded, true },
        { "kernel/fs/small.ko.xz", 5000, 4900, &xz_kernel_threaded, false },
};
enum { CHANGED = 5, PATCHED = 3 };

/* ---- making them up ---- */

/* Code that compresses well, and a version that stands in it again and again. */
static char *make_plain(const struct sample *s, size_t size, bool new)
{
        char *plain = malloc(size + 1);
        uint32_t state = (uint32_t)(s - samples) * 2654435761U + 1;

        assert_non_null(plain);
        for (size_t i = 0; i < size; i++) {
                state = state * 1664525 + 1013904223;
                plain[i] = i % 512 < 500 ? "module code, "[state % (i % 7 ? 1 : 13)]
                                         : (char)(state >> 24);
        }
        for (size_t i = 700; i + 16 < size && !s->same; i += 3000)
                memcpy(plain + i, new ? "vermagic=6.1.1 k" : "vermagic=6.1.0 k", 16);
        return plain;
}

static char *make_packed(const struct sample *s, bool new, const struct xz_parameters *xz,
                         size_t *ret)
{
        size_t size = new ? s->new_size : s->old_size;
        char *plain = make_plain(s, size, new), *packed;
        struct error err = {};

        *ret = size;
        if (!s->xz)
                return plain;
        packed = malloc(size);
        assert_ok(xz_pack(xz ?: s->xz, plain, size, packed, size, ret, &err), &err);
        free(plain);
        return packed;
}

struct world {
        char *directory; /* of the old modules */
        struct tree *old, *new;
        struct module_set old_set, new_set;
        struct block_digests leaves; /* of the new image */
        char *image;
        struct hash_tree tree;
        int tree_fd;
        bool *wanted; /* by block */
        uint64_t taken;
        bool fail;
};

static void put_module(struct world *w, const struct sample *s, bool new,
                       const struct xz_parameters *xz)
{
        char path[256];
        struct error err = {};
        size_t size;
        _cleanup_free_ char *packed = NULL;

        if ((new ? s->new_size : s->old_size) == 0)
                return;
        packed = make_packed(s, new, xz, &size);
        snprintf(path, sizeof(path), MODULE_DIRECTORY "/6.1.%d/%s", new, s->path);
        assert_ok(tree_put_file(new ? w->new : w->old, path, packed, size, 0644, NULL, &err), &err);
        if (!new) {
                _cleanup_close_ int fd = open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                snprintf(path, sizeof(path), "6.1.0/%s", s->path);
                *strrchr(path, '/') = '\0';
                assert_ok(path_mkdirs(fd, path, 0755, &err), &err);
                path[strlen(path)] = '/';
                assert_ok(file_write(fd, path, packed, size, 0644, &err), &err);
        }
}

/* Blocks of something else before each module, as in an image. */
static void make_image(struct world *w)
{
        size_t blocks = 0;
        char path[256];

        w->image = calloc(1, 4 * MIB);
        for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
                const struct tree_node *node;

                for (size_t k = 0; k < GAP_BLOCKS; k++, blocks++)
                        snprintf(w->image + blocks * BLOCK_SIZE, 64, "other things %zu", blocks);
                snprintf(path, sizeof(path), MODULE_DIRECTORY "/6.1.1/%s", samples[i].path);
                node = tree_lookup(w->new, path);
                if (!node)
                        continue;
                memcpy(w->image + blocks * BLOCK_SIZE, node->inode->data, node->inode->size);
                blocks += DIV_ROUND_UP(node->inode->size, BLOCK_SIZE);
        }
        w->leaves.count = blocks;
}

static void want_all(struct world *w)
{
        memset(w->wanted, true, w->leaves.count);
        w->taken = 0;
}

static void hash_image(struct world *w)
{
        uint64_t blocks = w->leaves.count;
        struct sha256 root_hash;
        struct error err = {};

        assert_ok(block_digests_init(&w->leaves, blocks, &err), &err);
        block_digests_set(&w->leaves, 0, w->image, blocks);
        w->tree_fd = memfd_create("tree", MFD_CLOEXEC);
        assert_int_equal(ftruncate(w->tree_fd, (off_t)verity_tree_size(blocks * BLOCK_SIZE)), 0);
        assert_ok(verity_write(&w->leaves, &(struct uuid){}, w->tree_fd, 0, &root_hash, &err),
                  &err);
        assert_ok(hash_tree_open(w->tree_fd, 0, blocks * BLOCK_SIZE, &root_hash, &w->tree, &err),
                  &err);
        w->wanted = malloc(blocks);
        want_all(w);
}

/* xz: what all modules are packed with, NULL: each as it says. */
static void world_init(struct world *w, const struct xz_parameters *xz)
{
        struct error err = {};

        *w = (struct world){ .directory = test_mkdir(), .tree_fd = -1 };
        assert_ok(tree_new(&w->old, &err), &err);
        assert_ok(tree_new(&w->new, &err), &err);
        for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
                put_module(w, &samples[i], false, xz);
                put_module(w, &samples[i], true, xz);
        }
        assert_ok(module_set_of_tree(w->old, NULL, &w->old_set, &err), &err);
        assert_ok(module_set_of_tree(w->new, NULL, &w->new_set, &err), &err);
        make_image(w);
        hash_image(w);
}

static void world_done(struct world *w)
{
        test_rmdir(w->directory);
        tree_free(w->old);
        tree_free(w->new);
        module_set_done(&w->old_set);
        module_set_done(&w->new_set);
        block_digests_done(&w->leaves);
        free(w->image);
        free(w->wanted);
        close(w->tree_fd);
}

static char *make_patches(const struct world *w, size_t *ret_size, struct module_diff_counts *c)
{
        struct error err = {};
        char *data = NULL;

        assert_ok(module_diff(&(struct module_diff_input){ w->old, NULL, &w->old_set },
                              &(struct module_diff_input){ w->new, NULL, &w->new_set }, LEVEL,
                              &data, ret_size, c, &err),
                  &err);
        return data;
}

/* ---- using them ---- */

static bool wants(void *userdata, uint64_t block)
{
        const struct world *w = userdata;

        return w->wanted[block];
}

static int take(void *userdata, uint64_t first, uint64_t count, const void *data, struct error *err)
{
        struct world *w = userdata;

        assert_true(count > 0 && first + count <= w->leaves.count);
        if (w->fail)
                return error_set(err, -EIO, "no disk");
        if (data)
                assert_memory_equal(data, w->image + first * BLOCK_SIZE, count * BLOCK_SIZE);
        for (uint64_t i = 0; i < count; i++) {
                assert_true(w->wanted[first + i]);
                w->wanted[first + i] = false;
        }
        w->taken += count;
        return 0;
}

static int apply(struct world *w, struct module_patches *p, bool dry, struct error *err)
{
        const struct block_sink sink = { wants, take, w };
        const struct patched_modules m = { w->directory, &w->old_set, &w->tree, &sink, dry };

        return patched_modules_make(&m, p, err);
}

/* Makes patches, has them changed, and applies them; returns what that returned. */
static int round_trip(struct world *w, void (*change)(struct module_patches *p), bool dry)
{
        _cleanup_module_patches_ struct module_patches p = {};
        struct module_diff_counts counts;
        struct error err = {};
        size_t size;
        _cleanup_free_ char *data = make_patches(w, &size, &counts);

        assert_ok(module_patches_parse(data, size, &p, &err), &err);
        if (change)
                change(&p);
        return apply(w, &p, dry, &err);
}

static size_t blocks_of(const struct world *w, const char *path)
{
        char full[256];

        snprintf(full, sizeof(full), MODULE_DIRECTORY "/6.1.1/%s", path);
        return DIV_ROUND_UP(tree_lookup(w->new, full)->inode->size, BLOCK_SIZE);
}

static size_t patched_blocks(const struct world *w)
{
        return blocks_of(w, "kernel/drivers/block.ko.xz") + blocks_of(w, "kernel/fs/large.ko.xz") +
               blocks_of(w, "kernel/fs/small.ko.xz");
}

/* ---- tests ---- */

static void makes_what_comes_out_equal(void **state _unused_)
{
        struct module_diff_counts counts;
        _cleanup_free_ char *data = NULL, *again = NULL;
        struct world w;
        size_t size, size_again;

        world_init(&w, NULL);
        data = make_patches(&w, &size, &counts);
        assert_int_equal(counts.changed, CHANGED);
        assert_int_equal(counts.patched, PATCHED);
        assert_true(size < counts.bytes / 4);
        again = make_patches(&w, &size_again, &counts);
        assert_int_equal(size, size_again);
        assert_memory_equal(data, again, size);
        assert_int_equal(round_trip(&w, NULL, false), 0);
        assert_int_equal(w.taken, patched_blocks(&w));
        /* Once more: nothing is wanted. */
        assert_int_equal(round_trip(&w, NULL, false), 0);
        assert_int_equal(w.taken, patched_blocks(&w));
        world_done(&w);
}

static void finds_the_encoder(void **state _unused_)
{
        struct module_diff_counts counts;
        _cleanup_free_ char *data = NULL, *none = NULL;
        struct world w;
        size_t size;

        world_init(&w, &xz_kernel_single);
        data = make_patches(&w, &size, &counts);
        assert_int_equal(counts.patched, PATCHED + 1);
        world_done(&w);
        world_init(&w, &preset_1);
        none = make_patches(&w, &size, &counts);
        assert_int_equal(counts.changed, CHANGED);
        assert_int_equal(counts.patched, 0);
        assert_int_equal(round_trip(&w, NULL, false), 0);
        assert_int_equal(w.taken, 0);
        world_done(&w);
}

static void takes_only_what_is_wanted(void **state _unused_)
{
        struct world w;
        size_t there = 0;

        world_init(&w, NULL);
        for (size_t i = 0; i < w.leaves.count; i += 2)
                w.wanted[i] = false;
        assert_int_equal(round_trip(&w, NULL, false), 0);
        for (size_t i = 0; i < w.leaves.count; i++)
                there += w.wanted[i];
        assert_true(w.taken > 0 && w.taken < patched_blocks(&w));
        assert_int_equal(there, w.leaves.count / 2 - w.taken);
        world_done(&w);
}

static void dry_runs_take_no_bytes(void **state _unused_)
{
        struct world w;

        world_init(&w, NULL);
        assert_int_equal(round_trip(&w, NULL, true), 0);
        assert_int_equal(w.taken, patched_blocks(&w));
        world_done(&w);
}

static void other_bytes(struct module_patches *p)
{
        static char wrong[64] = "not a frame";

        p->items[0].data = wrong;
        p->items[0].size = sizeof(wrong);
}

static void other_parameters(struct module_patches *p)
{
        p->xz = preset_1;
}

static void other_place(struct module_patches *p)
{
        p->items[0].first_block[3] ^= 1;
}

static void another_module(struct module_patches *p)
{
        p->items[0].old = 1;
}

static void other_sizes(struct module_patches *p)
{
        p->items[0].new_size--;
}

static void another_place(struct module_patches *p)
{
        memcpy(p->items[0].first_block, p->items[2].first_block, sizeof(p->items[0].first_block));
}

static void damage_only_costs_bytes(void **state _unused_)
{
        static const struct {
                void (*change)(struct module_patches *p);
                bool all; /* nothing comes out; else all but the first module does */
        } cases[] = {
                { other_bytes, false },    { other_parameters, true }, { other_place, false },
                { another_module, false }, { other_sizes, false },     { another_place, false },
        };

        struct world w;

        world_init(&w, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                size_t lost = cases[i].all ? patched_blocks(&w)
                                           : blocks_of(&w, "kernel/drivers/block.ko.xz");

                want_all(&w);
                assert_int_equal(round_trip(&w, cases[i].change, false), 0);
                assert_int_equal(w.taken, patched_blocks(&w) - lost);
        }
        world_done(&w);
}

static void old_modules_may_be_missing(void **state _unused_)
{
        _cleanup_free_ char *path = NULL;
        struct error err = {};
        struct world w;

        world_init(&w, NULL);
        assert_true(asprintf(&path, "%s/6.1.0/kernel/drivers/block.ko.xz", w.directory) > 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(round_trip(&w, NULL, false), 0);
        assert_int_equal(w.taken, patched_blocks(&w) - blocks_of(&w, "kernel/drivers/block.ko.xz"));
        /* And one that has become another, damaged one. */
        want_all(&w);
        assert_ok(file_write(AT_FDCWD, path,
                             "\xfd"
                             "7zXZ",
                             5, 0644, &err),
                  &err);
        assert_int_equal(round_trip(&w, NULL, false), 0);
        assert_int_equal(w.taken, patched_blocks(&w) - blocks_of(&w, "kernel/drivers/block.ko.xz"));
        world_done(&w);
}

static void other_set(struct module_patches *p)
{
        p->old_set.bytes[0] ^= 1;
}

static void beyond_set(struct module_patches *p)
{
        p->items[p->count - 1].old = MODULES_MAX - 1;
}

static void failures_are_told(void **state _unused_)
{
        struct world w;

        world_init(&w, NULL);
        assert_int_equal(round_trip(&w, other_set, false), -ESTALE);
        assert_int_equal(round_trip(&w, beyond_set, false), -ESTALE);
        w.fail = true;
        assert_int_equal(round_trip(&w, NULL, false), -EIO);
        world_done(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(makes_what_comes_out_equal),
                cmocka_unit_test(finds_the_encoder),
                cmocka_unit_test(takes_only_what_is_wanted),
                cmocka_unit_test(dry_runs_take_no_bytes),
                cmocka_unit_test(damage_only_costs_bytes),
                cmocka_unit_test(old_modules_may_be_missing),
                cmocka_unit_test(failures_are_told),
        };

        return test_run(tests);
}
