/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Images that lie like an earlier one: random trees and random changes of them, over several
 * generations. SLIPWAY_TEST_TREES=N sets the number of trees, SLIPWAY_TEST_SEED=N the first seed.
 */

#include "erofs-test.h"
#include "layout-tree.h"

enum { TREES = 30, GENERATIONS = 4, DAMAGES = 40 };

/* ---- trees whose contents are objects ---- */

/* Where the contents of a tree are looked for. */
static int open_object(void *userdata, const struct sha256 *object, struct error *err)
{
        const struct tree *tree = userdata;

        TREE_FOREACH (node, tree->root) {
                const struct tree_inode *inode = node->inode;
                int fd;

                if (inode->kind != CONTENT_OBJECT || !sha256_equal(&inode->object, object))
                        continue;
                fd = memfd_create("content", MFD_CLOEXEC);
                assert_true(fd >= 0);
                assert_int_equal(io_write(fd, inode->data, inode->size, NULL), 0);
                return fd;
        }
        return error_set(err, -ENOENT, "no such object");
}

static void make_objects(struct tree *tree)
{
        TREE_FOREACH (node, tree->root) {
                struct tree_inode *inode = node->inode;

                if (!S_ISREG(inode->mode) || inode->kind == CONTENT_NONE)
                        continue;
                sha256_of(inode->data, inode->size, &inode->object);
                inode->kind = CONTENT_OBJECT;
        }
}

static struct tree_node *random_node(uint64_t *s, const struct tree *tree)
{
        struct tree_node *chosen = NULL;
        uint64_t n = 0;

        TREE_FOREACH (node, tree->root)
                if (node != tree->root && below(s, ++n) == 0)
                        chosen = node;
        return chosen;
}

static void change_content(uint64_t *s, struct tree_inode *inode)
{
        static char data[300000];
        size_t size = random_file_size(s, sizeof(data));

        random_content(s, data, size);
        if (S_ISREG(inode->mode))
                assert_int_equal(tree_inode_set_data(inode, data, size, NULL), 0);
}

/* Something is removed, added, changed, or only its mode is. */
static void change_tree(uint64_t *s, struct tree *tree)
{
        for (uint64_t n = below(s, 12); n > 0; n--) {
                struct tree_node *node = random_node(s, tree);
                struct tree_inode *inode;
                char name[256];

                switch (below(s, 4)) {
                case 0:
                        if (node)
                                tree_remove(node);
                        break;
                case 1:
                        inode = random_inode(s);
                        random_name(s, name);
                        if (tree_link(tree->root, name, inode, NULL, NULL) < 0)
                                tree_inode_free(inode);
                        break;
                case 2:
                        if (node)
                                change_content(s, node->inode);
                        break;
                default:
                        if (node)
                                tree_inode_set_owner(node->inode, (uint32_t)below(s, 70000), 0);
                }
        }
        make_objects(tree);
}

/* The tree of a seed after so many rounds of changes; the same for the same arguments. */
static struct tree *tree_of(uint64_t seed, unsigned generation)
{
        struct tree *tree = random_tree(seed);
        uint64_t s = seed * 1000003;

        make_objects(tree);
        for (unsigned i = 0; i < generation; i++)
                change_tree(&s, tree);
        return tree;
}

/* ---- images ---- */

static struct erofs_image *new_image(const struct tree *tree, const struct form *form)
{
        struct erofs_options options = {
                .build_time = BUILD_TIME,
                .codec = form->codec,
                .cluster_size = form->cluster_size,
        };
        struct erofs_image *image = NULL;
        struct error err = {};

        assert_ok(erofs_image_new(tree->root, &options, &image, &err), &err);
        return image;
}

static struct content_store store_of(const struct tree *tree)
{
        return (struct content_store){ .open = open_object, .userdata = (void *)tree };
}

static void measure(const struct tree *tree, struct erofs_image *image)
{
        const struct content_store store = store_of(tree);
        struct error err = {};

        assert_ok(erofs_image_measure(image, &store, 4, &err), &err);
}

/* Writes the image, compares it with its tree, and returns the bytes (caller unmaps). */
static const uint8_t *written(const struct tree *tree, struct erofs_image *image, uint64_t *ret)
{
        const struct content_store store = store_of(tree);
        _cleanup_block_digests_ struct block_digests digests = {};
        _cleanup_close_ int fd = memory_file();
        struct erofs_target target = { fd, 0, UINT64_MAX, &digests };
        uint64_t blocks = erofs_image_bound(image) / BLOCK_SIZE;
        struct sha256 digest;
        const uint8_t *data;
        struct error err = {};

        assert_ok(block_digests_init(&digests, blocks, &err), &err);
        assert_ok(erofs_image_write(image, &store, &target, 3, &err), &err);
        *ret = erofs_image_size(image);
        data = map_image(fd, *ret);
        compare_image(tree, data, *ret);
        assert_int_equal(digests.count * BLOCK_SIZE, *ret);
        for (uint64_t i = 0; i < digests.count; i++) {
                sha256_of(data + i * BLOCK_SIZE, BLOCK_SIZE, &digest);
                assert_memory_equal(&digest, &digests.items[i], sizeof(digest));
        }
        return data;
}

