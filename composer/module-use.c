/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See module-use.h.
 *
 * A word of a layer is a module's name or alias, which libkmod looks up, or a pattern: of names
 * ("nft_*"), or with a '/' of paths below kernel/, without suffix ("drivers/hv/hv_*").
 * Words must exist, since a host without the module its layer names is broken; patterns say "what
 * there is of this", and so serve kernels that have such a thing built in, too.
 *
 * A driver names its firmware in .modinfo, which is read only when the image has any firmware:
 * modules must be unpacked for it. What is built in says the same in modules.builtin.modinfo. Files
 * that no .modinfo names, because the kernel finds them by the processor's model, stay. */

#include <fcntl.h>

#include "compress.h"
#include "io.h"
#include "kmodules.h"
#include "merge.h"
#include "module-directory.h"
#include "module-use.h"
#include "parallel.h"
#include "scratch.h"
#include "strv.h"

enum { BUILTIN_MAX = 16 * 1024 * 1024, MODULE_NAME_MAX = 256 };

#define FIRMWARE_PATH "/usr/lib/firmware"

/* Microcode: asked for by the processor's signature. */
static const char *const always[] = { "amd-ucode/**", "intel-ucode/**" };

struct search {
        const struct workdir *w;
        const struct manifest *m;
        const struct tree *tree;
        struct content_store store;
        struct tree_node *modules;
        struct scratch scratch;
        struct module_use use;
        char ***firmware; /* what each needed module asks for */
        size_t n_firmware;
        char **wanted; /* firmware, of all */
};

static void search_done(struct search *s)
{
        scratch_done(&s->scratch);
        for (size_t i = 0; i < s->n_firmware; i++)
                strv_free(s->firmware[i]);
        free(s->firmware);
        strv_free(s->wanted);
        module_use_done(&s->use);
}

void module_use_done(struct module_use *u)
{
        free(u->items);
        memset(u, 0, sizeof(*u));
}

/* ---- what there is ---- */

static int add_file(struct module_use *u, struct tree_node *node, bool firmware, struct error *err)
{
        if ((u->count & (u->count + 1)) == 0) { /* 0, 1, 3, 7 …: as full as it may be */
                struct module_file *items =
                        reallocarray(u->items, 2 * u->count + 1, sizeof(*items));

                if (!items)
                        return error_oom(err);
                u->items = items;
        }
        u->items[u->count++] = (struct module_file){ node, firmware, false };
        return 0;
}

static int collect(struct search *s, struct error *err)
{
        struct tree_node *firmware = tree_lookup(s->tree, FIRMWARE_PATH);
        int r = 0;

        TREE_FOREACH (node, s->modules)
                if (r >= 0 && S_ISREG(node->inode->mode) && strstr(node->name, ".ko"))
                        r = add_file(&s->use, node, false, err);
        if (firmware)
                TREE_FOREACH (node, firmware)
                        if (r >= 0 && !S_ISDIR(node->inode->mode))
                                r = add_file(&s->use, node, true, err);
        return r;
}

/* The path below the kernel's module directory, as libkmod's answers have it. */
static const char *relative(const struct search *s, const struct tree_node *node, char *buffer)
{
        char top[TREE_PATH_MAX];

        return tree_path(node, buffer) + strlen(tree_path(s->modules, top)) + 1;
}

/* ---- words ---- */

static bool is_pattern(const char *word)
{
        return strpbrk(word, "*?[/") != NULL;
}

/* "kernel/net/netfilter/nft-x.ko.xz" → "net/netfilter/nft-x", or for a pattern without '/': the
 * name as the kernel has it, "nft_x". */
static void subject(const char *path, bool whole, char *ret)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        const char *start = whole ? startswith(path, "kernel/") ?: path : name;

        snprintf(ret, TREE_PATH_MAX, "%.*s", (int)(strstr(name, ".ko") - start), start);
        for (char *c = ret; !whole && *c != '\0'; c++)
                if (*c == '-')
                        *c = '_';
}

