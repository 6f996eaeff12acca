/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a file in the initrd needs. A path is walked one component at a time; every symlink on the
 * way is kept and followed, because a program that looks for the path later will walk it too. An
 * ELF file brings its interpreter, the libraries it is linked with, and those it opens by itself
 * (.note.dlopen) when it calls them required or recommended: what is only suggested is the
 * manifest's choice.
 *
 * Libraries are looked for as the dynamic linker does it: DT_RUNPATH of the file that wants one,
 * then the linker's own directories. A library may also want one that the program loads anyway,
 * from a directory that only the program's DT_RUNPATH names; so those of the files that led here
 * are tried last.
 *
 * Paths are those of the image throughout: /bin/x is /usr/bin/x, /etc/x is /usr/etc/x. */

#include "elf-file.h"
#include "initrd-tree.h"
#include "strv.h"
#include "union.h"

enum { LINKS_MAX = 40, SCRIPT_LINE_MAX = 255 /* the kernel's BINPRM_BUF_SIZE */ };

/* The file whose needs are being included, and the one that needed it. */
struct requester {
        const struct requester *parent;
        const char *file;
        const struct elf_info *info;
};

/* A walk along a path. */
struct walk {
        char at[TREE_PATH_MAX]; /* how far it came, without any symlink; "" for the root */
        char *rest;             /* components still to go */
        unsigned links;
};

static void walk_done(struct walk *w)
{
        free(w->rest);
}

/* Puts a copy of the inode (content by reference) at the path; *ret_new is false when there is
 * something already. */
static int put_inode(struct initrd *i, const char *path, const struct tree_inode *from,
                     bool *ret_new, struct error *err)
{
        _cleanup_(tree_inode_free_p) struct tree_inode *inode = NULL;
        _cleanup_free_ char *parent = NULL;
        struct tree_node *directory;
        int r;

        *ret_new = false;
        if (tree_lookup(i->tree, path))
                return 0;
        inode = tree_inode_new(from->mode, 0, 0);
        parent = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
        if (!inode || !parent)
                return error_oom(err);
        inode->size = from->size;
        inode->kind = from->kind;
        inode->object = from->object;
        if (from->target && !(inode->target = strdup(from->target)))
                return error_oom(err);
        if (from->kind == CONTENT_PATH && !(inode->path = strdup(from->path)))
                return error_oom(err);
        if (from->kind == CONTENT_MEMORY) {
                r = tree_inode_set_data(inode, from->data, from->size, err);
                if (r < 0)
                        return r;
        }
        r = tree_make_dirs(i->tree, parent, &directory, err);
        if (r >= 0)
                r = tree_link(directory, strrchr(path, '/') + 1, inode, NULL, err);
        if (r < 0)
                return r;
        TAKE_PTR(inode);
        *ret_new = true;
        return 0;
}

/* Includes <directory>/<name>; $ORIGIN at the start of the directory is where the file is. */
static int try_library(struct initrd *i, const char *file, const char *directory, const char *name,
                       struct error *err)
{
        const char *rest = startswith(directory, "$ORIGIN") ?: startswith(directory, "${ORIGIN}");
        int origin_size = rest ? (int)(strrchr(file, '/') - file) : 0;
        _cleanup_free_ char *path =
                string_format("%.*s%s/%s", origin_size, file, rest ?: directory, name);

        return path ? initrd_include_path(i, path, err) : error_oom(err);
}

static int try_runpath(struct initrd *i, const struct requester *q, const char *name,
                       struct error *err)
{
        int r = 0;

        for (char **directory = q->info->runpath; r == 0 && directory && *directory; directory++)
                r = try_library(i, q->file, *directory, name, err);
        return r;
}

/* 1 when found, 0 when not. */
static int include_library(struct initrd *i, const char *name, struct error *err)
{
        const struct requester *own = i->requester;
        int r;

        if (strchr(name, '/'))
                return initrd_include_path(i, name, err);
        r = try_runpath(i, own, name, err);
        for (const char *const *directory = i->library_dirs; r == 0 && *directory; directory++)
                r = try_library(i, own->file, *directory, name, err);
        for (const struct requester *q = own->parent; r == 0 && q; q = q->parent)
                r = try_runpath(i, q, name, err);
        return r;
}

