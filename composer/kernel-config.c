/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kernel-config.h. CONFIG_IKCONFIG puts the configuration, gzip'd, between two marks into the
 * kernel's data, which a boot image holds compressed:
 *
 * bzImage: https://docs.kernel.org/arch/x86/boot.html — the number of 512-byte sectors before the
 * protected-mode code, in which payload_offset counts.
 * EFI zboot: drivers/firmware/efi/libstub/zboot-header.S — "MZ", "zimg", offset and size. */

#include <endian.h>
#include <fcntl.h>

#include "initrd.h"
#include "io.h"
#include "kernel-config.h"
#include "pe.h"
#include "unpack.h"

enum {
        KERNEL_FILE_MAX = 256 * 1024 * 1024,
        KERNEL_PLAIN_MAX = 256 * 1024 * 1024,
        BZIMAGE_SECTORS = 0x1f1,
        BZIMAGE_MAGIC = 0x202,
        BZIMAGE_OFFSET = 0x248,
        BZIMAGE_LENGTH = 0x24c,
        BZIMAGE_HEADER_SIZE = 0x250,
        BZIMAGE_SECTORS_DEFAULT = 4,
        BZIMAGE_TAIL = 4,
        SECTOR_SIZE = 512,
        ZBOOT_MAGIC = 4,
        ZBOOT_OFFSET = 8,
        ZBOOT_SIZE = 12,
        ZBOOT_HEADER_SIZE = 64,
};

struct bytes {
        const char *data;
        size_t size;
};

static uint32_t read_le32(const char *data)
{
        uint32_t value;

        memcpy(&value, data, sizeof(value));
        return le32toh(value);
}

static bool has_bytes(struct bytes b, size_t offset, const char *bytes)
{
        size_t n = strlen(bytes);

        return b.size >= n && offset <= b.size - n && memcmp(b.data + offset, bytes, n) == 0;
}

/* Cut to what is there. */
static struct bytes part_of(struct bytes b, uint64_t offset, uint64_t size)
{
        offset = MIN(offset, (uint64_t)b.size);
        return (struct bytes){ b.data + offset, (size_t)MIN(size, b.size - offset) };
}

/* ---- payloads ---- */

/* An empty one: not such an image. */
static struct bytes bzimage_payload(struct bytes b)
{
        uint64_t start;

        if (b.size < BZIMAGE_HEADER_SIZE || !has_bytes(b, BZIMAGE_MAGIC, "HdrS"))
                return (struct bytes){};
        start = (unsigned char)b.data[BZIMAGE_SECTORS] ?: BZIMAGE_SECTORS_DEFAULT;
        start = (start + 1) * SECTOR_SIZE + read_le32(b.data + BZIMAGE_OFFSET);
        b = part_of(b, start, read_le32(b.data + BZIMAGE_LENGTH));
        /* Behind it, where the format does not itself say so: how long the plain bytes are. */
        if (b.size > BZIMAGE_TAIL && !has_bytes(b, 0, GZIP_MAGIC))
                b.size -= BZIMAGE_TAIL;
        return b;
}

static struct bytes zboot_payload(struct bytes b)
{
        if (b.size < ZBOOT_HEADER_SIZE || !has_bytes(b, 0, "MZ") ||
            !has_bytes(b, ZBOOT_MAGIC, "zimg"))
                return (struct bytes){};
        return part_of(b, read_le32(b.data + ZBOOT_OFFSET), read_le32(b.data + ZBOOT_SIZE));
}

static struct bytes payload_of(struct bytes b)
{
        struct bytes payload = bzimage_payload(b);

        return payload.size > 0 ? payload : zboot_payload(b);
}

/* The kernel in a UKI; any other bytes are the kernel themselves. */
static struct bytes kernel_in(struct bytes b)
{
        const struct pe_section *section;
        struct pe pe;

        if (pe_read(b.data, b.size, &pe, NULL) < 0)
                return b;
        section = pe_find(&pe, ".linux");
        return section ? part_of(b, section->offset, section->file_size) : b;
}

/* ---- the configuration in a kernel ---- */

/* 0: none there. */
static int find_marked(const char *name, struct bytes b, struct kconfig *ret, struct error *err)
{
        static const char start_mark[] = "IKCFG_ST", end_mark[] = "IKCFG_ED";
        _cleanup_free_ char *text = NULL;
        const char *start, *end;
        size_t size;
        int r;

        start = memmem(b.data, b.size, start_mark, strlen(start_mark));
        if (!start)
                return 0;
        start += strlen(start_mark);
        end = memmem(start, (size_t)(b.data + b.size - start), end_mark, strlen(end_mark));
        if (!end)
                return error_set(err, -EBADMSG, "%s: the configuration inside has no end", name);
        r = unpack(start, (size_t)(end - start), KCONFIG_TEXT_MAX, &text, &size, err);
        if (r < 0)
                return error_prefix(err, r, "%s: the configuration inside", name);
        r = kconfig_parse(name, text, size, ret, err);
        return r < 0 ? r : 1;
}

