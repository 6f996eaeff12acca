/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compress.h. zstd cuts its input into jobs of JOB_SIZE whenever it has at least one worker, so
 * always having one makes the bytes independent of how many there are.
 *
 * The level is a choice by measurement, on an initrd of 33.6 MB and one thread: level 6 0.6 s and
 * 12.1 MB, level 9 0.9 s and 11.8 MB, level 12 1.9 s and 11.7 MB, level 15 8.7 s and 11.6 MB.
 * Decompression costs the same at every level. */

#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "compress.h"
#include "io.h"
#include "parallel.h"

enum { LEVEL = 9, JOB_SIZE = 8 * 1024 * 1024, WORKERS_MAX = 8 };

#define LZMA_MEMORY_MAX (128 * MIB) /* xz -9 wants 65 MiB */

struct compressor {
        ZSTD_CCtx *context;
        int fd;
        char *out;
        size_t out_size;
};

static int zstd_failed(struct error *err, size_t code)
{
        return error_set(err,
                         ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? -ENOMEM : -EIO,
                         "zstd: %s", ZSTD_getErrorName(code));
}

static int configure(ZSTD_CCtx *context, unsigned threads, struct error *err)
{
        const struct {
                ZSTD_cParameter parameter;
                int value;
        } settings[] = {
                { ZSTD_c_compressionLevel, LEVEL },
                { ZSTD_c_checksumFlag, 1 },
                { ZSTD_c_nbWorkers, (int)MIN(threads ?: parallel_cpus(), (unsigned)WORKERS_MAX) },
                { ZSTD_c_jobSize, JOB_SIZE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
                size_t code =
                        ZSTD_CCtx_setParameter(context, settings[i].parameter, settings[i].value);

                if (ZSTD_isError(code))
                        return zstd_failed(err, code);
        }
        return 0;
}

void compressor_parameters(char ret[COMPRESSOR_PARAMETERS_MAX])
{
        snprintf(ret, COMPRESSOR_PARAMETERS_MAX, "zstd %s level %d job %d", ZSTD_versionString(),
                 LEVEL, JOB_SIZE);
}

int compressor_new(int fd, unsigned threads, struct compressor **ret, struct error *err)
{
        _cleanup_compressor_ struct compressor *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return error_oom(err);
        c->fd = fd;
        c->out_size = ZSTD_CStreamOutSize();
        c->out = malloc(c->out_size);
        c->context = ZSTD_createCCtx();
        if (!c->out || !c->context)
                return error_oom(err);
        r = configure(c->context, threads, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

/* Feeds the input; *ret_left is what zstd still has to flush. */
static int step(struct compressor *c, ZSTD_inBuffer *in, ZSTD_EndDirective directive,
                size_t *ret_left, struct error *err)
{
        ZSTD_outBuffer out = { c->out, c->out_size, 0 };
        size_t left = ZSTD_compressStream2(c->context, &out, in, directive);

        if (ZSTD_isError(left))
                return zstd_failed(err, left);
        *ret_left = left;
        return io_write(c->fd, c->out, out.pos, err);
}

int compressor_write(struct compressor *c, const void *data, size_t size, struct error *err)
{
        ZSTD_inBuffer in = { data, size, 0 };
        size_t left;
        int r = 0;

        while (r >= 0 && in.pos < in.size)
                r = step(c, &in, ZSTD_e_continue, &left, err);
        return r;
}

int compressor_finish(struct compressor *c, struct error *err)
{
        ZSTD_inBuffer in = {};
        size_t left = 1;
        int r = 0;

        while (r >= 0 && left > 0)
                r = step(c, &in, ZSTD_e_end, &left, err);
        return r;
}

void compressor_free(struct compressor *c)
{
        if (!c)
                return;
        ZSTD_freeCCtx(c->context);
        free(c->out);
        free(c);
}

const char *compressed_suffix(const char *name)
{
        static const char *const suffixes[] = { ".xz", ".zst" };

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (endswith(name, suffixes[i]))
                        return suffixes[i];
        return NULL;
}

/* Decodes into out; -ENOBUFS when it does not fit. */
static int decode_xz(const void *data, size_t size, char *out, size_t out_size, size_t *ret_size,
                     struct error *err)
{
        lzma_stream stream = LZMA_STREAM_INIT;
        lzma_ret code;
        size_t left;

        code = lzma_stream_decoder(&stream, LZMA_MEMORY_MAX, LZMA_CONCATENATED);
        stream.next_in = data;
        stream.avail_in = size;
        stream.next_out = (uint8_t *)out;
        stream.avail_out = out_size;
        if (code == LZMA_OK)
                code = lzma_code(&stream, LZMA_FINISH);
        left = stream.avail_out;
        lzma_end(&stream);
        if (code == LZMA_OK && left == 0)
                return -ENOBUFS;
        if (code != LZMA_STREAM_END)
                return error_set(err, code == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG,
                                 "xz: corrupt, truncated or unsupported data");
        *ret_size = out_size - left;
        return 0;
}

static int decode_zstd(const void *data, size_t size, char *out, size_t out_size, size_t *ret_size,
                       struct error *err)
{
        size_t code = ZSTD_decompress(out, out_size, data, size);

        if (ZSTD_isError(code) && ZSTD_getErrorCode(code) == ZSTD_error_dstSize_tooSmall)
                return -ENOBUFS;
        if (ZSTD_isError(code))
                return error_set(err, -EBADMSG, "zstd: %s", ZSTD_getErrorName(code));
        *ret_size = code;
        return 0;
}

int decompress(const char *name, const void *data, size_t size, size_t limit, char **ret,
               size_t *ret_size, struct error *err)
{
        bool xz = endswith(name, ".xz");
        size_t capacity = MIN(MAX(8 * size, (size_t)KIB), limit), n = 0;

        if (!compressed_suffix(name))
                return error_set(err, -EINVAL, "%s: neither .xz nor .zst", name);
        for (;;) {
                _cleanup_free_ char *out = malloc(capacity + 1);
                int r;

                if (!out)
                        return error_oom(err);
                r = xz ? decode_xz(data, size, out, capacity, &n, err)
                       : decode_zstd(data, size, out, capacity, &n, err);
                if (r >= 0) {
                        out[n] = '\0';
                        *ret = TAKE_PTR(out);
                        *ret_size = n;
                        return 0;
                }
                if (r != -ENOBUFS)
                        return error_prefix(err, r, "%s", name);
                if (capacity >= limit)
                        return error_set(err, -EFBIG, "%s: larger than %zu bytes", name, limit);
                capacity = MIN(2 * capacity, limit);
        }
}