static int include_dlopen(struct initrd *i, const struct elf_dlopen *d, struct error *err)
{
        int r = 0;

        if (d->priority == ELF_SUGGESTED)
                return 0;
        for (char **soname = d->sonames; r == 0 && soname && *soname; soname++)
                r = include_library(i, *soname, err);
        if (r == 0 && d->priority == ELF_REQUIRED)
                return error_set(err, -ENOENT, "%s opens %s, which is not in the image",
                                 i->requester->file, d->sonames ? d->sonames[0] : "a library");
        return MIN(r, 0);
}

static int include_needed(struct initrd *i, const char *name, struct error *err)
{
        int r = include_library(i, name, err);

        if (r == 0)
                return error_set(err, -ENOENT, "%s needs %s, which is not in the image",
                                 i->requester->file, name);
        return MIN(r, 0);
}

static int include_needs(struct initrd *i, const char *file, const struct elf_info *info,
                         struct error *err)
{
        const struct requester q = { i->requester, file, info };
        int r = 0;

        i->requester = &q;
        if (info->interpreter)
                r = include_needed(i, info->interpreter, err);
        for (char **name = info->needed; r >= 0 && name && *name; name++)
                r = include_needed(i, *name, err);
        for (size_t n = 0; r >= 0 && n < info->n_dlopens; n++)
                r = include_dlopen(i, &info->dlopens[n], err);
        i->requester = q.parent;
        return r;
}

/* A program that is a script brings its interpreter. */
static int include_script(struct initrd *i, const char *path, const struct tree_inode *inode,
                          struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        char line[SCRIPT_LINE_MAX + 1] = {};
        struct elf_info script = {};
        size_t start;
        int r;

        if (!(inode->mode & 0111))
                return 0;
        r = content_open(inode, i->store, &content, err);
        if (r >= 0)
                r = content_read(&content, line, MIN(inode->size, (uint64_t)SCRIPT_LINE_MAX), 0,
                                 err);
        if (r < 0 || !startswith(line, "#!"))
                return r;
        start = 2 + strspn(line + 2, " \t");
        line[start + strcspn(line + start, " \t\n")] = '\0';
        script.interpreter = line + start;
        return include_needs(i, path, &script, err);
}

static int include_file(struct initrd *i, const char *path, const struct tree_inode *inode,
                        struct error *err)
{
        _cleanup_elf_info_ struct elf_info info = {};
        bool is_new;
        int r;

        r = put_inode(i, path, inode, &is_new, err);
        if (r < 0 || !is_new)
                return r;
        r = elf_load(inode, i->store, &info, err);
        if (r == 0)
                r = include_script(i, path, inode, err);
        else if (r > 0)
                return include_needs(i, path, &info, err);
        return error_prefix(err, r, "%s", path);
}

static int include_directory(struct initrd *i, const char *path, const struct tree_node *node,
                             struct error *err)
{
        struct tree_node *directory;
        char child[TREE_PATH_MAX];
        int r;

