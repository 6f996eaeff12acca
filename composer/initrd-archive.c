/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initrd's tree as compressed archives, one behind the other: the kernel unpacks them in turn
 * (Documentation/driver-api/early-userspace/buffer-format: zeros between them are skipped). Each
 * begins at a multiple of BLOCK_SIZE, so that an update of one part leaves the blocks of the others
 * as they are, and a machine that has these does not fetch them again:
 *
 *   skeleton: directories, symlinks, device nodes, small files; what every release changes
 *
 *   modules: kernel modules, their indexes, and firmware
 *
 *   buckets: programs and libraries, by the digest of their path
 *
 *   large: one file each
 *
 * That costs 0.3 % of the size: these contents have little in common. Compressing takes most of a
 * build in which only files outside the initrd changed, so each archive is kept in the cache, named
 * after what is in it, and how it is compressed. Which of the two ways the bytes came cannot be
 * told from them. */

#include "block-digests.h"
#include "compress.h"
#include "cpio.h"
#include "derived.h"
#include "initrd-tree.h"
#include "io.h"
#include "parallel.h"
#include "strv.h"

enum {
        ARCHIVE_MAX = 1024 * 1024 * 1024, /* compressed, bytes */
        SMALL_SIZE = 16 * 1024,
        LARGE_SIZE = 1024 * 1024,
        N_BUCKETS = 4,
        ENTRY_NAME_SIZE = sizeof("initrd--12345678") + SHA256_HEX_SIZE,
        MTIME = 1, /* with a release's own time every archive would be another one */
};

enum kind { SKELETON, MODULES, BUCKET, LARGE = BUCKET + N_BUCKETS };

struct part {
        unsigned kind;                /* enum kind; BUCKET and on: which */
        const struct tree_node *node; /* LARGE: the file */
        char *data;                   /* compressed just now; NULL: it is in the cache */
        int fd;                       /* there; -1: it is not */
        uint64_t size;
};

struct archive {
        const struct initrd *initrd;
        int cache_fd;
        struct part *parts;
        size_t count, capacity;
};

static void archive_done(struct archive *a)
{
        for (size_t i = 0; i < a->count; i++) {
                free(a->parts[i].data);
                close_p(&a->parts[i].fd);
        }
        free(a->parts);
}

static unsigned kind_of(const struct tree_node *node)
{
        char path[TREE_PATH_MAX];
        struct sha256 digest;

        if (!S_ISREG(node->inode->mode))
                return SKELETON;
        tree_path(node, path);
        if (startswith(path, "/usr/lib/modules/") || startswith(path, "/usr/lib/firmware/"))
                return MODULES;
        if (node->inode->size < SMALL_SIZE)
                return SKELETON;
        if (node->inode->size >= LARGE_SIZE)
                return LARGE;
        sha256_of(path, strlen(path), &digest);
        return BUCKET + digest.bytes[0] % N_BUCKETS;
}

static bool part_wants(const void *userdata, const struct tree_node *node)
{
        const struct part *p = userdata;

        return p->kind == LARGE ? node == p->node : kind_of(node) == p->kind;
}

static int add_part(struct archive *a, unsigned kind, const struct tree_node *node,
                    struct error *err)
{
        if (array_reserve(&a->parts, &a->capacity, a->count + 1, sizeof(*a->parts)) < 0)
                return error_oom(err);
        a->parts[a->count++] = (struct part){ .kind = kind, .node = node, .fd = -1 };
        return 0;
}

/* The parts that have something in them, in the order of their kinds: directories come first. */
static int plan(struct archive *a, struct error *err)
{
        bool used[LARGE] = { [SKELETON] = true };
        int r = 0;

        TREE_FOREACH (node, a->initrd->tree->root)
                if (kind_of(node) < LARGE)
                        used[kind_of(node)] = true;
        for (unsigned kind = 0; r >= 0 && kind < LARGE; kind++)
                if (used[kind])
                        r = add_part(a, kind, NULL, err);
        TREE_FOREACH (node, a->initrd->tree->root)
                if (r >= 0 && kind_of(node) == LARGE)
                        r = add_part(a, LARGE, node, err);
        return r;
}

static int entry_name(const struct archive *a, const struct cpio_filter *filter, int level,
                      char ret[ENTRY_NAME_SIZE], struct error *err)
{
        char parameters[COMPRESSOR_PARAMETERS_MAX], hex[2][SHA256_HEX_SIZE];
        struct sha256 contents, how;
        int r = cpio_identity(a->initrd->tree, a->initrd->store, MTIME, filter, &contents, err);

        if (r < 0)
                return r;
        compressor_parameters(level, parameters);
        sha256_of(parameters, strlen(parameters), &how);
        hex_encode(how.bytes, 4, hex[1]);
        snprintf(ret, ENTRY_NAME_SIZE, "initrd-%s-%.8s", sha256_hex(&contents, hex[0]), hex[1]);
        return 0;
}

static int fill_part(void *context, size_t index, struct error *err)
{
        const struct archive *a = context;
        struct part *p = &a->parts[index];
        const struct cpio_filter filter = { part_wants, p };
        const int level = a->initrd->level ?: COMPRESS_LEVEL_DEFAULT;
        _cleanup_buffer_ struct buffer plain = {};
        char name[ENTRY_NAME_SIZE];
        size_t size;
        int r;

        r = entry_name(a, &filter, level, name, err);
        if (r >= 0)
                r = derived_open(a->cache_fd, name, ARCHIVE_MAX, &p->fd, &p->size, err);
        if (r != 0)
                return MIN(r, 0);
        r = cpio_write(a->initrd->tree, a->initrd->store, MTIME, &filter, &plain, err);
        if (r < 0)
                return r;
        r = compress(plain.data, plain.size, level, &p->data, &size, err);
        p->size = size;
        return r < 0 ? r : derived_keep(a->cache_fd, name, p->data, size, err);
}

static int write_parts(const struct archive *a, int fd, struct error *err)
{
        uint64_t at = 0;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < a->count; i++) {
                const struct part *p = &a->parts[i];

                at = ROUND_UP(at, (uint64_t)BLOCK_SIZE);
                r = p->data ? io_pwrite(fd, p->data, p->size, at, err)
                            : io_copy(p->fd, 0, fd, at, p->size, err);
                at += p->size;
        }
        return r;
}

int initrd_archive(const struct initrd *i, int cache_fd, unsigned threads, int fd,
                   struct error *err)
{
        _cleanup_(archive_done) struct archive a = { .initrd = i, .cache_fd = cache_fd };
        int r;

        r = plan(&a, err);
        if (r >= 0)
                r = parallel_for(a.count, threads, fill_part, &a, err);
        return r < 0 ? r : write_parts(&a, fd, err);
}