static bool is_kernel(struct bytes b)
{
        return has_bytes(b, 0, "MZ") || has_bytes(b, 0, "\177ELF");
}

/* Kconfig writes options, comments and empty lines. */
static bool is_text(struct bytes b)
{
        return b.size == 0 || memchr("#C \t\n", b.data[0], 5);
}

/* Compressed bytes could hold the marks as well, so a payload is all that is looked at. */
static int read_kernel(const char *name, struct bytes b, struct kconfig *ret, struct error *err)
{
        struct bytes payload = payload_of(b);
        _cleanup_free_ char *plain = NULL;
        int r;

        if (payload.size > 0) {
                r = unpack(payload.data, payload.size, KERNEL_PLAIN_MAX, &plain, &b.size, err);
                if (r < 0)
                        return error_prefix(err, r, "%s: the kernel inside", name);
                b.data = plain;
        }
        r = find_marked(name, b, ret, err);
        if (r == 0)
                return error_set(err, -ENODATA,
                                 "%s: a kernel that does not carry its configuration "
                                 "(CONFIG_IKCONFIG)",
                                 name);
        return MIN(r, 0);
}

int kernel_config_read(const char *name, const void *data, size_t size, struct kconfig *ret,
                       struct error *err)
{
        _cleanup_free_ char *plain = NULL;
        struct bytes b = { data, size };

        if (!is_kernel(b) && !is_text(b)) {
                int r = unpack(data, size, KERNEL_PLAIN_MAX, &plain, &b.size, err);

                if (r < 0)
                        return error_prefix(err, r, "%s: neither configuration nor kernel", name);
                b.data = plain;
        }
        return is_kernel(b) ? read_kernel(name, kernel_in(b), ret, err)
                            : kconfig_parse(name, b.data, b.size, ret, err);
}

int kernel_config_file(const char *path, struct kconfig *ret, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, KERNEL_FILE_MAX, &data, &size, err);

        return r < 0 ? r : kernel_config_read(path, data, size, ret, err);
}

/* ---- trees ---- */

/* Best first: a directory, what its entries that count begin with, what is looked for in them. */
static const struct place {
        const char *directory, *prefix, *file;
} places[] = {
        { "usr/lib/modules", "", "/config" },
        { "lib/modules", "", "/config" },
        { "boot", "config-", "" },
        { "usr/lib/modules", "", "/vmlinuz" },
        { "lib/modules", "", "/vmlinuz" },
        { "boot", "vmlinuz-", "" },
};

/* The one file of a place; *ret stays NULL when there is none. Caller frees. */
static int find_in_place(const char *root, const struct place *p, char **ret, struct error *err)
{
        _cleanup_free_ char *path = string_format("%s/%s", root, p->directory), *found = NULL;
        _cleanup_closedir_ DIR *dir = path ? opendir(path) : NULL;
        struct dirent *entry;

        if (!path)
                return error_oom(err);
        while (dir && (entry = readdir(dir))) {
                _cleanup_free_ char *file = string_format("%s/%s%s", path, entry->d_name, p->file);

                if (!file)
                        return error_oom(err);
                if (entry->d_name[0] == '.' || !startswith(entry->d_name, p->prefix) ||
                    access(file, F_OK) < 0)
                        continue;
                if (found)
                        return error_set(err, -EEXIST, "several kernels, name one: %s, %s", found,
                                         file);
                found = TAKE_PTR(file);
        }
        *ret = TAKE_PTR(found);
        return 0;
}

int kernel_config_directory(const char *path, struct kconfig *ret, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                _cleanup_free_ char *file = NULL;
                int r = find_in_place(path, &places[i], &file, err);

                if (r < 0 || file)
                        return r < 0 ? r : kernel_config_file(file, ret, err);
        }
        return error_set(err, -ENOENT, "%s: no kernel in it", path);
}

/* 0: no such file in the tree. */
static int read_node(const struct tree *tree, const struct content_store *store, const char *path,
                     struct kconfig *ret, struct error *err)
{
        const struct tree_node *node = tree_resolve(tree, path);
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        if (!node)
                return 0;
        r = content_load(node->inode, store, KERNEL_FILE_MAX, &data, &size, err);
        if (r >= 0)
                r = kernel_config_read(path, data, size, ret, err);
        return r < 0 ? r : 1;
}

int kernel_config_tree(const struct tree *tree, const struct content_store *store,
                       struct kconfig *ret, struct error *err)
{
        static const char *const files[] = { "config", "vmlinuz" };
        _cleanup_free_ char *version = NULL;
        int r = kernel_version(tree, &version, err);

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path =
                        string_format("/usr/lib/modules/%s/%s", version, files[i]);

                r = path ? read_node(tree, store, path, ret, err) : error_oom(err);
        }
        return MIN(r, 0);
}
