/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See xz.h. xz with threads cuts its input into blocks of three dictionaries and writes both sizes
 * of a block before it, which the other encoder does not; how many threads there are changes
 * nothing. So one thread of lzma_stream_encoder_mt() gives what any number gave. */

#include <lzma.h>
#include <pthread.h>

#include "library.h"
#include "xz.h"
#include "strv.h"

#define LZMA_LIBRARY "liblzma.so.5"

LIBRARY_NOTE("xz", "Kernel modules", LZMA_LIBRARY);

struct lzma {
        __typeof__(lzma_code) *code;
        __typeof__(lzma_crc64) *crc64;
        __typeof__(lzma_end) *end;
        __typeof__(lzma_lzma_preset) *lzma_preset;
        __typeof__(lzma_stream_decoder) *stream_decoder;
        __typeof__(lzma_stream_encoder) *stream_encoder;
        __typeof__(lzma_stream_encoder_mt) *stream_encoder_mt;
};

#define SYMBOL(name_) LIBRARY_SYMBOL(lzma, "lzma_", name_)

static const struct library_symbol symbols[] = {
        SYMBOL(code),
        SYMBOL(crc64),
        SYMBOL(end),
        SYMBOL(lzma_preset),
        SYMBOL(stream_decoder),
        SYMBOL(stream_encoder),
        SYMBOL(stream_encoder_mt),
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct lzma lzma;
static struct error failure;
static int load_code;

static void load(void)
{
        load_code = library_load(LZMA_LIBRARY, symbols, ARRAY_SIZE(symbols), &lzma, &failure);
}

static int lzma_load(struct error *err)
{
        pthread_once(&once, load);
        if (load_code < 0 && err)
                *err = failure;
        return load_code;
}

/* ---- checksums ---- */

int xz_checksums(const void *data, size_t block_size, size_t blocks, uint64_t *ret,
                 struct error *err)
{
        int r = lzma_load(err);

        for (size_t i = 0; r == 0 && i < blocks; i++)
                ret[i] = lzma.crc64((const uint8_t *)data + i * block_size, block_size, 0);
        return r;
}

/* ---- unpacking ---- */

int xz_unpack(const void *data, size_t size, size_t limit, char **ret, size_t *ret_size,
              struct error *err)
{
        size_t capacity = MIN(MAX(8 * size, (size_t)KIB), limit), done = 0;
        _cleanup_free_ char *out = malloc(capacity + 1);
        lzma_stream stream = LZMA_STREAM_INIT;
        lzma_ret code;
        int r = lzma_load(err);

        if (r < 0)
                return r;
        if (!out)
                return error_oom(err);
        code = lzma.stream_decoder(&stream, XZ_MEMORY_MAX, LZMA_CONCATENATED);
        stream.next_in = data;
        stream.avail_in = size;
        while (r == 0 && code == LZMA_OK) {
                stream.next_out = (uint8_t *)out + done;
                stream.avail_out = capacity - done;
                code = lzma.code(&stream, LZMA_FINISH);
                done = capacity - stream.avail_out;
                if (code == LZMA_OK && done == capacity)
                        r = bytes_grow(&out, &capacity, limit, err);
        }
        lzma.end(&stream);
        if (r < 0)
                return r;
        if (code != LZMA_STREAM_END)
                return error_set(err, code == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG,
                                 "xz: corrupt, truncated or unsupported data");
        out[done] = '\0';
        *ret_size = done;
        *ret = TAKE_PTR(out);
        return 0;
}

/* ---- packing ---- */

const struct xz_parameters xz_kernel_threaded = { 6, LZMA_CHECK_CRC32, 1 * MIB, 3 * MIB },
                           xz_kernel_single = { 6, LZMA_CHECK_CRC32, 1 * MIB, 0 };

int xz_parameters_check(const struct xz_parameters *p)
{
        static const uint32_t checks = 1 << LZMA_CHECK_NONE | 1 << LZMA_CHECK_CRC32 |
                                       1 << LZMA_CHECK_CRC64 | 1 << LZMA_CHECK_SHA256;

        if (p->preset > XZ_PRESET_MAX || p->check > LZMA_CHECK_ID_MAX ||
            !(checks & 1U << p->check) || p->dict_size < XZ_DICT_MIN || p->dict_size > XZ_DICT_MAX)
                return -EINVAL;
        if (p->block_size != 0 && (p->block_size < XZ_BLOCK_MIN || p->block_size > XZ_BLOCK_MAX))
                return -EINVAL;
        return 0;
}

static lzma_ret start_encoder(const struct xz_parameters *p, lzma_stream *stream)
{
        lzma_options_lzma options;
        const lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &options },
                                        { LZMA_VLI_UNKNOWN, NULL } };
        const lzma_mt blocks = { .threads = 1,
                                 .block_size = p->block_size,
                                 .filters = filters,
                                 .check = (lzma_check)p->check };

        if (lzma.lzma_preset(&options, p->preset))
                return LZMA_OPTIONS_ERROR;
        options.dict_size = p->dict_size;
        return p->block_size == 0 ? lzma.stream_encoder(stream, filters, (lzma_check)p->check)
                                  : lzma.stream_encoder_mt(stream, &blocks);
}

int xz_pack(const struct xz_parameters *p, const void *data, size_t size, void *out,
            size_t capacity, size_t *ret_size, struct error *err)
{
        lzma_stream stream = LZMA_STREAM_INIT;
        lzma_ret code;
        int r = lzma_load(err);

        if (r < 0)
                return r;
        code = start_encoder(p, &stream);
        stream.next_in = data;
        stream.avail_in = size;
        stream.next_out = out;
        stream.avail_out = capacity;
        while (code == LZMA_OK && stream.avail_out > 0)
                code = lzma.code(&stream, LZMA_FINISH);
        lzma.end(&stream);
        if (code == LZMA_OK)
                return error_set(err, -ENOBUFS, "xz: more than %zu bytes", capacity);
        if (code != LZMA_STREAM_END)
                return error_set(err, code == LZMA_MEM_ERROR ? -ENOMEM : -EINVAL,
                                 "xz: cannot pack (%d)", (int)code);
        *ret_size = capacity - stream.avail_out;
        return 0;
}

/* Measured: tables of 4 MiB are there at once; trees, window, and what a block is kept in grow with
 * the input until a block is full. */
uint64_t xz_pack_memory(const struct xz_parameters *p, uint64_t size)
{
        uint64_t memory = 4 * MIB + 16 * MIN(size, (uint64_t)p->dict_size);

        memory += 2 * MIN(size, (uint64_t)p->block_size);
        return MIN(memory, (uint64_t)XZ_PACK_MEMORY_MAX);
}