/* The names of the modules that match. */
static int expand(const struct search *s, const char *pattern, char ***names, struct error *err)
{
        bool whole = strchr(pattern, '/') != NULL;

        for (size_t i = 0; i < s->use.count; i++) {
                const struct module_file *f = &s->use.items[i];
                char path[TREE_PATH_MAX], text[TREE_PATH_MAX], name[TREE_PATH_MAX];

                if (f->firmware)
                        continue;
                subject(relative(s, f->node, path), whole, text);
                if (!glob_match(pattern, text))
                        continue;
                subject(path, false, name);
                if (strv_extend(names, name) < 0)
                        return error_oom(err);
        }
        return 0;
}

static int add_words(const struct search *s, char *const *words, char ***names, struct error *err)
{
        int r = 0;

        for (; r >= 0 && words && *words; words++) {
                if (is_pattern(*words))
                        r = expand(s, *words, names, err);
                else if (strv_extend(names, *words) < 0)
                        r = error_oom(err);
        }
        return r;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void mark(struct search *s, char **paths)
{
        size_t count = strv_length(paths);

        for (size_t i = 0; i < s->use.count; i++) {
                char buffer[TREE_PATH_MAX];
                const char *path;

                if (s->use.items[i].firmware)
                        continue;
                path = relative(s, s->use.items[i].node, buffer);
                if (bsearch(&path, paths, count, sizeof(*paths), compare_strings))
                        s->use.items[i].needed = true;
        }
}

/* Marks what the words need. */
static int mark_words(struct search *s, char *const *first, char *const *second, struct error *err)
{
        _cleanup_strv_ char **names = NULL, **paths = NULL;
        int r;

        r = add_words(s, first, &names, err);
        if (r >= 0)
                r = add_words(s, second, &names, err);
        if (r >= 0 && names)
                r = kmodules_closure(s->scratch.path, names, &paths, err);
        if (r >= 0 && paths)
                mark(s, paths);
        return r;
}

static int mark_modules(struct search *s, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->m->n_layers; i++) {
                const struct layer *l = &s->m->layers[i];

                r = error_prefix(err, mark_words(s, l->initrd.modules, l->kernel.modules, err),
                                 "layer '%s'", l->name);
        }
        return r < 0 ? r : mark_words(s, s->m->kernel.modules, NULL, err);
}

/* ---- firmware ---- */

static int write_module(const struct search *s, const struct tree_node *node, const char *path,
                        struct error *err)
{
        _cleanup_free_ char *packed = NULL, *plain = NULL;
        size_t packed_size, size;
        int r = content_load(node->inode, &s->store, MODULE_SIZE_MAX, &packed, &packed_size, err);

        if (r < 0)
                return r;
        if (!compressed_suffix(node->name))
                return file_write(AT_FDCWD, path, packed, packed_size, 0600, err);
        r = decompress(node->name, packed, packed_size, MODULE_SIZE_MAX, &plain, &size, err);
        return r < 0 ? r : file_write(AT_FDCWD, path, plain, size, 0600, err);
}

/* What one needed module asks for. libkmod wants a file; it is gone again at once. */
static int ask_module(void *context, size_t index, struct error *err)
{
        struct search *s = context;
        const struct module_file *f = &s->use.items[index];
        _cleanup_free_ char *path = NULL;
        int r;

        if (f->firmware || !f->needed)
                return 0;
        path = string_format("%s/asked-%zu.ko", s->scratch.path, index);
        if (!path)
                return error_oom(err);
        r = write_module(s, f->node, path, err);
        if (r >= 0)
                r = kmodules_firmware(path, &s->firmware[index], err);
        unlink(path);
        return error_prefix(err, r, "%s", f->node->name);
}

