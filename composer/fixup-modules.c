/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The index of kernel modules (modules.dep.bin and so on). libkmod reads it but has no function to
 * write it, so the builder's own depmod does, on a directory that stands in for the image's:
 * nothing of the image is executed. Unpacking the modules is most of depmod's time, and it has one
 * thread, so we unpack them for it. What it finds is kept in the cache under the digest of
 * everything that went in.
 *
 * When a layer says "modules": "closure", the index of all modules tells which ones are needed, the
 * others leave the tree, and what is left gets an index of its own. */

#include <fcntl.h>

#include "compress.h"
#include "derived.h"
#include "elf-file.h"
#include "fixup.h"
#include "io.h"
#include "kmodules.h"
#include "module-use.h"
#include "parallel.h"
#include "process.h"
#include "scratch.h"
#include "strv.h"

enum { INDEX_MAX = 64 * 1024 * 1024, BLOCK = 4096 };

struct module_index {
        struct fixup_context *c;
        const struct tree_node *modules; /* /usr/lib/modules/VERSION */
        const struct tree_node **inputs; /* of depmod, below it */
        struct scratch scratch;          /* directory that depmod works on */
};

static void module_index_done(struct module_index *m)
{
        scratch_done(&m->scratch);
        free(m->inputs);
}

/* ---- the directory for depmod ---- */

static bool is_module(const struct tree_node *node)
{
        return strstr(node->name, ".ko") != NULL;
}

/* A file that depmod reads as it is: a link to the content where it is, or a copy of one in memory.
 */
static int place_plain(const struct content *content, const char *path, struct error *err)
{
        _cleanup_free_ char *real = NULL;
        char link[64];
        int r;

        if (content->fd < 0)
                return file_write(AT_FDCWD, path, content->data, (size_t)content->size, 0644, err);
        snprintf(link, sizeof(link), "/proc/self/fd/%d", content->fd);
        r = path_readlink(AT_FDCWD, link, &real, err);
        if (r < 0)
                return r;
        return symlink(real, path) < 0 ? error_errno(err, "symlink '%s'", path) : 0;
}

/* Zeros become holes, which cost no memory. */
static int write_sparse(int fd, const char *data, size_t size, struct error *err)
{
        size_t done = 0;

        while (done < size) {
                size_t end = done;
                int r;

                while (end < size && !memory_is_zero(data + end, MIN(size - end, (size_t)BLOCK)))
                        end += MIN(size - end, (size_t)BLOCK);
                r = io_pwrite(fd, data + done, end - done, done, err);
                if (r < 0)
                        return r;
                done = end + MIN(size - end, (size_t)BLOCK);
        }
        return ftruncate(fd, (off_t)size) < 0 ? error_errno(err, "truncate") : 0;
}

/* What depmod reads of a compressed module, under its name: libkmod looks at what a file begins
 * with. */
static int place_unpacked(const struct module_index *m, const struct tree_inode *inode,
                          const char *path, struct error *err)
{
        _cleanup_free_ char *packed = NULL, *plain = NULL;
        _cleanup_close_ int fd = -1;
        size_t packed_size, size;
        int r = content_load(inode, m->c->store, MODULE_SIZE_MAX, &packed, &packed_size, err);

        if (r == 0)
                r = decompress(path, packed, packed_size, MODULE_SIZE_MAX, &plain, &size, err);
        if (r < 0)
                return r;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_errno(err, "%s", path);
        elf_clear_code(plain, size, BLOCK);
        return error_prefix(err, write_sparse(fd, plain, size, err), "%s", path);
}

static int place_file(void *context, size_t index, struct error *err)
{
        const struct module_index *m = context;
        const struct tree_node *node = m->inputs[index];
        _cleanup_content_ struct content content = CONTENT_NULL;
        char inside[TREE_PATH_MAX];
        _cleanup_free_ char *path = string_format("%s%s", m->scratch.path, tree_path(node, inside));
        int r;

        if (!path)
                return error_oom(err);
        if (is_module(node) && compressed_suffix(node->name))
                return place_unpacked(m, node->inode, path, err);
        r = content_open(node->inode, m->c->store, &content, err);
        return r < 0 ? r : place_plain(&content, path, err);
}

/* Directories now, files side by side. */
static int place_tree(struct module_index *m, struct error *err)
{
        size_t count = 0;
        int r = 0;

        TREE_FOREACH (node, (struct tree_node *)m->modules)
                count++;
        m->inputs = calloc(count, sizeof(*m->inputs));
        if (!m->inputs)
                return error_oom(err);
        count = 0;
        TREE_FOREACH (node, (struct tree_node *)m->modules) {
                char inside[TREE_PATH_MAX];
                _cleanup_free_ char *path = NULL;

                if (kmodules_input(node))
                        m->inputs[count++] = node;
                if (!S_ISDIR(node->inode->mode))
                        continue;
                path = string_format("%s%s", m->scratch.path, tree_path(node, inside));
                r = path ? path_mkdirs(AT_FDCWD, path, 0755, err) : error_oom(err);
                if (r < 0)
                        return r;
        }
        return parallel_for(count, m->c->w->threads, place_file, m, err);
}

/* Newer builds of depmod look below usr/lib, older ones below lib. */
static int make_temporary(struct module_index *m, struct error *err)
{
        _cleanup_free_ char *lib = NULL;
        int r = scratch_open(m->c->w->cache_path, "depmod", &m->scratch, err);

        if (r < 0)
                return r;
        lib = string_format("%s/lib", m->scratch.path);
        if (!lib)
                return error_oom(err);
        return symlink("usr/lib", lib) < 0 ? error_errno(err, "symlink '%s'", lib) : 0;
}

