/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See module-directory.h.
 *
 *   <path>/modules.dep.bin …     what libkmod answers from
 *   <path>/kernel/….ko.xz        empty: libkmod ignores a dependency whose file it cannot see */

#include <fcntl.h>

#include "derived.h"
#include "io.h"
#include "module-directory.h"

enum { INDEX_SIZE_MAX = 64 * 1024 * 1024 };

/* What libkmod answers from. */
static const char *const index_files[] = {
        "modules.dep.bin",     "modules.alias.bin",         "modules.symbols.bin",
        "modules.builtin.bin", "modules.builtin.alias.bin", "modules.softdep",
};

static const char placeholder[] = "empty";

/* Writes a file without fsync: nobody needs it after this process. */
static int put(int dir_fd, const char *name, const void *data, size_t size, struct error *err)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        return fd < 0 ? error_errno(err, "%s", name) : io_write(fd, data, size, err);
}

static int put_index_of_tree(int dir_fd, const struct tree_node *modules,
                             const struct content_store *store, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(index_files); i++) {
                const struct tree_node *node = tree_child(modules, index_files[i]);
                _cleanup_free_ char *data = NULL;
                size_t size;

                if (!node)
                        continue;
                r = content_load(node->inode, store, INDEX_SIZE_MAX, &data, &size, err);
                r = r < 0 ? error_prefix(err, r, "%s", node->name)
                          : put(dir_fd, node->name, data, size, err);
        }
        return r;
}

static int put_index(int dir_fd, const char *packed, size_t size, struct error *err)
{
        const char *end = packed + size;
        struct packed_file file;
        int r;

        while ((r = packed_next(&packed, end, &file, err)) > 0) {
                r = put(dir_fd, file.name, file.data, file.size, err);
                if (r < 0)
                        break;
        }
        return r;
}

/* One system call each, as there are thousands. All modules are links to one empty file: making and
 * deleting thousands of inodes at every build is slow on ext4, which does not reuse a number for a
 * minute and passes over all of them in each search. */
static int put_placeholder(int dir_fd, const char *name, const struct tree_node *node,
                           struct error *err)
{
        mode_t mode = node->inode->mode;
        int r = S_ISDIR(mode) ? mkdirat(dir_fd, name, 0700)
                : S_ISREG(mode) && strstr(node->name, ".ko")
                        ? linkat(dir_fd, placeholder, dir_fd, name, 0)
                        : 0;

        return r < 0 ? error_errno(err, "placeholder of %s", name) : 0;
}

static int put_placeholders(int dir_fd, const struct tree_node *modules, struct error *err)
{
        char top[TREE_PATH_MAX], path[TREE_PATH_MAX];
        size_t skip = strlen(tree_path(modules, top)) + 1;
        int r = 0;

        if (mknodat(dir_fd, placeholder, S_IFREG | 0600, 0) < 0)
                return error_errno(err, "%s", placeholder);
        for (const struct tree_node *node = tree_next(modules, modules); r >= 0 && node;
             node = tree_next(modules, node))
                r = put_placeholder(dir_fd, tree_path(node, path) + skip, node, err);
        return r;
}

int module_directory_write(const struct tree_node *modules, const struct content_store *store,
                           const char *packed, size_t size, const char *path, struct error *err)
{
        _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (dir_fd < 0)
                return error_errno(err, "%s", path);
        r = packed ? put_index(dir_fd, packed, size, err)
                   : put_index_of_tree(dir_fd, modules, store, err);
        if (r >= 0)
                r = put_placeholders(dir_fd, modules, err);
        return error_prefix(err, r, "%s", path);
}