static void assert_equal_bytes(const uint8_t *a, uint64_t a_size, const uint8_t *b, uint64_t b_size)
{
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
}

/* Another image of the tree with the places of a record: the same bytes. */
static void check_record(const struct tree *tree, const struct form *form,
                         const struct buffer *record, const uint8_t *data, uint64_t size)
{
        _cleanup_(erofs_image_free_p) struct erofs_image *again = new_image(tree, form);
        const uint8_t *same;
        uint64_t same_size;
        struct error err = {};

        assert_ok(erofs_image_apply(again, record->data, record->size, &err), &err);
        same = written(tree, again, &same_size);
        assert_equal_bytes(data, size, same, same_size);
        munmap((void *)same, same_size);
}

/* A record that is not the image's is refused, or leads to another sound image of the tree, or to
 * an error: never beyond memory, never to wrong contents. */
static void check_damaged_record(const struct tree *tree, const struct form *form,
                                 const struct buffer *record, uint64_t *s)
{
        const struct content_store store = store_of(tree);

        for (unsigned i = 0; i < DAMAGES; i++) {
                _cleanup_(erofs_image_free_p) struct erofs_image *image = new_image(tree, form);
                _cleanup_free_ char *data = malloc(record->size + 1);
                _cleanup_close_ int fd = memory_file();
                struct erofs_target target = { fd, 0, 1 << 20, NULL };
                size_t size = below(s, 8) == 0 ? below(s, record->size) : record->size;
                struct error err = {};

                memcpy(data, record->data, record->size);
                for (uint64_t n = 1 + below(s, 3); n > 0; n--)
                        data[below(s, record->size)] ^= (char)(1 << below(s, 8));
                if (erofs_image_apply(image, data, size, &err) < 0)
                        continue;
                (void)!erofs_image_write(image, &store, &target, 1, &err);
        }
}

/* The first image, as a base. */
static struct erofs_image *first_image(const struct tree *tree, const struct form *form)
{
        struct erofs_image *image = new_image(tree, form);

        measure(tree, image);
        erofs_image_place(image);
        return image;
}

/* Each generation lies like the one before. */
static void check_generations(uint64_t seed, const struct form *form)
{
        struct tree *tree = tree_of(seed, 0);
        struct erofs_image *image = first_image(tree, form);
        uint64_t s = seed;

        for (unsigned i = 1; i <= GENERATIONS; i++) {
                struct tree *next_tree = tree_of(seed, i);
                struct erofs_image *next = new_image(next_tree, form);
                _cleanup_buffer_ struct buffer record = {};
                const uint8_t *data;
                struct error err = {};
                uint64_t size;

                measure(next_tree, next);
                assert_ok(erofs_image_rebase(next, image, &err), &err);
                data = written(next_tree, next, &size);
                erofs_image_layout(next, &record);
                check_record(next_tree, form, &record, data, size);
                if (i == GENERATIONS)
                        check_damaged_record(next_tree, form, &record, &s);
                munmap((void *)data, size);
                erofs_image_free(image);
                tree_free(tree);
                image = next;
                tree = next_tree;
        }
        erofs_image_free(image);
        tree_free(tree);
}

static const struct form forms[] = {
        {},
        { .codec = { CODEC_ZSTD, 1 }, .cluster_size = 16384 },
        { .codec = { CODEC_LZ4, 0 }, .cluster_size = 65536 },
};

static void test_generations(void **state _unused_)
{
        uint64_t n = setting("SLIPWAY_TEST_TREES", TREES), seed = setting("SLIPWAY_TEST_SEED", 1);

        for (uint64_t i = 0; i < n; i++)
                check_generations(seed + i, &forms[i % ARRAY_SIZE(forms)]);
}

/* Nothing changed: not a byte does. And an image that is placed before is written as one that is
 * placed as it is written. */
static void test_same(void **state _unused_)
{
        for (uint64_t seed = 1; seed <= 30; seed++) {
                const struct form *form = &forms[seed % ARRAY_SIZE(forms)];
                _cleanup_tree_ struct tree *tree = tree_of(seed, 0);
                _cleanup_(erofs_image_free_p) struct erofs_image *base = first_image(tree, form);
                _cleanup_(erofs_image_free_p) struct erofs_image *like = new_image(tree, form);
                _cleanup_(erofs_image_free_p) struct erofs_image *plain = new_image(tree, form);
                uint64_t base_size, like_size, plain_size;
                const uint8_t *base_data, *like_data, *plain_data;
                struct error err = {};

                measure(tree, like);
                assert_int_equal(erofs_image_rebase(like, base, &err), 0);
                base_data = written(tree, base, &base_size);
                like_data = written(tree, like, &like_size);
                plain_data = written(tree, plain, &plain_size);
                assert_equal_bytes(base_data, base_size, like_data, like_size);
                assert_equal_bytes(base_data, base_size, plain_data, plain_size);
                munmap((void *)base_data, base_size);
                munmap((void *)like_data, like_size);
                munmap((void *)plain_data, plain_size);
        }
}

