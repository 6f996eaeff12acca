/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initrd's tree as a compressed archive. Compressing takes most of a build in which only files
 * outside the initrd changed, so its result is kept in the cache, named by the sha256 of the
 * archive and of how it is compressed. Which of the two ways the bytes came cannot be told from
 * them. */

#include <fcntl.h>

#include "compress.h"
#include "cpio.h"
#include "derived.h"
#include "digest.h"
#include "initrd-tree.h"
#include "io.h"
#include "strv.h"

enum { ARCHIVE_MAX = 1024 * 1024 * 1024 }; /* compressed, bytes */

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

static int keep(int cache_fd, const char *name, int fd, struct error *err)
{
        _cleanup_free_ char *data = NULL;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "initrd");
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                return error_oom(err);
        r = io_pread(fd, data, (size_t)st.st_size, 0, NULL, err);
        return r < 0 ? r : derived_keep(cache_fd, name, data, (size_t)st.st_size, err);
}

int initrd_archive(const struct initrd *i, int cache_fd, uint64_t epoch, unsigned threads, int fd,
                   struct error *err)
{
        const struct archive a = { i, epoch, threads };
        _cleanup_free_ char *name = NULL, *data = NULL;
        size_t size;
        int r;

        r = compute_name(&a, &name, err);
        if (r >= 0)
                r = derived_load(cache_fd, name, ARCHIVE_MAX, &data, &size, err);
        if (r != 0)
                return r < 0 ? r : io_pwrite(fd, data, size, 0, err);
        r = compress(&a, fd, err);
        return r < 0 ? r : keep(cache_fd, name, fd, err);
}