/* ---- the result ---- */

static int pack_file(int dir_fd, const char *name, struct buffer *b, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        struct stat st;
        size_t size;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, "stat '%s'", name);
        if (!S_ISREG(st.st_mode))
                return 0;
        r = file_read(dir_fd, name, INDEX_MAX, &data, &size, err);
        if (r < 0)
                return r;
        packed_append(b, name, data, size);
        return 0;
}

static bool is_output(const struct module_index *m, const char *name)
{
        return startswith(name, "modules.") && !tree_child(m->modules, name);
}

static int pack_index(const struct module_index *m, struct buffer *b, struct error *err)
{
        char inside[TREE_PATH_MAX];
        _cleanup_free_ char *path =
                string_format("%s%s", m->scratch.path, tree_path(m->modules, inside));
        _cleanup_strv_ char **names = NULL;
        _cleanup_closedir_ DIR *dir = path ? opendir(path) : NULL;
        struct dirent *entry;

        if (!path)
                return error_oom(err);
        if (!dir)
                return error_errno(err, "open '%s'", path);
        while ((entry = readdir(dir)))
                if (is_output(m, entry->d_name) && strv_extend(&names, entry->d_name) < 0)
                        return error_oom(err);
        strv_sort(names);
        STRV_FOREACH (name, names) {
                int r = pack_file(dirfd(dir), *name, b, err);

                if (r < 0)
                        return r;
        }
        return b->failed ? error_oom(err) : 0;
}

static int unpack_index(const struct module_index *m, const char *data, size_t size,
                        struct error *err)
{
        const char *end = data + size;
        struct packed_file file;
        int r;

        while ((r = packed_next(&data, end, &file, err)) > 0) {
                char directory[TREE_PATH_MAX];
                _cleanup_free_ char *path =
                        string_format("%s/%s", tree_path(m->modules, directory), file.name);

                r = path ? fixup_put(m->c, path, file.data, file.size, 0644, err) : error_oom(err);
                if (r < 0)
                        break;
        }
        return r;
}

static int run_depmod(struct module_index *m, struct buffer *b, struct error *err)
{
        int r = make_temporary(m, err);

        if (r == 0)
                r = place_tree(m, err);
        if (r == 0) {
                const char *const argv[] = { "depmod", "-b", m->scratch.path, m->modules->name,
                                             NULL };

                r = spawn(argv, NULL, NULL, err);
        }
        return r < 0 ? r : pack_index(m, b, err);
}

/* depmod's index of what is in the tree, from the cache, or made and put there. */
static int index_modules(struct module_index *m, char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_buffer_ struct buffer b = {};
        char key[SHA256_HEX_SIZE], name[sizeof("modules-") + SHA256_HEX_SIZE];
        int r = kmodules_key(m->modules, m->c->store, NULL, key, err);

        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "modules-%s", key);
        r = derived_load(m->c->w->cache_fd, name, INDEX_MAX, ret, ret_size, err);
        if (r != 0)
                return MIN(r, 0);
        r = run_depmod(m, &b, err);
        if (r == 0)
                r = derived_keep(m->c->w->cache_fd, name, b.data, b.size, err);
        if (r < 0)
                return r;
        return buffer_take(&b, ret, ret_size) < 0 ? error_oom(err) : 0;
}

/* ---- "modules": "closure" ---- */

static bool ships_closure(const struct manifest *m)
{
        for (size_t i = 0; i < m->n_layers; i++)
                if (m->layers[i].modules == MODULES_CLOSURE)
                        return true;
        return false;
}

/* A directory that is empty now goes too, and so on upwards. */
static void remove_file(struct tree_node *node)
{
        struct tree_node *parent = node->parent;

        tree_remove(node);
        if (parent->n_children == 0 && parent->parent)
                remove_file(parent);
}

static int remove_unneeded(const struct fixup_context *c, struct tree_node *modules,
                           const char *packed, size_t size, struct error *err)
{
        _cleanup_module_use_ struct module_use use = {};
        int r = module_use_find(c->w, c->m, c->tree, modules, packed, size, &use, err);

        for (size_t i = 0; r >= 0 && i < use.count; i++)
                if (!use.items[i].needed)
                        remove_file(use.items[i].node);
        return r;
}

static int index_kernel(struct fixup_context *c, struct tree_node *modules, struct error *err)
{
        _cleanup_(module_index_done) struct module_index all = { .c = c,
                                                                 .modules = modules,
                                                                 .scratch = SCRATCH_NULL };
        _cleanup_(module_index_done) struct module_index left = { .c = c,
                                                                  .modules = modules,
                                                                  .scratch = SCRATCH_NULL };
        _cleanup_free_ char *packed = NULL, *packed_left = NULL;
        size_t size, size_left;
        int r = index_modules(&all, &packed, &size, err);

        if (r < 0 || !ships_closure(c->m))
                return r < 0 ? r : unpack_index(&all, packed, size, err);
        r = remove_unneeded(c, modules, packed, size, err);
        if (r >= 0)
                r = index_modules(&left, &packed_left, &size_left, err);
        return r < 0 ? r : unpack_index(&left, packed_left, size_left, err);
}

int fixup_modules(struct fixup_context *c, struct error *err)
{
        struct tree_node *top = tree_lookup(c->tree, "/usr/lib/modules");

        for (size_t i = 0; top && i < top->n_children; i++) {
                struct tree_node *modules = top->children[i];
                int r;

                if (!S_ISDIR(modules->inode->mode) || !tree_child(modules, "modules.order"))
                        continue;
                r = index_kernel(c, modules, err);
                if (r < 0)
                        return error_prefix(err, r, "modules of %s", modules->name);
        }
        return 0;
}