/* Entries are "module.key=value", each with a NUL behind it. */
static int ask_builtin(struct search *s, struct error *err)
{
        const struct tree_node *node = tree_child(s->modules, "modules.builtin.modinfo");
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = 0;

        if (!node)
                return 0;
        r = content_load(node->inode, &s->store, BUILTIN_MAX, &data, &size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", node->name);
        for (const char *entry = data; entry < data + size; entry += strlen(entry) + 1) {
                const char *key = strchr(entry, '.');
                const char *name = key ? startswith(key, ".firmware=") : NULL;

                if (name && strv_extend(&s->wanted, name) < 0)
                        return error_oom(err);
        }
        return 0;
}

static int ask_all(struct search *s, struct error *err)
{
        int r;

        s->firmware = calloc(s->use.count, sizeof(*s->firmware));
        if (!s->firmware)
                return error_oom(err);
        s->n_firmware = s->use.count;
        for (size_t i = 0; i < ARRAY_SIZE(always); i++)
                if (strv_extend(&s->wanted, always[i]) < 0)
                        return error_oom(err);
        r = ask_builtin(s, err);
        if (r >= 0)
                r = parallel_for(s->n_firmware, s->w->threads, ask_module, s, err);
        for (size_t i = 0; r >= 0 && i < s->n_firmware; i++)
                STRV_FOREACH (name, s->firmware[i])
                        if (strv_extend(&s->wanted, *name) < 0)
                                return error_oom(err);
        return r;
}

/* The name that drivers ask for: without where the kernel looks and how the file is packed. */
static void firmware_name(const struct search *s, const struct tree_node *node, char *ret)
{
        char buffer[TREE_PATH_MAX], version[MODULE_NAME_MAX];
        const char *name = tree_path(node, buffer) + strlen(FIRMWARE_PATH "/"), *suffix;

        snprintf(version, sizeof(version), "%s/", s->modules->name);
        name = startswith(name, "updates/") ?: name;
        name = startswith(name, version) ?: name;
        suffix = compressed_suffix(name);
        snprintf(ret, TREE_PATH_MAX, "%.*s", (int)(strlen(name) - (suffix ? strlen(suffix) : 0)),
                 name);
}

/* Drivers name patterns, too. */
static bool is_wanted(const struct search *s, const char *name)
{
        STRV_FOREACH (pattern, s->wanted)
                if (glob_match(*pattern, name))
                        return true;
        return false;
}

static void mark_node(struct search *s, const struct tree_node *node)
{
        for (size_t i = 0; i < s->use.count; i++)
                if (s->use.items[i].node == node)
                        s->use.items[i].needed = true;
}

/* A link that is wanted needs the file, too. */
static void mark_firmware(struct search *s)
{
        for (size_t i = 0; i < s->use.count; i++) {
                struct module_file *f = &s->use.items[i];
                char name[TREE_PATH_MAX], path[TREE_PATH_MAX];

                if (!f->firmware)
                        continue;
                firmware_name(s, f->node, name);
                if (!is_wanted(s, name))
                        continue;
                f->needed = true;
                if (S_ISLNK(f->node->inode->mode))
                        mark_node(s, tree_resolve(s->tree, tree_path(f->node, path)));
        }
}

static bool has_firmware(const struct module_use *u)
{
        return u->count > 0 && u->items[u->count - 1].firmware;
}

int module_use_find(const struct workdir *w, const struct manifest *m, const struct tree *tree,
                    struct tree_node *modules, const char *packed, size_t size,
                    struct module_use *ret, struct error *err)
{
        _cleanup_(search_done) struct search s = {
                .w = w, .m = m, .tree = tree, .modules = modules, .scratch = SCRATCH_NULL
        };
        int r;

        if (w->repo)
                s.store = repo_contents(w->repo);
        r = scratch_open(w->cache_path, "modules", &s.scratch, err);
        if (r >= 0)
                r = module_directory_write(modules, &s.store, packed, size, s.scratch.path, err);
        if (r >= 0)
                r = collect(&s, err);
        if (r >= 0)
                r = mark_modules(&s, err);
        if (r >= 0 && has_firmware(&s.use)) {
                r = ask_all(&s, err);
                if (r >= 0)
                        mark_firmware(&s);
        }
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s.use);
        return 0;
}