        r = tree_make_dirs(i->tree, path, &directory, err);
        if (r < 0)
                return r;
        tree_inode_set_mode(directory->inode, node->inode->mode);
        for (size_t n = 0; n < node->n_children; n++) {
                r = initrd_include_path(i, tree_path(node->children[n], child), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int include_node(struct initrd *i, const char *path, const struct tree_node *node,
                        struct error *err)
{
        if (S_ISDIR(node->inode->mode))
                return include_directory(i, path, node, err);
        if (S_ISREG(node->inode->mode))
                return include_file(i, path, node->inode, err);
        return error_set(err, -EINVAL, "%s: neither a file nor a directory nor a symlink", path);
}

/* One component up; what is above /usr/etc is the root, as it will be at run time. */
static void walk_up(struct walk *w)
{
        char *slash = strrchr(w->at, '/');

        if (slash)
                *slash = '\0';
        if (slash && streq(slash + 1, "etc") && streq(w->at, "/usr"))
                w->at[0] = '\0';
}

/* Goes on with the symlink's target in place of its name. */
static int walk_link(struct initrd *i, struct walk *w, const char *path,
                     const struct tree_inode *inode, struct error *err)
{
        char *rest;
        bool is_new;
        int r;

        if (++w->links > LINKS_MAX)
                return error_set(err, -ELOOP, "%s: too many symlinks", path);
        r = put_inode(i, path, inode, &is_new, err);
        if (r < 0)
                return r;
        rest = string_format("%s/%s", inode->target, w->rest);
        if (!rest)
                return error_oom(err);
        free(w->rest);
        w->rest = rest;
        if (inode->target[0] == '/')
                w->at[0] = '\0';
        return 0;
}

/* Takes the next component off the rest; false at the end. */
static bool walk_next(struct walk *w, char component[TREE_NAME_MAX + 1])
{
        const char *start = w->rest + strspn(w->rest, "/");
        size_t n = strcspn(start, "/");

        if (n == 0)
                return false;
        snprintf(component, TREE_NAME_MAX + 1, "%.*s", (int)n, start);
        memmove(w->rest, start + n, strlen(start + n) + 1);
        return true;
}

/* 1: one component further; 0: there is no such thing. */
static int walk_step(struct initrd *i, struct walk *w, const char *component, struct error *err)
{
        char child[TREE_PATH_MAX + TREE_NAME_MAX + 2], path[TREE_PATH_MAX];
        const struct tree_node *node;
        int r;

        if (streq(component, "."))
                return 1;
        if (streq(component, "..")) {
                walk_up(w);
                return 1;
        }
        snprintf(child, sizeof(child), "%s/%s", w->at, component);
        if (strlen(child) > TREE_PATH_MAX - sizeof("/usr"))
                return error_set(err, -ENAMETOOLONG, "%s", child);
        node = tree_lookup(i->image, image_path(child, path));
        if (!node)
                return 0;
        if (!S_ISLNK(node->inode->mode)) {
                memcpy(w->at, path, strlen(path) + 1);
                return 1;
        }
        r = walk_link(i, w, path, node->inode, err);
        return r < 0 ? r : 1;
}

int initrd_include_path(struct initrd *i, const char *path, struct error *err)
{
        _cleanup_(walk_done) struct walk w = { .rest = strdup(path) };
        char component[TREE_NAME_MAX + 1];
        const struct tree_node *node;
        int r;

        if (!w.rest)
                return error_oom(err);
        while (walk_next(&w, component)) {
                r = walk_step(i, &w, component, err);
                if (r <= 0)
                        return r;
        }
        node = tree_lookup(i->image, w.at[0] ? w.at : "/");
        if (!node)
                return 0;
        r = include_node(i, w.at, node, err);
        return r < 0 ? r : 1;
}

static int include_matches(struct initrd *i, const char *pattern, struct error *err)
{
        char image_pattern[TREE_PATH_MAX], path[TREE_PATH_MAX];
        size_t found = 0;
        int r;

        image_path(pattern, image_pattern);
        TREE_FOREACH (node, i->image->root) {
                if (node == i->image->root || !glob_match(image_pattern, tree_path(node, path)))
                        continue;
                r = initrd_include_path(i, path, err);
                if (r < 0)
                        return r;
                found++;
        }
        return found > 0 ? 0
                         : error_set(err, -ENOENT, "'%s' matches nothing in the image", pattern);
}

int initrd_include(struct initrd *i, const char *pattern, struct error *err)
{
        char path[TREE_PATH_MAX];
        int r;

        if (!tree_lookup(i->image, image_path(pattern, path)))
                return include_matches(i, pattern, err);
        r = initrd_include_path(i, path, err);
        return MIN(r, 0);
}
