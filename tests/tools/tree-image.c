/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tree-image DIRECTORY IMAGE [HASHTREE [COMPRESSION]]: what the composer makes of a tree, made of
 * any directory of this machine. Owners, modes, times, xattrs, hard links and devices are taken
 * over; with HASHTREE (unless "") the dm-verity root hash is printed; COMPRESSION is
 * CODEC[:LEVEL[:CLUSTER]]. For tests that hand an image to a kernel, and for benchmarks. */

#include <fcntl.h>
#include <fts.h>
#include <sys/xattr.h>

#include "erofs.h"
#include "io.h"
#include "verity.h"

enum { XATTR_LIST_SIZE = 65536, CLUSTER_SIZE = 65536 };

/* Hard links: names of one file that were seen. */
struct seen {
        dev_t dev;
        ino_t ino;
        struct tree_inode *inode;
};

struct import {
        struct tree_node **open; /* directories from the root down to where the walk is */
        size_t capacity;
        struct seen *seen;
        size_t n_seen, seen_capacity;
};

static int read_xattrs(const char *path, struct tree_inode *inode, struct error *err)
{
        char names[XATTR_LIST_SIZE], value[TREE_XATTR_VALUE_MAX];
        ssize_t n = llistxattr(path, names, sizeof(names)), size;
        int r;

        if (n < 0)
                return error_errno(err, "%s", path);
        for (const char *name = names; name < names + n; name += strlen(name) + 1) {
                size = lgetxattr(path, name, value, sizeof(value));
                if (size < 0)
                        return error_errno(err, "%s: %s", path, name);
                r = tree_inode_set_xattr(inode, name, value, (size_t)size, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_content(const FTSENT *e, struct tree_inode *inode, struct error *err)
{
        const struct stat *st = e->fts_statp;

        if (S_ISREG(st->st_mode) && st->st_size > 0) {
                inode->kind = CONTENT_PATH;
                inode->size = (uint64_t)st->st_size;
                inode->path = strdup(e->fts_accpath);
                return inode->path ? 0 : error_oom(err);
        }
        if (S_ISLNK(st->st_mode))
                return path_readlink(AT_FDCWD, e->fts_accpath, &inode->target, err);
        inode->rdev = st->st_rdev;
        return 0;
}

static int read_inode(const FTSENT *e, struct tree_inode *inode, struct error *err)
{
        int r;

        inode->mtime = (uint64_t)e->fts_statp->st_mtime;
        r = read_content(e, inode, err);
        if (r < 0)
                return r;
        return read_xattrs(e->fts_accpath, inode, err);
}

static struct tree_inode *find_seen(const struct import *im, const struct stat *st)
{
        for (size_t i = 0; i < im->n_seen; i++)
                if (im->seen[i].ino == st->st_ino && im->seen[i].dev == st->st_dev)
                        return im->seen[i].inode;
        return NULL;
}

static int add_entry(struct import *im, const FTSENT *e, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *fresh = NULL;
        const struct stat *st = e->fts_statp;
        struct tree_node *node, *parent = im->open[e->fts_level - 1];
        struct tree_inode *inode = st->st_nlink > 1 ? find_seen(im, st) : NULL;
        int r;

        if (inode && !S_ISDIR(st->st_mode))
                return tree_link(parent, e->fts_name, inode, NULL, err);
        fresh = tree_inode_new(st->st_mode, st->st_uid, st->st_gid);
        if (!fresh || array_reserve(&im->open, &im->capacity, (size_t)e->fts_level + 1,
                                    sizeof(*im->open)) < 0)
                return error_oom(err);
        r = read_inode(e, fresh, err);
        if (r < 0)
                return r;
        r = tree_link(parent, e->fts_name, fresh, &node, err);
        if (r < 0)
                return r;
        inode = TAKE_PTR(fresh);
        im->open[e->fts_level] = node;
        if (st->st_nlink == 1 || S_ISDIR(st->st_mode))
                return 0;
        if (array_reserve(&im->seen, &im->seen_capacity, im->n_seen + 1, sizeof(*im->seen)) < 0)
                return error_oom(err);
        im->seen[im->n_seen++] = (struct seen){ st->st_dev, st->st_ino, inode };
        return 0;
}

static int add_root(struct import *im, const FTSENT *e, struct tree *tree, struct error *err)
{
        const struct stat *st = e->fts_statp;

        if (array_reserve(&im->open, &im->capacity, 1, sizeof(*im->open)) < 0)
                return error_oom(err);
        im->open[0] = tree->root;
        tree->root->inode->mode = st->st_mode;
        tree_inode_set_owner(tree->root->inode, st->st_uid, st->st_gid);
        return read_inode(e, tree->root->inode, err);
}

static int import_entries(FTS *fts, struct import *im, struct tree *tree, struct error *err)
{
        FTSENT *e;
        int r;

        while ((e = fts_read(fts))) {
                if (e->fts_info == FTS_DP)
                        continue;
                if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
                        return error_code(err, -e->fts_errno, "%s", e->fts_path);
                r = e->fts_level > 0 ? add_entry(im, e, err) : add_root(im, e, tree, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", e->fts_path);
        }
        return 0;
}

static int import_directory(char *path, struct tree **ret, struct error *err)
{
        _cleanup_tree_ struct tree *tree = NULL;
        char *paths[] = { path, NULL };
        struct import im = {};
        FTS *fts;
        int r;

        r = tree_new(&tree, err);
        if (r < 0)
                return r;
        fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
        if (!fts)
                return error_errno(err, "%s", path);
        r = import_entries(fts, &im, tree, err);
        fts_close(fts);
        free(im.open);
        free(im.seen);
        if (r == 0)
                *ret = TAKE_PTR(tree);
        return r;
}

/* "zstd", "lz4hc:9" or "zstd:3:65536": codec, level, cluster size. */
static int parse_compression(const char *text, struct erofs_options *o, struct error *err)
{
        char name[16];
        int n = sscanf(text, "%15[^:]:%d:%u", name, &o->codec.level, &o->cluster_size);

        for (int kind = 0; n > 0 && codec_names[kind]; kind++)
                if (streq(codec_names[kind], name)) {
                        o->codec.kind = (enum codec_kind)kind;
                        return 0;
                }
        return error_set(err, -EINVAL, "%s: no compression", text);
}

static int write_image(const struct tree *tree, const char *path, const char *compression,
                       struct block_digests *ret_leaves, struct error *err)
{
        struct erofs_options options = { .build_time = 1, .cluster_size = CLUSTER_SIZE };
        _cleanup_(erofs_image_free_p) struct erofs_image *image = NULL;
        struct erofs_target target = { .room = UINT64_MAX, .digests = ret_leaves }; /* or NULL */
        _cleanup_close_ int fd = -1;
        int r;

        r = parse_compression(compression, &options, err);
        if (r >= 0)
                r = erofs_image_new(tree->root, &options, &image, err);
        if (r >= 0 && ret_leaves)
                r = block_digests_init(ret_leaves, erofs_image_bound(image) / BLOCK_SIZE, err);
        if (r < 0)
                return r;
        target.fd = fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
                return error_errno(err, "%s", path);
        return error_prefix(err, erofs_image_write(image, NULL, &target, 0, err), "%s", path);
}

static int write_hashes(const struct block_digests *leaves, const char *path,
                        struct sha256 *ret_root_hash, struct error *err)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd < 0 || ftruncate(fd, (off_t)verity_tree_size(leaves->count * BLOCK_SIZE)) < 0)
                return error_errno(err, "%s", path);
        return verity_write(leaves, &(struct uuid){}, fd, 0, ret_root_hash, err);
}

static int run(int argc, char *argv[], struct error *err)
{
        _cleanup_block_digests_ struct block_digests leaves = {};
        _cleanup_tree_ struct tree *tree = NULL;
        bool hashes = argc > 3 && *argv[3];
        char hex[SHA256_HEX_SIZE];
        struct sha256 root_hash;
        int r;

        if (argc < 3 || argc > 5)
                return error_set(err, -EINVAL,
                                 "usage: tree-image DIRECTORY IMAGE [HASHTREE [COMPRESSION]]");
        r = import_directory(argv[1], &tree, err);
        if (r >= 0)
                r = write_image(tree, argv[2], argc > 4 ? argv[4] : "none", hashes ? &leaves : NULL,
                                err);
        if (r < 0 || !hashes)
                return r;
        r = write_hashes(&leaves, argv[3], &root_hash, err);
        if (r < 0)
                return r;
        puts(sha256_hex(&root_hash, hex));
        return 0;
}

int main(int argc, char *argv[])
{
        struct error err = {};

        if (run(argc, argv, &err) == 0)
                return EXIT_SUCCESS;
        fprintf(stderr, "tree-image: %s\n", err.message);
        return EXIT_FAILURE;
}
