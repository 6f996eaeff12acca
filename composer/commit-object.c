/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See commit-internal.h: one object in, one object out.
 *
 * libostree names a file by sha256 over a header (owner, mode, xattrs, symlink target) and the
 * bytes. GLib's sha256 in Debian's libostree is several times slower than OpenSSL's, so a content
 * of up to BUFFER_MAX bytes is read into memory, hashed by OpenSSL and handed over under its name,
 * and an object that is there already is not written at all; a larger one is streamed and hashed by
 * libostree. `ostree fsck` recomputes every name. */

#include <fcntl.h>
#include <gio/gfiledescriptorbased.h>

#include "commit-internal.h"

enum {
        BUFFER_MAX = 64 * 1024 * 1024,
        STREAM_CHUNK = 1024 * 1024,
        OBJECT_PATH_SIZE = sizeof("objects/") + SHA256_HEX_SIZE + sizeof("/.dirtree"),
};

/* ---- errors ---- */

static const struct {
        int gio, code;
} gio_codes[] = {
        { G_IO_ERROR_NOT_FOUND, -ENOENT },
        { G_IO_ERROR_EXISTS, -EEXIST },
        { G_IO_ERROR_NO_SPACE, -ENOSPC },
        { G_IO_ERROR_PERMISSION_DENIED, -EACCES },
        { G_IO_ERROR_READ_ONLY, -EROFS },
        { G_IO_ERROR_NOT_SUPPORTED, -EOPNOTSUPP },
        { G_IO_ERROR_TOO_MANY_OPEN_FILES, -EMFILE },
        { G_IO_ERROR_NOT_DIRECTORY, -ENOTDIR },
        { G_IO_ERROR_INVALID_DATA, -EBADMSG },
};

int gerror_set(struct error *err, const GError *error)
{
        int code = -EIO;

        for (size_t i = 0; i < ARRAY_SIZE(gio_codes); i++)
                if (g_error_matches(error, G_IO_ERROR, gio_codes[i].gio))
                        code = gio_codes[i].code;
        return error_set(err, code, "%s", error->message);
}

/* ---- where objects are ---- */

/* Its path in the repository; returns `ret`. */
static const char *object_path(OstreeObjectType type, const struct sha256 *object,
                               char ret[OBJECT_PATH_SIZE])
{
        char name[SHA256_HEX_SIZE];

        sha256_hex(object, name);
        snprintf(ret, OBJECT_PATH_SIZE, "objects/%.2s/%s.%s", name, name + 2,
                 ostree_object_type_to_string(type));
        return ret;
}

