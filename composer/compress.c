/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compress.h. zstd cuts its input into jobs of JOB_SIZE whenever it has at least one worker, so
 * always having one makes the bytes independent of how many there are.
 *
 * The level is a choice by measurement, on an initrd of 31.5 MB and one thread: level 3 0.16 s and
 * 11.8 MB, level 5 0.32 s and 11.3 MB, level 6 0.46 s and 11.0 MB, level 9 0.73 s and 10.8 MB; the
 * highest are slow and gain 2 %. Decompression costs the same at every level. */

#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "compress.h"
#include "io.h"
#include "parallel.h"

enum { LEVEL = 6, JOB_SIZE = 8 * 1024 * 1024, WORKERS_MAX = 8 };

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

/* Twice the space for what comes out, up to the limit. */
static int grow(char **out, size_t *capacity, size_t limit, struct error *err)
{
        size_t larger = MIN(2 * *capacity, limit);
        char *moved;

        if (*capacity >= limit)
                return error_set(err, -EFBIG, "larger than %zu bytes", limit);
        moved = realloc(*out, larger + 1);
        if (!moved)
                return error_oom(err);
        *out = moved;
        *capacity = larger;
        return 0;
}

static int decode_xz(const void *data, size_t size, size_t limit, char **out, size_t *ret_size,
                     struct error *err)
{
        size_t capacity = MIN(MAX(8 * size, (size_t)KIB), limit), done = 0;
        lzma_stream stream = LZMA_STREAM_INIT;
        lzma_ret code;
        int r = 0;

        *out = malloc(capacity + 1);
        if (!*out)
                return error_oom(err);
        code = lzma_stream_decoder(&stream, LZMA_MEMORY_MAX, LZMA_CONCATENATED);
        stream.next_in = data;
        stream.avail_in = size;
        while (r == 0 && code == LZMA_OK) {
                stream.next_out = (uint8_t *)*out + done;
                stream.avail_out = capacity - done;
                code = lzma_code(&stream, LZMA_FINISH);
                done = capacity - stream.avail_out;
                if (code == LZMA_OK && done == capacity)
                        r = grow(out, &capacity, limit, err);
        }
        lzma_end(&stream);
        if (r == 0 && code != LZMA_STREAM_END)
                r = error_set(err, code == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG,
                              "xz: corrupt, truncated or unsupported data");
        *ret_size = done;
        return r;
}

/* One frame behind the other. */
static int decode_zstd(const void *data, size_t size, size_t limit, char **out, size_t *ret_size,
                       struct error *err)
{
        size_t capacity = MIN(MAX(8 * size, (size_t)KIB), limit), left = 1;
        ZSTD_inBuffer input = { data, size, 0 };
        ZSTD_DStream *stream = ZSTD_createDStream();
        ZSTD_outBuffer output = {};
        int r = 0;

        *out = malloc(capacity + 1);
        if (!*out || !stream)
                r = error_oom(err);
        output.dst = *out;
        output.size = capacity;
        while (r == 0 && (left > 0 || input.pos < input.size)) {
                size_t before = input.pos + output.pos;

                left = ZSTD_decompressStream(stream, &output, &input);
                if (ZSTD_isError(left))
                        r = error_set(err, -EBADMSG, "zstd: %s", ZSTD_getErrorName(left));
                else if (output.pos == output.size && left > 0)
                        r = grow(out, &capacity, limit, err);
                else if (left > 0 && input.pos + output.pos == before)
                        r = error_set(err, -EBADMSG, "zstd: truncated data");
                output.dst = *out;
                output.size = capacity;
        }
        ZSTD_freeDStream(stream);
        *ret_size = output.pos;
        return r;
}

int decompress(const char *name, const void *data, size_t size, size_t limit, char **ret,
               size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *out = NULL;
        int r;

        if (!compressed_suffix(name))
                return error_set(err, -EINVAL, "%s: neither .xz nor .zst", name);
        r = endswith(name, ".xz") ? decode_xz(data, size, limit, &out, ret_size, err)
                                  : decode_zstd(data, size, limit, &out, ret_size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        out[*ret_size] = '\0';
        *ret = TAKE_PTR(out);
        return 0;
}
