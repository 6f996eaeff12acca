/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* module-patches make OLD NEW FILE LEVEL: patches from the modules in the directory OLD (like
 * /usr/lib/modules) to those in NEW, as `slipway publish` makes them.
 * module-patches apply OLD FILE IMAGE: makes the new modules as the agent does, and counts the
 * blocks of IMAGE that these are. Both print one JSON object. For benchmarks. */

#include <fcntl.h>

#include "io.h"
#include "module-diff.h"
#include "patched-modules.h"
#include "verity.h"

/* ---- make ---- */

static int add_module(struct tree *tree, int dir_fd, const char *directory, const char *path,
                      struct error *err)
{
        char full[TREE_PATH_MAX];
        struct tree_inode *inode;
        struct tree_node *parent;
        struct stat st;
        int r;

        if (fstatat(dir_fd, path, &st, 0) < 0)
                return error_errno(err, "%s", path);
        snprintf(full, sizeof(full), MODULE_DIRECTORY "/%s", path);
        *strrchr(full, '/') = '\0';
        r = tree_make_dirs(tree, full, &parent, err);
        if (r < 0)
                return r;
        inode = tree_inode_new(S_IFREG | 0644, 0, 0);
        if (!inode)
                return error_oom(err);
        inode->kind = CONTENT_PATH;
        inode->size = (uint64_t)st.st_size;
        if (asprintf(&inode->path, "%s/%s", directory, path) < 0)
                return error_oom(err);
        return tree_link(parent, strrchr(path, '/') + 1, inode, NULL, err);
}

/* A tree with the modules of a directory, and their set. */
static int load_tree(const char *directory, struct tree **ret, struct module_set *ret_set,
                     struct error *err)
{
        _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_module_set_ struct module_set found = {};
        _cleanup_tree_ struct tree *tree = NULL;
        int r;

        if (fd < 0)
                return error_errno(err, "%s", directory);
        r = module_set_load(AT_FDCWD, directory, &found, err);
        if (r >= 0)
                r = tree_new(&tree, err);
        for (size_t i = 0; r >= 0 && i < found.count; i++)
                r = add_module(tree, fd, directory, found.items[i].path, err);
        if (r >= 0)
                r = module_set_of_tree(tree, NULL, ret_set, err);
        if (r >= 0)
                *ret = TAKE_PTR(tree);
        return r;
}

static int make(char *argv[], struct error *err)
{
        _cleanup_module_set_ struct module_set old_set = {}, new_set = {};
        _cleanup_tree_ struct tree *old = NULL, *new = NULL;
        struct module_diff_counts counts;
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = load_tree(argv[0], &old, &old_set, err);
        if (r >= 0)
                r = load_tree(argv[1], &new, &new_set, err);
        if (r >= 0)
                r = module_diff(&(struct module_diff_input){ old, NULL, &old_set },
                                &(struct module_diff_input){ new, NULL, &new_set }, atoi(argv[3]),
                                &data, &size, &counts, err);
        if (r >= 0)
                r = file_write(AT_FDCWD, argv[2], data, size, 0644, err);
        if (r >= 0)
                printf("{ \"changed\": %zu, \"patched\": %zu, \"moduleBytes\": %ju, "
                       "\"fileBytes\": %zu }\n",
                       counts.changed, counts.patched, (uintmax_t)counts.bytes, size);
        return r;
}

/* ---- apply ---- */

struct counter {
        const struct block_digests *leaves;
        uint64_t blocks;
};

static bool wants(void *userdata _unused_, uint64_t block _unused_)
{
        return true;
}

static int take(void *userdata, uint64_t first, uint64_t count, const void *data, struct error *err)
{
        struct counter *c = userdata;
        struct sha256 digest;

        for (uint64_t i = 0; i < count; i++) {
                blocks_hash((const char *)data + i * BLOCK_SIZE, 1, &digest);
                if (!sha256_equal(&digest, &c->leaves->items[first + i]))
                        return error_set(err, -EBADMSG, "block %ju is wrong",
                                         (uintmax_t)(first + i));
        }
        c->blocks += count;
        return 0;
}

static int hash_image(const char *path, struct block_digests *ret, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint8_t block[BLOCK_SIZE];
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", path);
        r = block_digests_init(ret, (uint64_t)st.st_size / BLOCK_SIZE, err);
        for (uint64_t i = 0; r >= 0 && i < ret->count; i++) {
                r = io_pread(fd, block, sizeof(block), i * BLOCK_SIZE, NULL, err);
                block_digests_set(ret, i, block, 1);
        }
        return r;
}

static int apply_to(const struct patched_modules *m, const char *path, struct error *err)
{
        _cleanup_module_patches_ struct module_patches patches = {};
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, MODULE_PATCHES_SIZE_MAX, &data, &size, err);

        if (r >= 0)
                r = module_patches_parse(data, size, &patches, err);
        if (r >= 0)
                r = patched_modules_make(m, &patches, err);
        return r;
}

static int apply(char *argv[], struct error *err)
{
        _cleanup_block_digests_ struct block_digests leaves = {};
        _cleanup_close_ int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        _cleanup_module_set_ struct module_set set = {};
        struct counter counter = { .leaves = &leaves };
        const struct block_sink sink = { wants, take, &counter };
        struct hash_tree tree;
        struct sha256 root_hash;
        int r = hash_image(argv[2], &leaves, err);

        if (r < 0)
                return r;
        if (fd < 0 || ftruncate(fd, (off_t)verity_tree_size(leaves.count * BLOCK_SIZE)) < 0)
                return error_errno(err, "/tmp");
        r = verity_write(&leaves, &(struct uuid){}, fd, 0, &root_hash, err);
        if (r >= 0)
                r = hash_tree_open(fd, 0, leaves.count * BLOCK_SIZE, &root_hash, &tree, err);
        if (r >= 0)
                r = module_set_load(AT_FDCWD, argv[0], &set, err);
        if (r >= 0)
                r = apply_to(&(struct patched_modules){ argv[0], &set, &tree, &sink, false },
                             argv[1], err);
        if (r >= 0)
                printf("{ \"blocks\": %ju }\n", (uintmax_t)counter.blocks);
        return r;
}

int main(int argc, char *argv[])
{
        struct error err = {};
        int r = -EINVAL;

        if (argc == 6 && streq(argv[1], "make"))
                r = make(argv + 2, &err);
        else if (argc == 5 && streq(argv[1], "apply"))
                r = apply(argv + 2, &err);
        else
                r = error_set(&err, -EINVAL,
                              "usage: module-patches make OLD NEW FILE LEVEL | "
                              "apply OLD FILE IMAGE");
        if (r >= 0)
                return EXIT_SUCCESS;
        fprintf(stderr, "module-patches: %s\n", err.message);
        return EXIT_FAILURE;
}
