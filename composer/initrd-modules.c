/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernel modules for the initrd: their files, the indexes and the firmware's names, packed into one
 * entry of the cache or taken from there. libkmod and depmod want a directory on disk, so the
 * image's index files are put into a private one, libkmod says which modules are needed, these are
 * decompressed (once here instead of at every boot; the initrd is compressed as a whole anyway)
 * into a second one, and the builder's depmod makes indexes for exactly these. Nothing of the image
 * is executed.
 *
 *   <private>/index/                                      see module-directory.h
 *   <private>/root/usr/lib/modules/<version>/kernel/….ko  what goes into the initrd
 *   <private>/root/usr/lib/modules/<version>/modules.*    made by depmod */

#include <fcntl.h>

#include "compress.h"
#include "derived.h"
#include "initrd-tree.h"
#include "io.h"
#include "kmodules.h"
#include "module-directory.h"
#include "parallel.h"
#include "process.h"
#include "scratch.h"
#include "strv.h"

enum {
        INDEX_SIZE_MAX = 64 * 1024 * 1024,
        PACKED_MAX = 1024 * 1024 * 1024,
};

/* What depmod wants to know besides the modules. */
static const char *const depmod_files[] = {
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
};
/* What udev and modprobe read in the initrd. */
static const char *const initrd_files[] = {
        "modules.dep.bin",           "modules.alias.bin", "modules.builtin.bin",
        "modules.builtin.alias.bin", "modules.softdep",   "modules.devname",
};

static const char firmware_entry[] = "firmware"; /* no module's path: these begin with "kernel/" */

struct private
{
        struct initrd *initrd;
        const char *version;
        const struct tree_node *directory; /* /usr/lib/modules/<version> in the image */
        struct scratch scratch;
        char *index;  /* <path>/index */
        char *root;   /* <path>/root */
        char *target; /* <root>/usr/lib/modules/<version> */
        char **modules;
};

static void private_done(struct private *p)
{
        scratch_done(&p->scratch);
        free(p->index);
        free(p->root);
        free(p->target);
        strv_free(p->modules);
}

static int open_private(struct private *p, const struct workdir *w, struct error *err)
{
        int r = scratch_open(w->cache_path, "initrd", &p->scratch, err);

        if (r < 0)
                return r;
        p->index = string_format("%s/index", p->scratch.path);
        p->root = string_format("%s/root", p->scratch.path);
        p->target = string_format("%s/root/usr/lib/modules/%s", p->scratch.path, p->version);
        if (!p->index || !p->root || !p->target)
                return error_oom(err);
        r = path_mkdirs(AT_FDCWD, p->index, 0700, err);
        if (r >= 0)
                r = path_mkdirs(AT_FDCWD, p->target, 0700, err);
        return r;
}

/* Writes a file below a directory without fsync: nobody needs it after this process. */
static int put_private(const char *directory, const char *name, const void *data, size_t size,
                       struct error *err)
{
        _cleanup_free_ char *path = string_format("%s/%s", directory, name), *parent = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        if (path)
                parent = strndup(path, (size_t)(strrchr(path, '/') - path));
        if (!parent)
                return error_oom(err);
        r = path_mkdirs(AT_FDCWD, parent, 0700, err);
        if (r < 0)
                return r;
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_errno(err, "%s", path);
        return io_write(fd, data, size, err);
}

/* The path in image and initrd of a file of the kernel's module directory. Caller frees. */
static char *image_file(const struct private *p, const char *name)
{
        return string_format("/usr/lib/modules/%s/%s", p->version, name);
}

/* Loads a file of the kernel's module directory in the image; *ret NULL when it is not there. */
static int load_file(const struct private *p, const char *name, size_t limit, char **ret,
                     size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *path = image_file(p, name);
        const struct tree_node *node;

        *ret = NULL;
        if (!path)
                return error_oom(err);
        node = tree_resolve(p->initrd->image, path);
        if (!node)
                return 0;
        return error_prefix(err,
                            content_load(node->inode, p->initrd->store, limit, ret, ret_size, err),
                            "%s", path);
}

static int copy_files(const struct private *p, const char *const *names, size_t count,
                      const char *directory, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < count; i++) {
                _cleanup_free_ char *data = NULL;
                size_t size;

                r = load_file(p, names[i], INDEX_SIZE_MAX, &data, &size, err);
                if (r >= 0 && data)
                        r = put_private(directory, names[i], data, size, err);
        }
        return r;
}

/* The module's name without the suffix of its compression. Caller frees. */
static char *plain_name(const char *name)
{
        const char *suffix = compressed_suffix(name);

        return strndup(name, strlen(name) - (suffix ? strlen(suffix) : 0));
}

