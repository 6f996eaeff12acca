/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See initrd.h. The initrd is a tree of its own, made in this order: what the layers include from
 * the image with all it needs; kernel modules; the layers' initrd/ directories over it; the fixed
 * parts (directories, usr-merge links, /init, /etc/initrd-release) where nothing is yet. It has the
 * image's paths until the very end, when /usr/etc moves to /etc, where the initrd's programs look.
 * Then it is written, in its order, as cpio through zstd. */

#include "initrd-tree.h"
#include "initrd.h"
#include "strv.h"
#include "union.h"

static const struct {
        const char *architecture;
        const char *library_dirs[6];
} architectures[] = {
        { "amd64", { "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", NULL } },
        { "arm64", { "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", NULL } },
};

static const struct {
        const char *path;
        mode_t mode;
} directories[] = {
        { "/dev", 0755 },     { "/proc", 0755 },    { "/root", 0700 },      { "/run", 0755 },
        { "/sys", 0755 },     { "/sysroot", 0755 }, { "/sysusr", 0755 },    { "/tmp", 01777 },
        { "/usr/bin", 0755 }, { "/usr/etc", 0755 }, { "/usr/lib64", 0755 }, { "/usr/sbin", 0755 },
        { "/var", 0755 },
};

static const struct {
        const char *path, *target;
} links[] = {
        { "/bin", "usr/bin" },   { "/init", "usr/lib/systemd/systemd" },
        { "/lib", "usr/lib" },   { "/lib64", "usr/lib64" },
        { "/sbin", "usr/sbin" },
};

int kernel_version(const struct tree *tree, char **ret, struct error *err)
{
        const struct tree_node *modules = tree_lookup(tree, "/usr/lib/modules");
        const char *found = NULL;

        for (size_t i = 0; modules && i < modules->n_children; i++) {
                const struct tree_node *version = modules->children[i];

                if (!S_ISDIR(version->inode->mode) || !tree_child(version, "vmlinuz"))
                        continue;
                if (found)
                        return error_set(err, -EEXIST, "The image has two kernels: %s and %s",
                                         found, version->name);
                found = version->name;
        }
        if (!found)
                return error_set(err, -ENOENT,
                                 "The image has no kernel: no /usr/lib/modules/<version>/vmlinuz");
        *ret = strdup(found);
        return *ret ? 0 : error_oom(err);
}

static int include_layers(struct initrd *i, const struct manifest *m, struct error *err)
{
        int r;

        for (size_t l = 0; l < m->n_layers; l++) {
                STRV_FOREACH (pattern, m->layers[l].initrd.include) {
                        r = initrd_include(i, *pattern, err);
                        if (r < 0)
                                return error_prefix(err, r, "layer '%s'", m->layers[l].name);
                }
        }
        return 0;
}

static int include_modules(struct initrd *i, const struct workdir *w, const struct manifest *m,
                           struct error *err)
{
        _cleanup_free_ char *version = NULL;
        _cleanup_strv_ char **names = NULL;
        int r;

        for (size_t l = 0; l < m->n_layers; l++)
                STRV_FOREACH (name, m->layers[l].initrd.modules)
                        if (strv_extend(&names, *name) < 0)
                                return error_oom(err);
        if (!names)
                return 0;
        r = kernel_version(i->image, &version, err);
        return r < 0 ? r : initrd_modules(i, w, version, names, err);
}

static int put_layer_files(struct initrd *i, const struct manifest *m, struct error *err)
{
        bool is_signed = m->trust.root_hash != ROOT_HASH_UNSIGNED;
        int r = 0;

        for (size_t l = 0; r >= 0 && l < m->n_layers; l++)
                r = layer_initrd_files(&m->layers[l], is_signed, i->tree, err);
        return r;
}

static int put_release(struct initrd *i, struct error *err)
{
        const struct tree_node *node = tree_resolve(i->image, "/usr/lib/os-release");
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (!node || tree_lookup(i->tree, "/usr/etc/initrd-release"))
                return 0;
        r = content_load(node->inode, i->store, 64 * KIB, &text, &size, err);
        if (r < 0)
                return r;
        return tree_put_file(i->tree, "/usr/etc/initrd-release", text, size, 0644, NULL, err);
}

static int put_fixed(struct initrd *i, struct error *err)
{
        struct tree_node *node;
        int r = 0;

        for (size_t n = 0; r >= 0 && n < ARRAY_SIZE(directories); n++) {
                r = tree_make_dirs(i->tree, directories[n].path, &node, err);
                if (r >= 0)
                        tree_inode_set_mode(node->inode, directories[n].mode);
        }
        for (size_t n = 0; r >= 0 && n < ARRAY_SIZE(links); n++)
                if (!tree_lookup(i->tree, links[n].path))
                        r = tree_put_symlink(i->tree, links[n].path, links[n].target, NULL, err);
        return r < 0 ? r : put_release(i, err);
}

static int compose(struct initrd *i, const struct workdir *w, const struct manifest *m,
                   struct error *err)
{
        int r;

        r = include_layers(i, m, err);
        if (r >= 0)
                r = include_modules(i, w, m, err);
        if (r >= 0)
                r = put_layer_files(i, m, err);
        if (r >= 0)
                r = put_fixed(i, err);
        if (r < 0)
                return r;
        return tree_move(tree_lookup(i->tree, "/usr/etc"), i->tree->root, "etc", err);
}

static const char *const *library_dirs(const char *architecture)
{
        for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
                if (streq(architectures[i].architecture, architecture))
                        return architectures[i].library_dirs;
        return NULL;
}

int initrd_build(const struct workdir *w, const struct manifest *m, const struct tree *tree, int fd,
                 struct error *err)
{
        _cleanup_tree_ struct tree *own = NULL;
        struct content_store store = {};
        struct initrd i = {
                .image = tree,
                .library_dirs = library_dirs(m->architecture),
                .level = (int)m->initrd.level,
        };
        int r;

        if (!i.library_dirs)
                return error_set(err, -EINVAL, "No library directories for architecture \"%s\"",
                                 m->architecture);
        if (w->repo) {
                store = repo_contents(w->repo);
                i.store = &store;
        }
        r = tree_new(&own, err);
        if (r < 0)
                return r;
        i.tree = own;
        r = compose(&i, w, m, err);
        if (r >= 0)
                r = initrd_archive(&i, w->cache_fd, w->threads, fd, err);
        return error_prefix(err, r, "initrd");
}
