/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See derived.h. Entries are not synced: what a power cut does to one shows in its digest. */

#include <fcntl.h>

#include "derived.h"
#include "digest.h"
#include "io.h"

int derived_load(int cache_fd, const char *name, size_t limit, char **ret, size_t *ret_size,
                 struct error *err)
{
        _cleanup_free_ char *path = string_format("derived/%s", name), *data = NULL;
        struct error ignored = {};
        struct sha256 digest;
        size_t size;

        if (!path)
                return error_oom(err);
        if (file_read(cache_fd, path, limit + SHA256_SIZE, &data, &size, &ignored) < 0 ||
            size < SHA256_SIZE)
                return 0;
        size -= SHA256_SIZE;
        sha256_of(data, size, &digest);
        if (memcmp(data + size, digest.bytes, SHA256_SIZE) != 0)
                return 0;
        (void)!utimensat(cache_fd, path, NULL, 0); /* not to be pruned */
        data[size] = '\0';
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 1;
}

/* Whether the file ends with the digest of what is before, *ret_size bytes. */
static bool is_sound(int fd, uint64_t limit, uint64_t *ret_size)
{
        struct sha256 digest, found;
        struct stat st;
        size_t got;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < SHA256_SIZE ||
            (uint64_t)st.st_size - SHA256_SIZE > limit)
                return false;
        *ret_size = (uint64_t)st.st_size - SHA256_SIZE;
        return sha256_fd(fd, 0, *ret_size, &digest, NULL) >= 0 &&
               io_pread(fd, found.bytes, SHA256_SIZE, *ret_size, &got, NULL) >= 0 &&
               got == SHA256_SIZE && sha256_equal(&digest, &found);
}

int derived_open(int cache_fd, const char *name, uint64_t limit, int *ret, uint64_t *ret_size,
                 struct error *err)
{
        _cleanup_free_ char *path = string_format("derived/%s", name);
        _cleanup_close_ int fd = -1;

        if (!path)
                return error_oom(err);
        fd = openat(cache_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (!is_sound(fd, limit, ret_size))
                return 0;
        (void)!futimens(fd, NULL); /* not to be pruned */
        *ret = TAKE_FD(fd);
        return 1;
}

int derived_keep(int cache_fd, const char *name, const void *data, size_t size, struct error *err)
{
        _cleanup_close_ int directory = path_open_dir(cache_fd, "derived", 0755, err);
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        struct sha256 digest;
        int r = directory;

        sha256_of(data, size, &digest);
        if (r >= 0)
                r = draft_open(&draft, directory, name, 0644, err);
        if (r >= 0)
                r = io_write(draft.fd, data, size, err);
        if (r >= 0)
                r = io_write(draft.fd, digest.bytes, SHA256_SIZE, err);
        return r < 0 ? r : draft_name(&draft, err);
}

void packed_append(struct buffer *b, const char *name, const void *data, size_t size)
{
        buffer_printf(b, "%s %zu\n", name, size);
        buffer_append(b, data, size);
}

int packed_next(const char **at, const char *end, struct packed_file *ret, struct error *err)
{
        int header = 0;

        if (*at == end)
                return 0;
        if (sscanf(*at, "%255[^ \n] %zu%n", ret->name, &ret->size, &header) != 2 ||
            (*at)[header] != '\n' || ret->size > (size_t)(end - *at) - (size_t)header - 1)
                return error_set(err, -EBADMSG, "an entry of the cache is no list of files");
        ret->data = *at + header + 1;
        *at = ret->data + ret->size;
        return 1;
}
