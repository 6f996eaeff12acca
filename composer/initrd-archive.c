/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initrd's tree as a compressed archive. Compressing takes most of a build in which only files
 * outside the initrd changed, so its result is kept in the cache:
 *
 *   derived/initrd-<sha256 of the archive and of how it is compressed>
 *
 * holds the compressed archive and then the sha256 of that. An entry that is cut off or damaged is
 * made anew; which of the two ways the bytes came cannot be told from them. */

#include <fcntl.h>

#include "compress.h"
#include "cpio.h"
#include "digest.h"
#include "initrd-tree.h"
#include "io.h"
#include "strv.h"

struct archive {
        const struct initrd *initrd;
        uint64_t epoch;
        unsigned threads;
};

static int hash_piece(void *userdata, const void *data, size_t size, struct error *err _unused_)
{
        hasher_update(userdata, data, size);
        return 0;
}

static int compress_piece(void *userdata, const void *data, size_t size, struct error *err)
{
        return compressor_write(userdata, data, size, err);
}

static int write_cpio(const struct archive *a, const struct cpio_sink *sink, struct error *err)
{
        return cpio_write(a->initrd->tree, a->initrd->store, a->epoch, sink, err);
}

static int compute_name(const struct archive *a, char **ret, struct error *err)
{
        _cleanup_hasher_ struct hasher hasher = {};
        const struct cpio_sink sink = { hash_piece, &hasher };
        char parameters[COMPRESSOR_PARAMETERS_MAX], hex[SHA256_HEX_SIZE];
        struct sha256 key;
        int r;

        r = hasher_init(&hasher, err);
        if (r < 0)
                return r;
        compressor_parameters(parameters);
        hasher_update(&hasher, parameters, strlen(parameters) + 1);
        r = write_cpio(a, &sink, err);
        if (r >= 0)
                r = hasher_final(&hasher, &key, err);
        if (r < 0)
                return r;
        *ret = string_format("initrd-%s", sha256_hex(&key, hex));
        return *ret ? 0 : error_oom(err);
}

static int compress(const struct archive *a, int fd, struct error *err)
{
        _cleanup_compressor_ struct compressor *compressor = NULL;
        struct cpio_sink sink = { .write = compress_piece };
        int r;

        r = compressor_new(fd, a->threads, &compressor, err);
        if (r < 0)
                return r;
        sink.userdata = compressor;
        r = write_cpio(a, &sink, err);
        return r < 0 ? r : compressor_finish(compressor, err);
}

/* 1: copied to fd; 0: there is no sound entry. */
static int take(int directory, const char *name, int fd, struct error *err)
{
        _cleanup_close_ int entry = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct sha256 want, have;
        struct error ignored = {};
        struct stat st;
        uint64_t size;
        size_t got;
        int r;

        if (entry < 0 || fstat(entry, &st) < 0 || st.st_size <= SHA256_SIZE)
                return 0;
        size = (uint64_t)st.st_size - SHA256_SIZE;
        if (io_pread(entry, want.bytes, SHA256_SIZE, size, &got, &ignored) < 0 ||
            got != SHA256_SIZE || sha256_fd(entry, 0, size, &have, &ignored) < 0 ||
            !sha256_equal(&want, &have))
                return 0;
        (void)!futimens(entry, NULL); /* used now: not to be pruned */
        r = io_copy(entry, 0, fd, 0, size, err);
        return r < 0 ? r : 1;
}

static int keep(int directory, const char *name, int fd, struct error *err)
{
        _cleanup_draft_ struct draft draft = DRAFT_NULL;
        struct sha256 digest;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "initrd");
        r = sha256_fd(fd, 0, UINT64_MAX, &digest, err);
        if (r >= 0)
                r = draft_open(&draft, directory, name, 0644, err);
        if (r >= 0)
                r = io_copy(fd, 0, draft.fd, 0, (uint64_t)st.st_size, err);
        if (r >= 0)
                r = io_pwrite(draft.fd, digest.bytes, SHA256_SIZE, (uint64_t)st.st_size, err);
        return r < 0 ? r : draft_publish(&draft, err);
}

int initrd_archive(const struct initrd *i, int cache_fd, uint64_t epoch, unsigned threads, int fd,
                   struct error *err)
{
        _cleanup_close_ int directory = path_open_dir(cache_fd, "derived", 0755, err);
        const struct archive a = { i, epoch, threads };
        _cleanup_free_ char *name = NULL;
        int r;

        if (directory < 0)
                return directory;
        r = compute_name(&a, &name, err);
        if (r >= 0)
                r = take(directory, name, fd, err);
        if (r != 0)
                return MIN(r, 0);
        r = compress(&a, fd, err);
        return r < 0 ? r : keep(directory, name, fd, err);
}
