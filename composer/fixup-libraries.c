/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ldconfig on the tree: every shared library of the image's architecture in the directories of
 * ld.so.conf and the default ones goes into /usr/etc/ld.so.cache under its soname, and a missing
 * symlink from the soname to its file is made. */

#include "elf-file.h"
#include "fixup.h"
#include "ld-cache.h"
#include "strv.h"
#include "text.h"

enum { INCLUDE_DEPTH_MAX = 8 };

struct libraries {
        struct fixup_context *c;
        const struct tree_inode **done; /* of this directory: no other name needs a look at them */
        size_t n_done, done_capacity;
        uint32_t flags; /* of the image's architecture */
        struct ld_cache_entry *items;
        size_t count, capacity;
        unsigned depth;
};

static void libraries_done(struct libraries *l)
{
        for (size_t i = 0; i < l->count; i++) {
                free(l->items[i].soname);
                free(l->items[i].path);
        }
        free(l->items);
        free(l->done);
}

/* ---- the directories ---- */

static int read_conf(struct libraries *l, const char *path, char ***directories, struct error *err);

/* "include /etc/ld.so.conf.d/" and a glob. */
static int read_included(struct libraries *l, const char *pattern, char ***directories,
                         struct error *err)
{
        char image[TREE_PATH_MAX], parent[TREE_PATH_MAX], path[TREE_PATH_MAX];
        const struct tree_node *directory;
        int r = 0;

        image_path(pattern, image);
        if (image[0] != '/' || l->depth >= INCLUDE_DEPTH_MAX)
                return error_set(err, -EINVAL, "include %s", pattern);
        snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(image, '/') - image), image);
        directory = tree_resolve(l->c->tree, parent);
        l->depth++;
        for (size_t i = 0; r == 0 && directory && i < directory->n_children; i++)
                if (glob_match(image, tree_path(directory->children[i], path)))
                        r = read_conf(l, path, directories, err);
        l->depth--;
        return r;
}

/* Adds a directory under its path in the image, once. */
static int add_directory(struct libraries *l, const char *path, char ***directories,
                         struct error *err)
{
        char image[TREE_PATH_MAX], real[TREE_PATH_MAX];
        const struct tree_node *node = tree_resolve(l->c->tree, image_path(path, image));

        if (!node || !S_ISDIR(node->inode->mode))
                return 0;
        tree_path(node, real);
        if (strv_contains(*directories, real))
                return 0;
        return strv_extend(directories, real) < 0 ? error_oom(err) : 0;
}

static int read_conf(struct libraries *l, const char *path, char ***directories, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r = fixup_read(l->c, path, &text, err);

        if (r == 0)
                r = text_lines(text ?: "", "#", &lines, err);
        for (size_t i = 0; r == 0 && lines[i]; i++) {
                const char *rest = startswith(lines[i], "include");

                if (rest && strchr(" \t", *rest))
                        r = read_included(l, rest + strspn(rest, " \t"), directories, err);
                else
                        r = add_directory(l, lines[i], directories, err);
        }
        return r;
}

/* ---- the libraries ---- */

static bool is_library_name(const char *name)
{
        return (startswith(name, "lib") || startswith(name, "ld-")) && strstr(name, ".so");
}

static bool is_known(const struct libraries *l, const char *path)
{
        for (size_t i = 0; i < l->count; i++)
                if (streq(l->items[i].path, path))
                        return true;
        return false;
}

static int add_library(struct libraries *l, const char *directory, const char *soname,
                       const char *file, struct error *err)
{
        char path[TREE_PATH_MAX];
        struct ld_cache_entry entry = { .flags = l->flags };
        int r;

        if (strchr(soname, '/') ||
            snprintf(path, sizeof(path), "%s/%s", directory, soname) >= TREE_PATH_MAX)
                return 0;
        if (is_known(l, path))
                return 0;
        r = fixup_link_missing(l->c, path, file, err);
        if (r < 0)
                return r;
        if (array_reserve(&l->items, &l->capacity, l->count + 1, sizeof(entry)) < 0)
                return error_oom(err);
        entry.soname = strdup(soname);
        entry.path = strdup(path);
        l->items[l->count++] = entry;
        return entry.soname && entry.path ? 0 : error_oom(err);
}