/* One look at where it would be; libostree looks at four places twice. In doubt it is not there. */
static bool is_there(struct repo *repo, OstreeObjectType type, const struct sha256 *object)
{
        char path[OBJECT_PATH_SIZE];

        return faccessat(repo->fd, object_path(type, object, path), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- metadata of inodes ---- */

GVariant *bytes_variant(const void *data, size_t size)
{
        return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, data, size, 1);
}

GVariant *xattrs_variant(const struct tree_inode *inode)
{
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a(ayay)"));
        for (size_t i = 0; i < inode->n_xattrs; i++)
                g_variant_builder_add(&builder, "(@ay@ay)",
                                      g_variant_new_bytestring(inode->xattrs[i].name),
                                      bytes_variant(inode->xattrs[i].value, inode->xattrs[i].size));
        return g_variant_ref_sink(g_variant_builder_end(&builder));
}

static GFileInfo *file_info_new(const struct tree_inode *inode)
{
        GFileInfo *info = g_file_info_new();

        g_file_info_set_file_type(info,
                                  inode->target ? G_FILE_TYPE_SYMBOLIC_LINK : G_FILE_TYPE_REGULAR);
        g_file_info_set_is_symlink(info, inode->target != NULL);
        if (inode->target)
                g_file_info_set_symlink_target(info, inode->target);
        else
                g_file_info_set_size(info, (goffset)inode->size);
        g_file_info_set_attribute_uint32(info, "unix::uid", inode->uid);
        g_file_info_set_attribute_uint32(info, "unix::gid", inode->gid);
        g_file_info_set_attribute_uint32(info, "unix::mode", inode->mode);
        return info;
}

/* The header that is hashed before a file's bytes: its length (big-endian), padding to 8, and
 * "(uuuusa(ayay))": uid, gid, mode, 0 (all big-endian), symlink target, xattrs. */
static void hash_header(struct hasher *hasher, const struct tree_inode *inode, GVariant *xattrs)
{
        g_autoptr(GVariant) header = g_variant_ref_sink(g_variant_new(
                "(uuuus@a(ayay))", GUINT32_TO_BE(inode->uid), GUINT32_TO_BE(inode->gid),
                GUINT32_TO_BE(inode->mode), 0, inode->target ?: "", xattrs));
        uint32_t start[2] = { GUINT32_TO_BE((uint32_t)g_variant_get_size(header)), 0 };

        hasher_update(hasher, start, sizeof(start));
        hasher_update(hasher, g_variant_get_data(header), g_variant_get_size(header));
}

static int object_name(const struct tree_inode *inode, GVariant *xattrs, const void *data,
                       size_t size, struct sha256 *ret, struct error *err)
{
        _cleanup_hasher_ struct hasher hasher = {};
        int r = hasher_init(&hasher, err);

        if (r < 0)
                return r;
        hash_header(&hasher, inode, xattrs);
        hasher_update(&hasher, data, size);
        return hasher_final(&hasher, ret, err);
}

/* ---- contents ---- */

int object_write(struct repo *repo, const struct tree_inode *inode, const void *data, size_t size,
                 struct sha256 *ret, struct error *err)
{
        g_autoptr(GVariant) xattrs = xattrs_variant(inode);
        g_autoptr(GFileInfo) info = NULL;
        g_autoptr(GInputStream) bytes = NULL, stream = NULL;
        g_autoptr(GError) error = NULL;
        char name[SHA256_HEX_SIZE];
        struct sha256 object;
        guint64 length;
        int r;

        r = object_name(inode, xattrs, data, size, &object, err);
        if (r < 0)
                return r;
        *ret = object;
        if (is_there(repo, OSTREE_OBJECT_TYPE_FILE, &object))
                return 0;
        sha256_hex(&object, name);
        info = file_info_new(inode);
        bytes = g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
        if (!ostree_raw_file_to_content_stream(inode->target ? NULL : bytes, info, xattrs, &stream,
                                               &length, NULL, &error) ||
            !ostree_repo_write_content_trusted(repo->ostree, name, stream, length, NULL, &error))
                return gerror_set(err, error);
        unsynced_add(repo, size);
        return 0;
}

/* Fills the buffer; a source that has less is an error. */
static int read_fully(repo_read_fn read_some, void *userdata, char *data, size_t size,
                      struct error *err)
{
        size_t done = 0;

        while (done < size) {
                ssize_t n = read_some(userdata, data + done, size - done, err);

                if (n < 0)
                        return (int)n;
                if (n == 0)
                        return error_set(err, -ENODATA, "content ends after %zu of %zu bytes", done,
                                         size);
                done += (size_t)n;
        }
        return 0;
}

static int stream_to(GOutputStream *writer, uint64_t size, repo_read_fn read_some, void *userdata,
                     struct error *err)
{
        _cleanup_free_ char *buffer = malloc(STREAM_CHUNK);
        g_autoptr(GError) error = NULL;
        int r;

        if (!buffer)
                return error_oom(err);
        while (size > 0) {
                size_t n = (size_t)MIN(size, (uint64_t)STREAM_CHUNK);

                r = read_fully(read_some, userdata, buffer, n, err);
                if (r < 0)
                        return r;
                if (!g_output_stream_write_all(writer, buffer, n, NULL, NULL, &error))
                        return gerror_set(err, error);
                size -= n;
        }
        return 0;
}

/* Writes a content that is too large for memory; libostree hashes it on the way. */
static int write_stream(struct repo *repo, const struct tree_inode *inode, repo_read_fn read_some,
                        void *userdata, struct sha256 *ret, struct error *err)
{
        g_autoptr(GVariant) xattrs = xattrs_variant(inode);
        g_autoptr(OstreeContentWriter) writer = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *name = NULL;
        int r;

        writer = ostree_repo_write_regfile(repo->ostree, NULL, inode->uid, inode->gid, inode->mode,
                                           inode->size, xattrs, &error);
        if (!writer)
                return gerror_set(err, error);
        r = stream_to(G_OUTPUT_STREAM(writer), inode->size, read_some, userdata, err);
        if (r < 0)
                return r;
        name = ostree_content_writer_finish(writer, NULL, &error);
        if (!name)
                return gerror_set(err, error);
        if (hex_decode(name, ret->bytes, SHA256_SIZE) < 0)
                return error_set(err, -EBADMSG, "libostree gave a bad checksum");
        return 0;
}

static int write_buffered(struct repo *repo, const struct tree_inode *inode, repo_read_fn read_some,
                          void *userdata, struct sha256 *ret, struct error *err)
{
        _cleanup_free_ char *data = malloc((size_t)inode->size + 1);
        int r;

        if (!data)
                return error_oom(err);
        r = read_fully(read_some, userdata, data, (size_t)inode->size, err);
        if (r < 0)
                return r;
        return object_write(repo, inode, data, (size_t)inode->size, ret, err);
}

void object_become(struct tree_inode *inode, const struct sha256 *object)
{
        inode->changed = false;
        if (inode->size == 0)
                return; /* has no content to refer to */
        free(TAKE_PTR(inode->data));
        free(TAKE_PTR(inode->path));
        inode->kind = CONTENT_OBJECT;
        inode->object = *object;
}

int repo_write_content(struct repo *repo, struct tree_inode *inode, repo_read_fn read_some,
                       void *userdata, struct error *err)
{
        struct sha256 object;
        int r;

        if (inode->size <= BUFFER_MAX)
                r = write_buffered(repo, inode, read_some, userdata, &object, err);
        else
                r = write_stream(repo, inode, read_some, userdata, &object, err);
        if (r < 0)
                return r;
        object_become(inode, &object);
        return 0;
}

static int open_object(void *userdata, const struct sha256 *object, struct error *err)
{
        struct repo *repo = userdata;
        char name[SHA256_HEX_SIZE], path[OBJECT_PATH_SIZE];
        int fd = openat(repo->fd, object_path(OSTREE_OBJECT_TYPE_FILE, object, path),
                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return error_errno(err, "object %s", sha256_hex(object, name));
        return fd;
}

int object_present(struct repo *repo, const struct sha256 *object, struct error *err)
{
        char name[SHA256_HEX_SIZE];

        if (!is_there(repo, OSTREE_OBJECT_TYPE_FILE, object))
                return error_errno(err, "object %s", sha256_hex(object, name));
        return 0;
}

struct content_store repo_contents(struct repo *repo)
{
        return (struct content_store){ .open = open_object, .userdata = repo };
}

/* ---- directories and commits ---- */

int object_write_metadata(struct repo *repo, OstreeObjectType type, GVariant *variant,
                          struct sha256 *ret, struct error *err)
{
        g_autoptr(GVariant) owned = g_variant_ref_sink(variant);
        g_autoptr(GVariant) normal = g_variant_get_normal_form(owned);
        g_autoptr(GError) error = NULL;
        char name[SHA256_HEX_SIZE];

        sha256_of(g_variant_get_data(normal), g_variant_get_size(normal), ret);
        if (is_there(repo, type, ret))
                return 0;
        if (!ostree_repo_write_metadata(repo->ostree, type, sha256_hex(ret, name), normal, NULL,
                                        NULL, &error))
                return gerror_set(err, error);
        return 0;
}

int object_load(struct repo *repo, OstreeObjectType type, const struct sha256 *object,
                GVariant **ret, struct error *err)
{
        g_autoptr(GError) error = NULL;
        char name[SHA256_HEX_SIZE];

        if (!ostree_repo_load_variant(repo->ostree, type, sha256_hex(object, name), ret, &error))
                return error_prefix(err, gerror_set(err, error), "object %s", name);
        return 0;
}
