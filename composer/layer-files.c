/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A layer's files/ directory and programs, over the packages' tree. Contents stay on the builder's
 * disk (CONTENT_PATH) until the commit reads them. A layer replaces files and symlinks silently,
 * that is what layers are for; a directory never gives way to a file, nor a file to a directory. */

#include <fcntl.h>

#include "io.h"
#include "strv.h"
#include "union.h"

enum { LAYER_DEPTH_MAX = 64 };

struct walk {
        struct tree *tree;
        const char *name;   /* of the layer's directory: "files", "initrd" */
        const char *root;   /* the directory on the builder */
        const char *origin; /* "layer base" */
        unsigned depth;
};

static int list_names(int dir_fd, char ***ret, struct error *err)
{
        _cleanup_strv_ char **names = NULL;
        _cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!dir)
                return error_errno(err, "open");
        TAKE_FD(fd);
        while ((errno = 0, entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                if (strv_extend(&names, entry->d_name) < 0)
                        return error_oom(err);
        }
        if (errno != 0)
                return error_errno(err, "readdir");
        strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}

/* Puts inode where `name` is, over a non-directory; the inode is the tree's afterwards. */
static int replace(struct tree_node *directory, const char *name, struct tree_inode *inode,
                   struct error *err)
{
        struct tree_node *old = tree_child(directory, name);

        if (old && S_ISDIR(old->inode->mode))
                return error_set(err, -EISDIR, "%s is a directory in the packages (%s)", name,
                                 old->inode->origin ?: "several");
        if (old)
                tree_remove(old);
        return tree_link(directory, name, inode, NULL, err);
}

static int put_path(struct tree_node *directory, const char *name, const char *path,
                    const struct stat *st, const char *origin, struct error *err)
{
        mode_t mode = st->st_mode & S_IXUSR ? 0755 : 0644;
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFREG | mode, 0, 0);
        int r;

        if (!inode)
                return error_oom(err);
        inode->origin = origin;
        inode->size = (uint64_t)st->st_size;
        if (inode->size > 0) {
                inode->kind = CONTENT_PATH;
                inode->path = strdup(path);
                if (!inode->path)
                        return error_oom(err);
        }
        r = replace(directory, name, inode, err);
        if (r == 0)
                TAKE_PTR(inode);
        return r;
}

static int put_link(struct tree_node *directory, int dir_fd, const char *name, const char *origin,
                    struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode =
                tree_inode_new(S_IFLNK | 0777, 0, 0);
        int r;

        if (!inode)
                return error_oom(err);
        inode->origin = origin;
        r = path_readlink(dir_fd, name, &inode->target, err);
        if (r < 0)
                return r;
        inode->size = strlen(inode->target);
        r = replace(directory, name, inode, err);
        if (r == 0)
                TAKE_PTR(inode);
        return r;
}

static bool is_directory(int dir_fd, const char *name)
{
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int walk_directory(struct walk *w, int dir_fd, const char *path, struct error *err);

static int walk_into(struct walk *w, int dir_fd, const char *name, const char *path,
                     struct error *err)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (fd < 0)
                return error_errno(err, "%s%s", w->name, path);
        if (++w->depth > LAYER_DEPTH_MAX)
                return error_set(err, -ELOOP, "%s%s: more than %d directories deep", w->name, path,
                                 LAYER_DEPTH_MAX);
        r = walk_directory(w, fd, path, err);
        w->depth--;
        return r;
}

static int put_entry(const struct walk *w, int dir_fd, const char *name, const char *path,
                     struct tree_node *directory, struct error *err)
{
        _cleanup_free_ char *source = NULL;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "stat");
        if (S_ISLNK(st.st_mode))
                return put_link(directory, dir_fd, name, w->origin, err);
        if (!S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "neither a file nor a directory nor a symlink");
        if (asprintf(&source, "%s%s", w->root, path) < 0)
                return TAKE_PTR(source), error_oom(err);
        return put_path(directory, name, source, &st, w->origin, err);
}

/* path: of the directory below the layer's files/, "" for that itself. */
static int walk_directory(struct walk *w, int dir_fd, const char *path, struct error *err)
{
        _cleanup_strv_ char **names = NULL;
        struct tree_node *directory;
        char image[TREE_PATH_MAX];
        int r = list_names(dir_fd, &names, err);

        if (r == 0)
                r = tree_make_dirs(w->tree, *path ? image_path(path, image) : "/", &directory, err);
        if (r < 0)
                return error_prefix(err, r, "%s%s", w->name, path);
        STRV_FOREACH (name, names) {
                char child[TREE_PATH_MAX];

                if (snprintf(child, sizeof(child), "%s/%s", path, *name) >= TREE_PATH_MAX)
                        return error_set(err, -ENAMETOOLONG, "%s%s/%s", w->name, path, *name);
                if (is_directory(dir_fd, *name))
                        r = walk_into(w, dir_fd, *name, child, err);
                else
                        r = error_prefix(err, put_entry(w, dir_fd, *name, child, directory, err),
                                         "%s%s", w->name, child);
                if (r < 0)
                        return r;
        }
        return 0;
}

