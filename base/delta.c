/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See delta.h. A frame has no checksum: whoever applies it knows the result's digest. It is
 * decompressed into its place at once, so no window is held in memory, whatever the frame says. */

#include <pthread.h>
#include <zstd.h>

#include "delta.h"
#include "library.h"

#define ZSTD_LIBRARY "libzstd.so.1"

LIBRARY_NOTE("zstd", "Patches of kernel modules", ZSTD_LIBRARY);

struct zstd {
        __typeof__(ZSTD_createCCtx) *createCCtx;
        __typeof__(ZSTD_freeCCtx) *freeCCtx;
        __typeof__(ZSTD_CCtx_setParameter) *CCtx_setParameter;
        __typeof__(ZSTD_CCtx_refPrefix) *CCtx_refPrefix;
        __typeof__(ZSTD_compressBound) *compressBound;
        __typeof__(ZSTD_compress2) *compress2;
        __typeof__(ZSTD_createDCtx) *createDCtx;
        __typeof__(ZSTD_freeDCtx) *freeDCtx;
        __typeof__(ZSTD_DCtx_refPrefix) *DCtx_refPrefix;
        __typeof__(ZSTD_decompressDCtx) *decompressDCtx;
        __typeof__(ZSTD_isError) *isError;
        __typeof__(ZSTD_getErrorName) *getErrorName;
};

#define SYMBOL(name_) LIBRARY_SYMBOL(zstd, "ZSTD_", name_)

static const struct library_symbol symbols[] = {
        SYMBOL(createCCtx),     SYMBOL(freeCCtx),      SYMBOL(CCtx_setParameter),
        SYMBOL(CCtx_refPrefix), SYMBOL(compressBound), SYMBOL(compress2),
        SYMBOL(createDCtx),     SYMBOL(freeDCtx),      SYMBOL(DCtx_refPrefix),
        SYMBOL(decompressDCtx), SYMBOL(isError),       SYMBOL(getErrorName),
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct zstd zstd;
static struct error failure;
static int load_code;

static void load(void)
{
        load_code = library_load(ZSTD_LIBRARY, symbols, ARRAY_SIZE(symbols), &zstd, &failure);
}

static int zstd_load(struct error *err)
{
        pthread_once(&once, load);
        if (load_code < 0 && err)
                *err = failure;
        return load_code;
}

static void compressor_free_p(ZSTD_CCtx **c)
{
        if (*c)
                zstd.freeCCtx(*c);
}

static void decompressor_free_p(ZSTD_DCtx **d)
{
        if (*d)
                zstd.freeDCtx(*d);
}

/* A window in which the old bytes' start can be seen from the new ones' end. */
static int window_log(size_t size)
{
        int log = 10 /* zstd's least */;

        while (log < 31 && (1ULL << log) < size)
                log++;
        return log;
}

static size_t compress_with(ZSTD_CCtx *context, const void *old, size_t old_size, const void *data,
                            size_t size, int level, void *out, size_t capacity)
{
        const struct {
                ZSTD_cParameter parameter;
                int value;
        } settings[] = {
                { ZSTD_c_compressionLevel, level },
                { ZSTD_c_windowLog, window_log(old_size + size) },
                { ZSTD_c_enableLongDistanceMatching, 1 },
                { ZSTD_c_checksumFlag, 0 },
                { ZSTD_c_dictIDFlag, 0 },
        };
        size_t code = 0;

        for (size_t i = 0; !zstd.isError(code) && i < ARRAY_SIZE(settings); i++)
                code = zstd.CCtx_setParameter(context, settings[i].parameter, settings[i].value);
        if (!zstd.isError(code))
                code = zstd.CCtx_refPrefix(context, old, old_size);
        return zstd.isError(code) ? code : zstd.compress2(context, out, capacity, data, size);
}

int delta_make(const void *old, size_t old_size, const void *data, size_t size, int level,
               char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_(compressor_free_p) ZSTD_CCtx *context = NULL;
        _cleanup_free_ char *out = NULL;
        size_t capacity, n;
        int r = zstd_load(err);

        if (r < 0)
                return r;
        context = zstd.createCCtx();
        capacity = zstd.compressBound(size);
        out = malloc(capacity);
        if (!context || !out)
                return error_oom(err);
        n = compress_with(context, old, old_size, data, size, level, out, capacity);
        if (zstd.isError(n))
                return error_set(err, -EIO, "zstd: %s", zstd.getErrorName(n));
        *ret = TAKE_PTR(out);
        *ret_size = n;
        return 0;
}

int delta_apply(const void *old, size_t old_size, const void *patch, size_t patch_size, void *out,
                size_t size, struct error *err)
{
        _cleanup_(decompressor_free_p) ZSTD_DCtx *context = NULL;
        size_t n;
        int r = zstd_load(err);

        if (r < 0)
                return r;
        context = zstd.createDCtx();
        if (!context)
                return error_oom(err);
        n = zstd.DCtx_refPrefix(context, old, old_size);
        if (!zstd.isError(n))
                n = zstd.decompressDCtx(context, out, size, patch, patch_size);
        if (zstd.isError(n))
                return error_set(err, -EBADMSG, "zstd: %s", zstd.getErrorName(n));
        if (n != size)
                return error_set(err, -EBADMSG, "patch: gives %zu bytes, not %zu", n, size);
        return 0;
}