static int load_module(const struct private *p, const char *name, char **ret, size_t *ret_size,
                       struct error *err)
{
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = load_file(p, name, MODULE_SIZE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        if (!data)
                return error_set(err, -ENOENT, "%s is in modules.dep but not in the image", name);
        if (compressed_suffix(name))
                return decompress(name, data, size, MODULE_SIZE_MAX, ret, ret_size, err);
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

static int unpack_module(void *context, size_t index, struct error *err)
{
        const struct private *p = context;
        _cleanup_free_ char *plain = plain_name(p->modules[index]), *data = NULL;
        size_t size;
        int r;

        if (!plain)
                return error_oom(err);
        r = load_module(p, p->modules[index], &data, &size, err);
        return r < 0 ? r : put_private(p->target, plain, data, size, err);
}

/* Packs a finished file of the private directory. */
static int pack(const struct private *p, const char *name, bool optional, struct buffer *b,
                struct error *err)
{
        _cleanup_free_ char *source = string_format("%s/%s", p->target, name), *data = NULL;
        size_t size;
        int r;

        if (!source)
                return error_oom(err);
        if (optional && access(source, F_OK) < 0)
                return 0;
        r = file_read(AT_FDCWD, source, MODULE_SIZE_MAX, &data, &size, err);
        if (r >= 0)
                packed_append(b, name, data, size);
        return r;
}

/* Packs the names of the firmware that a module may ask for, which stand for files of the image. */
static int pack_firmware(const struct private *p, const char *module, struct buffer *b,
                         struct error *err)
{
        _cleanup_free_ char *path = string_format("%s/%s", p->target, module);
        _cleanup_strv_ char **files = NULL;
        int r;

        if (!path)
                return error_oom(err);
        r = kmodules_firmware(path, &files, err);
        STRV_FOREACH (file, files)
                packed_append(b, firmware_entry, *file, strlen(*file));
        return r;
}

static int make_indexes(const struct private *p, struct error *err)
{
        _cleanup_free_ char *link = string_format("%s/lib", p->root);
        int r;

        if (!link)
                return error_oom(err);
        r = copy_files(p, depmod_files, ARRAY_SIZE(depmod_files), p->target, err);
        if (r < 0)
                return r;
        if (symlink("usr/lib", link) < 0)
                return error_errno(err, "%s", link);
        return spawn((const char *const[]){ "depmod", "-b", p->root, p->version, NULL }, NULL, NULL,
                     err);
}

static int pack_all(const struct private *p, struct buffer *b, struct error *err)
{
        int r = 0;

        STRV_FOREACH (module, p->modules) {
                _cleanup_free_ char *plain = plain_name(*module);

                if (!plain)
                        return error_oom(err);
                r = pack(p, plain, false, b, err);
                if (r >= 0)
                        r = pack_firmware(p, plain, b, err);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(initrd_files); i++)
                r = pack(p, initrd_files[i], true, b, err);
        if (r >= 0 && b->failed)
                return error_oom(err);
        return r;
}

static int make(struct private *p, const struct workdir *w, char *const *names, struct buffer *b,
                struct error *err)
{
        int r;

        r = open_private(p, w, err);
        if (r >= 0)
                r = module_directory_write(p->directory, p->initrd->store, NULL, 0, p->index, err);
        if (r >= 0)
                r = kmodules_closure(p->index, names, &p->modules, err);
        if (r >= 0)
                r = parallel_for(strv_length(p->modules), w->threads, unpack_module, p, err);
        if (r >= 0)
                r = make_indexes(p, err);
        return r < 0 ? r : pack_all(p, b, err);
}

/* ---- into the initrd ---- */

/* Firmware may stay away: drivers ask for more files than any machine has. */
static int include_firmware(struct initrd *i, const char *name, struct error *err)
{
        static const char *const suffixes[] = { "", ".xz", ".zst" };
        int r = 0;

        for (size_t s = 0; r >= 0 && s < ARRAY_SIZE(suffixes); s++) {
                _cleanup_free_ char *path =
                        string_format("/usr/lib/firmware/%s%s", name, suffixes[s]);

                r = path ? initrd_include_path(i, path, err) : error_oom(err);
        }
        return MIN(r, 0);
}

static int adopt(const struct private *p, const struct packed_file *file, struct error *err)
{
        _cleanup_free_ char *path = NULL;

        if (streq(file->name, firmware_entry)) {
                path = strndup(file->data, file->size);
                return path ? include_firmware(p->initrd, path, err) : error_oom(err);
        }
        path = image_file(p, file->name);
        if (!path)
                return error_oom(err);
        return tree_put_file(p->initrd->tree, path, file->data, file->size, 0644, NULL, err);
}

static int adopt_all(const struct private *p, const char *data, size_t size, struct error *err)
{
        const char *end = data + size;
        struct packed_file file;
        int r;

        while ((r = packed_next(&data, end, &file, err)) > 0) {
                r = adopt(p, &file, err);
                if (r < 0)
                        break;
        }
        return r;
}

static int cache_name(const struct private *p, char *const *names, char **ret, struct error *err)
{
        char key[SHA256_HEX_SIZE];
        int r;

        if (!p->directory)
                return error_set(err, -ENOENT, "/usr/lib/modules/%s is not in the image",
                                 p->version);
        r = kmodules_key(p->directory, p->initrd->store, names, key, err);
        if (r < 0)
                return r;
        *ret = string_format("initrd-modules-%s", key);
        return *ret ? 0 : error_oom(err);
}

int initrd_modules(struct initrd *i, const struct workdir *w, const char *version,
                   char *const *names, struct error *err)
{
        _cleanup_(private_done) struct private p = { .initrd = i,
                                                     .version = version,
                                                     .scratch = SCRATCH_NULL };
        _cleanup_free_ char *path = NULL, *name = NULL, *data = NULL;
        _cleanup_buffer_ struct buffer b = {};
        size_t size;
        int r;

        path = string_format("/usr/lib/modules/%s", version);
        if (!path)
                return error_oom(err);
        p.directory = tree_lookup(i->image, path);
        r = cache_name(&p, names, &name, err);
        if (r >= 0)
                r = derived_load(w->cache_fd, name, PACKED_MAX, &data, &size, err);
        if (r != 0)
                return r < 0 ? r : adopt_all(&p, data, size, err);
        r = make(&p, w, names, &b, err);
        if (r >= 0)
                r = derived_keep(w->cache_fd, name, b.data, b.size, err);
        return r < 0 ? r : adopt_all(&p, b.data, b.size, err);
}
