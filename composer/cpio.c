/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See cpio.h. The format, from the kernel's Documentation/driver-api/early-userspace/buffer-format:
 * a header of 110 ASCII bytes (magic and thirteen 8-digit hex fields), the name with its NUL, the
 * content, name and content each padded to 4 bytes; the name "TRAILER!!!" ends it. */

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cpio.h"

/* EDITION: of what this writer makes of a tree; whoever changes that gives it another number. */
enum { HEADER_SIZE = 110, ALIGNMENT = 4, CHUNK_SIZE = 128 * 1024, EDITION = 1 };

struct writer {
        const struct content_store *store;
        struct buffer *out;
        uint32_t mtime, next_inode;
        char *chunk;
};

static int emit(const struct writer *w, const void *data, size_t size, struct error *err)
{
        buffer_append(w->out, data, size);
        return w->out->failed ? error_oom(err) : 0;
}

static int emit_padding(const struct writer *w, uint64_t size, struct error *err)
{
        static const char zeros[ALIGNMENT];

        return emit(w, zeros, ROUND_UP(size, ALIGNMENT) - size, err);
}

static int emit_header(struct writer *w, const char *name, mode_t mode, uint64_t size, dev_t rdev,
                       struct error *err)
{
        size_t name_size = strlen(name) + 1;
        char header[HEADER_SIZE + 1];
        int r;

        if (size > UINT32_MAX)
                return error_set(err, -EFBIG, "%s: too large for an initrd", name);
        snprintf(header, sizeof(header),
                 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", w->next_inode++,
                 mode, 0U, 0U, 1U, w->mtime, (unsigned)size, 0U, 0U, major(rdev), minor(rdev),
                 (unsigned)name_size, 0U);
        r = emit(w, header, HEADER_SIZE, err);
        if (r >= 0)
                r = emit(w, name, name_size, err);
        return r < 0 ? r : emit_padding(w, HEADER_SIZE + name_size, err);
}

static int emit_content(struct writer *w, const struct tree_inode *inode, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        int r;

        r = content_open(inode, w->store, &content, err);
        for (uint64_t at = 0; r >= 0 && at < inode->size;) {
                size_t n = MIN(inode->size - at, (uint64_t)CHUNK_SIZE);

                r = content_read(&content, w->chunk, n, at, err);
                if (r >= 0)
                        r = emit(w, w->chunk, n, err);
                at += n;
        }
        return r < 0 ? r : emit_padding(w, inode->size, err);
}

static int emit_node(struct writer *w, const struct tree_node *node, struct error *err)
{
        const struct tree_inode *inode = node->inode;
        bool regular = S_ISREG(inode->mode), link = S_ISLNK(inode->mode);
        char path[TREE_PATH_MAX];
        int r;

        tree_path(node, path);
        if (!regular && !link && !S_ISDIR(inode->mode) && !S_ISCHR(inode->mode) &&
            !S_ISBLK(inode->mode))
                return error_set(err, -EINVAL, "%s: an initrd cannot hold this kind of file", path);
        r = emit_header(w, path + 1, inode->mode,
                        regular ? inode->size
                        : link  ? strlen(inode->target)
                                : 0,
                        inode->rdev, err);
        if (r >= 0 && regular)
                return error_prefix(err, emit_content(w, inode, err), "%s", path);
        if (r >= 0 && link) {
                r = emit(w, inode->target, strlen(inode->target), err);
                return r < 0 ? r : emit_padding(w, strlen(inode->target), err);
        }
        return r;
}

static bool is_left_out(const struct tree *tree, const struct cpio_filter *filter,
                        const struct tree_node *node)
{
        return node == tree->root || (filter && !filter->wants(filter->userdata, node));
}

int cpio_write(const struct tree *tree, const struct content_store *store, uint64_t mtime,
               const struct cpio_filter *filter, struct buffer *out, struct error *err)
{
        _cleanup_free_ char *chunk = malloc(CHUNK_SIZE);
        struct writer w = { store, out, (uint32_t)MIN(mtime, (uint64_t)UINT32_MAX), 1, chunk };
        int r;

        if (!chunk)
                return error_oom(err);
        TREE_FOREACH (node, tree->root) {
                if (is_left_out(tree, filter, node))
                        continue;
                r = emit_node(&w, node, err);
                if (r < 0)
                        return r;
        }
        w.next_inode = 0;
        w.mtime = 0;
        return emit_header(&w, "TRAILER!!!", 0, 0, 0, err);
}

/* ---- identity ---- */

/* What emit_node() writes follows from this. */
static int hash_node(struct hasher *h, const struct tree_node *node,
                     const struct content_store *store, struct error *err)
{
        const struct tree_inode *inode = node->inode;
        const uint64_t numbers[] = { inode->mode, inode->rdev, inode->size };
        char path[TREE_PATH_MAX];
        struct sha256 content;
        int r;

        tree_path(node, path);
        hasher_update(h, path, strlen(path) + 1);
        hasher_update(h, numbers, sizeof(numbers));
        if (S_ISLNK(inode->mode))
                hasher_update(h, inode->target, inode->size);
        if (!S_ISREG(inode->mode))
                return 0;
        r = content_identity(inode, store, &content, err);
        hasher_update(h, content.bytes, SHA256_SIZE);
        return error_prefix(err, r, "%s", path);
}

int cpio_identity(const struct tree *tree, const struct content_store *store, uint64_t mtime,
                  const struct cpio_filter *filter, struct sha256 *ret, struct error *err)
{
        const uint64_t numbers[] = { EDITION, mtime };
        _cleanup_hasher_ struct hasher h = {};
        int r = hasher_init(&h, err);

        hasher_update(&h, numbers, sizeof(numbers));
        TREE_FOREACH (node, tree->root)
                if (r >= 0 && !is_left_out(tree, filter, node))
                        r = hash_node(&h, node, store, err);
        return r < 0 ? r : hasher_final(&h, ret, err);
}