static bool is_done(const struct libraries *l, const struct tree_inode *inode)
{
        for (size_t i = 0; i < l->n_done; i++)
                if (l->done[i] == inode)
                        return true;
        return false;
}

static int note_done(struct libraries *l, const struct tree_inode *inode, struct error *err)
{
        if (array_reserve(&l->done, &l->done_capacity, l->n_done + 1, sizeof(*l->done)) < 0)
                return error_oom(err);
        l->done[l->n_done++] = inode;
        return 0;
}

/* Libraries for other machines and linker scripts are passed over. One without a soname is known by
 * each of its names. */
static int look_at(struct libraries *l, const char *directory, const char *name, struct error *err)
{
        _cleanup_elf_info_ struct elf_info info = {};
        char path[TREE_PATH_MAX];
        const struct tree_node *node;
        int r;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        node = tree_resolve(l->c->tree, path);
        if (!node || !S_ISREG(node->inode->mode) || is_done(l, node->inode))
                return 0;
        r = elf_load(node->inode, l->c->store, &info, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        if (r == 0 || info.type != 3 /* ET_DYN */ || ld_cache_flags(info.machine) != l->flags)
                return note_done(l, node->inode, err);
        r = info.soname ? note_done(l, node->inode, err) : 0;
        return r < 0 ? r : add_library(l, directory, info.soname ?: name, name, err);
}

/* Names are collected first: links may be added while looking. Real files come before links, so
 * that a missing link is made to the file. */
static int scan_directory(struct libraries *l, const char *path, struct error *err)
{
        const struct tree_node *directory = tree_lookup(l->c->tree, path);
        _cleanup_strv_ char **files = NULL, **links = NULL;
        int r = 0;

        l->n_done = 0;
        for (size_t i = 0; directory && i < directory->n_children; i++) {
                const struct tree_node *node = directory->children[i];

                if (is_library_name(node->name) &&
                    strv_extend(S_ISLNK(node->inode->mode) ? &links : &files, node->name) < 0)
                        return error_oom(err);
        }
        for (char **name = files; r == 0 && name && *name; name++)
                r = look_at(l, path, *name, err);
        for (char **name = links; r == 0 && name && *name; name++)
                r = look_at(l, path, *name, err);
        return r;
}

static uint32_t architecture_flags(const char *architecture)
{
        static const struct {
                const char *name;
                unsigned machine;
        } machines[] = { { "amd64", 62 }, { "arm64", 183 } };

        for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
                if (streq(machines[i].name, architecture))
                        return ld_cache_flags(machines[i].machine);
        return 0;
}

int fixup_libraries(struct fixup_context *c, struct error *err)
{
        static const char *const defaults[] = { "/lib", "/usr/lib", "/lib64", "/usr/lib64" };
        _cleanup_(libraries_done) struct libraries l = { .c = c };
        _cleanup_strv_ char **directories = NULL;
        _cleanup_free_ void *data = NULL;
        size_t size;
        int r = read_conf(&l, "/usr/etc/ld.so.conf", &directories, err);

        l.flags = architecture_flags(c->m->architecture);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(defaults); i++)
                r = add_directory(&l, defaults[i], &directories, err);
        for (char **path = directories; r == 0 && path && *path; path++)
                r = scan_directory(&l, *path, err);
        if (r == 0 && l.count > 0)
                r = ld_cache_build(l.items, l.count, &data, &size, err);
        if (r < 0 || l.count == 0)
                return r;
        return fixup_put(c, "/usr/etc/ld.so.cache", data, size, 0644, err);
}