/* ---- what stays, and what does not ---- */

enum { MANY = 600, FILE_SIZE = 40000 };

/* Many files; those in [first, end) are other ones. */
static struct tree *many_files(unsigned first, unsigned end)
{
        static char data[FILE_SIZE];
        struct tree *tree;
        char name[16];

        assert_int_equal(tree_new(&tree, NULL), 0);
        for (unsigned i = 0; i < MANY; i++) {
                struct tree_inode *inode = tree_inode_new(S_IFREG | 0644, 0, 0);
                uint64_t s = i + (i >= first && i < end ? 1000 : 0) + 1;

                random_content(&s, data, sizeof(data));
                assert_int_equal(tree_inode_set_data(inode, data, sizeof(data), NULL), 0);
                snprintf(name, sizeof(name), "file-%03u", i);
                assert_int_equal(tree_link(tree->root, name, inode, NULL, NULL), 0);
        }
        make_objects(tree);
        return tree;
}

/* Blocks that differ from what is at their place in the base. */
static uint64_t moved_blocks(const uint8_t *base, uint64_t base_size, const uint8_t *data,
                             uint64_t size)
{
        uint64_t n = 0;

        for (uint64_t at = 0; at < size; at += BLOCK_SIZE)
                n += at >= base_size || memcmp(base + at, data + at, BLOCK_SIZE) != 0;
        return n;
}

/* Of 600 files some change: their blocks and the maps of these do, and nothing else. */
static void test_stays(void **state _unused_)
{
        const struct form *form = &forms[1];
        _cleanup_tree_ struct tree *tree = many_files(0, 0), *other = many_files(100, 103);
        _cleanup_(erofs_image_free_p) struct erofs_image *base = first_image(tree, form);
        _cleanup_(erofs_image_free_p) struct erofs_image *next = new_image(other, form);
        uint64_t base_size, size;
        const uint8_t *base_data, *data;
        struct error err = {};

        measure(other, next);
        assert_int_equal(erofs_image_rebase(next, base, &err), 0);
        base_data = written(tree, base, &base_size);
        data = written(other, next, &size);
        assert_in_range(moved_blocks(base_data, base_size, data, size), 4,
                        3 * (FILE_SIZE / BLOCK_SIZE + 1) + 8);
        munmap((void *)base_data, base_size);
        munmap((void *)data, size);
}

/* Most of it goes: what would lie idle is more than the bound, and everything is packed anew. */
static void test_repacks(void **state _unused_)
{
        const struct form *form = &forms[0];
        _cleanup_tree_ struct tree *tree = many_files(0, 0), *other = many_files(0, 0);
        _cleanup_(erofs_image_free_p) struct erofs_image *base = first_image(tree, form);
        _cleanup_(erofs_image_free_p) struct erofs_image *next = NULL, *plain = NULL;
        uint64_t size, plain_size;
        const uint8_t *data, *plain_data;
        struct error err = {};

        while (other->root->n_children > 100)
                tree_remove(other->root->children[0]);
        next = new_image(other, form);
        plain = new_image(other, form);
        measure(other, next);
        assert_int_equal(erofs_image_rebase(next, base, &err), 1);
        data = written(other, next, &size);
        plain_data = written(other, plain, &plain_size);
        assert_equal_bytes(data, size, plain_data, plain_size);
        munmap((void *)data, size);
        munmap((void *)plain_data, plain_size);
}

/* The corpus of records: those that should fail are refused, each with its reason. */
static void test_corpus(void **state _unused_)
{
        static const struct {
                const char *name, *message;
        } records[] = {
                { "good", NULL },
                { "should-fail-number", "a number is too long" },
                { "should-fail-overlap", "two things lie in one place" },
                { "should-fail-short", "it ends early" },
        };
        _cleanup_tree_ struct tree *tree = layout_tree();

        for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
                _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
                _cleanup_free_ char *path = NULL, *data = NULL;
                struct error err = {};
                size_t size;
                int r;

                assert_true(asprintf(&path, TEST_DATA_DIR "/layout/%s", records[i].name) > 0);
                assert_ok(file_read(AT_FDCWD, path, 1 << 20, &data, &size, &err), &err);
                assert_ok(erofs_image_new(tree->root, &layout_options, &image, &err), &err);
                r = erofs_image_apply(image, data, size, &err);
                assert_int_equal(r, records[i].message ? -EBADMSG : 0);
                if (records[i].message)
                        assert_non_null(strstr(err.message, records[i].message));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_same),   cmocka_unit_test(test_generations),
                cmocka_unit_test(test_stays),  cmocka_unit_test(test_repacks),
                cmocka_unit_test(test_corpus),
        };

        return test_run(tests);
}
