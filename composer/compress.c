/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See compress.h. The level is a choice by measurement, on an initrd of 31.5 MB and one thread:
 * level 3 0.16 s and 11.8 MB, level 5 0.32 s and 11.3 MB, level 6 0.46 s and 11.0 MB, level 9 0.73
 * s and 10.8 MB; level 19 takes 20 times as long as 6 and gives 9.4 MB. Decompression costs the
 * same at every level. */

#include <zstd.h>
#include <zstd_errors.h>

#include "compress.h"
#include "xz.h"
#include "strv.h"

static void context_free_p(ZSTD_CCtx **c)
{
        ZSTD_freeCCtx(*c);
}

static int zstd_failed(struct error *err, size_t code)
{
        return error_set(err,
                         ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? -ENOMEM : -EIO,
                         "zstd: %s", ZSTD_getErrorName(code));
}

void compressor_parameters(int level, char ret[COMPRESSOR_PARAMETERS_MAX])
{
        snprintf(ret, COMPRESSOR_PARAMETERS_MAX, "zstd %s level %d", ZSTD_versionString(), level);
}

int compress(const void *data, size_t size, int level, char **ret, size_t *ret_size,
             struct error *err)
{
        _cleanup_(context_free_p) ZSTD_CCtx *context = ZSTD_createCCtx();
        size_t capacity = ZSTD_compressBound(size), code;
        _cleanup_free_ char *out = malloc(capacity);

        if (!context || !out)
                return error_oom(err);
        code = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
        if (!ZSTD_isError(code))
                code = ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
        if (!ZSTD_isError(code))
                code = ZSTD_compress2(context, out, capacity, data, size);
        if (ZSTD_isError(code))
                return zstd_failed(err, code);
        *ret = TAKE_PTR(out);
        *ret_size = code;
        return 0;
}

const char *compressed_suffix(const char *name)
{
        static const char *const suffixes[] = { ".xz", ".zst" };

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (endswith(name, suffixes[i]))
                        return suffixes[i];
        return NULL;
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
                        r = bytes_grow(out, &capacity, limit, err);
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
        r = endswith(name, ".xz") ? xz_unpack(data, size, limit, &out, ret_size, err)
                                  : decode_zstd(data, size, limit, &out, ret_size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", name);
        out[*ret_size] = '\0';
        *ret = TAKE_PTR(out);
        return 0;
}