static const char *layer_origin(const struct layer *layer, struct tree *tree)
{
        char origin[512];

        snprintf(origin, sizeof(origin), "layer %s", layer->name);
        return tree_intern(tree, origin);
}

int directory_files(const char *path, const char *name, const char *origin, struct tree *tree,
                    struct error *err)
{
        struct walk w = { tree, name, path, origin, 0 };
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? error_errno(err, "%s", path) : walk_directory(&w, fd, "", err);
}

/* Puts what is below parent/name, if there is such a directory, into the tree. */
static int layer_directory(const struct layer *layer, const char *parent, const char *name,
                           struct tree *tree, struct error *err)
{
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *root = string_format("%s/%s", parent, name);
        struct walk w = { tree, name, root, layer_origin(layer, tree), 0 };

        if (!w.origin || !root)
                return error_oom(err);
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0)
                return error_errno(err, "%s", root);
        return error_prefix(err, walk_directory(&w, fd, "", err), "layer '%s'", layer->name);
}

/* Files that every image has, then those for images with a signed root hash. */
static int layer_directories(const struct layer *layer, bool is_signed, const char *name,
                             const char *signed_name, struct tree *tree, struct error *err)
{
        int r = layer_directory(layer, layer->path, name, tree, err);

        return r < 0 || !is_signed ? r
                                   : layer_directory(layer, layer->path, signed_name, tree, err);
}

int layer_files(const struct layer *layer, bool is_signed, struct tree *tree, struct error *err)
{
        return layer_directories(layer, is_signed, "files", "files.signed", tree, err);
}

int layer_initrd_files(const struct layer *layer, bool is_signed, struct tree *tree,
                       struct error *err)
{
        return layer_directories(layer, is_signed, "initrd", "initrd.signed", tree, err);
}

int layer_kernel_find(const struct layer *layer, const char *cache_path, char **ret,
                      struct error *err)
{
        _cleanup_free_ char *path = NULL;

        *ret = NULL;
        if (!layer->kernel.build)
                return 0;
        path = string_format("%s/kernels/%s", cache_path, layer->kernel.build);
        if (!path)
                return error_oom(err);
        if (access(path, F_OK) < 0)
                return error_errno(err,
                                   "%s (`kernel-config/build %s` compiles that kernel into the "
                                   "cache)",
                                   path, layer->kernel.build);
        *ret = TAKE_PTR(path);
        return 0;
}

int layer_kernel(const struct layer *layer, const char *cache_path, struct tree *tree,
                 struct error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = layer_kernel_find(layer, cache_path, &path, err);

        if (r < 0)
                return error_prefix(err, r, "layer '%s'", layer->name);
        return path ? layer_directory(layer, path, "kernel", tree, err) : 0;
}

static int put_program(const struct program *program, const char *libexec_path, const char *origin,
                       struct tree *tree, struct error *err)
{
        _cleanup_free_ char *source = NULL, *parent = NULL;
        char path[TREE_PATH_MAX];
        struct tree_node *directory;
        struct stat st;
        int r;

        image_path(program->path, path);
        parent = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
        if (!parent || asprintf(&source, "%s/%s", libexec_path, program->name) < 0)
                return TAKE_PTR(source), error_oom(err);
        if (stat(source, &st) < 0)
                return error_errno(err, "%s", source);
        if (!S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "%s: not a regular file", source);
        st.st_mode |= S_IXUSR;
        r = tree_make_dirs(tree, parent, &directory, err);
        return r < 0 ? r : put_path(directory, strrchr(path, '/') + 1, source, &st, origin, err);
}

int layer_programs(const struct layer *layer, const char *libexec_path, struct tree *tree,
                   struct error *err)
{
        const char *origin = layer_origin(layer, tree);

        if (!origin)
                return error_oom(err);
        for (size_t i = 0; i < layer->programs.count; i++) {
                const struct program *p = &layer->programs.items[i];
                int r = put_program(p, libexec_path, origin, tree, err);

                if (r < 0)
                        return error_prefix(err, r, "layer '%s': program '%s'", layer->name,
                                            p->name);
        }
        return 0;
}
