/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The content functions of tree.h: one way to read a regular file's bytes, wherever they are. The
 * size an inode states is binding: readers lay out by it before they read, so a source that turned
 * out longer or shorter is an error here and never a short or mixed image. */

#include <fcntl.h>
#include <limits.h>

#include "io.h"
#include "memory.h"
#include "tree.h"

static int open_path(const struct tree_inode *inode, struct content *ret, struct error *err)
{
        _cleanup_close_ int fd = open(inode->path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, "%s", inode->path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "%s: not a regular file", inode->path);
        if ((uint64_t)st.st_size != inode->size)
                return error_set(err, -ESTALE, "%s: its size changed during the build",
                                 inode->path);
        *ret = (struct content){ .fd = TAKE_FD(fd), .size = inode->size };
        return 0;
}

static int open_object(const struct tree_inode *inode, const struct content_store *store,
                       struct content *ret, struct error *err)
{
        int fd;

        if (!store)
                return error_set(err, -EINVAL, "content is an object, but there is no repository");
        fd = store->open(store->userdata, &inode->object, err);
        if (fd < 0)
                return fd;
        *ret = (struct content){ .fd = fd, .size = inode->size };
        return 0;
}

int content_open(const struct tree_inode *inode, const struct content_store *store,
                 struct content *ret, struct error *err)
{
        switch (inode->kind) {
        case CONTENT_OBJECT: return open_object(inode, store, ret, err);
        case CONTENT_PATH: return open_path(inode, ret, err);
        case CONTENT_MEMORY:
                *ret = (struct content){ .fd = -1, .data = inode->data, .size = inode->size };
                return 0;
        case CONTENT_NONE: break;
        }
        *ret = (struct content){ .fd = -1, .data = "" };
        return 0;
}

int content_read(const struct content *content, void *data, size_t size, uint64_t offset,
                 struct error *err)
{
        size_t got;
        int r;

        if (offset > content->size || size > content->size - offset)
                return error_set(err, -ENODATA, "content ends before byte %llu",
                                 (unsigned long long)offset + size);
        if (content->fd < 0) {
                memcpy(data, (const char *)content->data + offset, size);
                return 0;
        }
        r = io_pread(content->fd, data, size, offset, &got, err);
        if (r < 0)
                return r;
        if (got < size)
                return error_set(err, -ENODATA, "content ends early");
        return 0;
}

void content_close(struct content *content)
{
        if (content->fd >= 0)
                close(content->fd);
        *content = (struct content)CONTENT_NULL;
}

int content_load(const struct tree_inode *inode, const struct content_store *store, size_t limit,
                 char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        _cleanup_free_ char *data = NULL;
        int r;

        if (inode->size > limit)
                return error_set(err, -EFBIG, "larger than %zu bytes", limit);
        r = content_open(inode, store, &content, err);
        if (r < 0)
                return r;
        data = memory_large((size_t)content.size + 1);
        if (!data)
                return error_oom(err);
        r = content_read(&content, data, (size_t)content.size, 0, err);
        if (r < 0)
                return r;
        data[content.size] = '\0';
        if (ret_size)
                *ret_size = (size_t)content.size;
        *ret = TAKE_PTR(data);
        return 0;
}

int content_identity(const struct tree_inode *inode, const struct content_store *store,
                     struct sha256 *ret, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        int r;

        if (inode->kind == CONTENT_OBJECT) {
                *ret = inode->object;
                return 0;
        }
        r = content_open(inode, store, &content, err);
        if (r < 0)
                return r;
        if (content.fd >= 0)
                return sha256_fd(content.fd, 0, content.size, ret, err);
        sha256_of(content.data, (size_t)content.size, ret);
        return 0;
}

int content_identities(struct tree_node *top, bool (*wants)(const struct tree_node *node),
                       const struct content_store *store, struct hasher *hasher, struct error *err)
{
        for (struct tree_node *node = top; node; node = tree_next(top, node)) {
                char path[TREE_PATH_MAX];
                struct sha256 digest;
                int r;

                if (!wants(node))
                        continue;
                tree_path(node, path);
                r = content_identity(node->inode, store, &digest, err);
                if (r < 0)
                        return error_prefix(err, r, "%s", path);
                hasher_update(hasher, path, strlen(path) + 1);
                hasher_update(hasher, &digest, sizeof(digest));
        }
        return 0;
}
