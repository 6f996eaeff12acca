/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gzip by zlib, as a sink: what comes in leaves decompressed. Several members one after another are
 * one content; anything behind them is an error, as is an end in the middle. */

#include <zlib.h>

#include "library.h"
#include "resource.h"

enum { CHUNK_SIZE = 64 * 1024, GZIP_ONLY = 16 + MAX_WBITS };

#define ZLIB_LIBRARY "libz.so.1"

struct zlib {
        __typeof__(inflateInit2_) *inflateInit2_;
        __typeof__(inflate) *inflate;
        __typeof__(inflateReset) *inflateReset;
        __typeof__(inflateEnd) *inflateEnd;
};

static const struct library_symbol symbols[] = {
        LIBRARY_SYMBOL(zlib, "", inflateInit2_),
        LIBRARY_SYMBOL(zlib, "", inflate),
        LIBRARY_SYMBOL(zlib, "", inflateReset),
        LIBRARY_SYMBOL(zlib, "", inflateEnd),
};
LIBRARY_NOTE("gzip", "Compressed contents", ZLIB_LIBRARY);

struct gzip {
        struct sink sink;
        struct zlib zlib;
        struct sink *next;
        z_stream stream;
        bool in_member; /* has begun one and not seen its end */
        bool any;       /* has seen a member's end */
        char chunk[CHUNK_SIZE];
};

void gzip_close(struct sink *gzip)
{
        struct gzip *g = (struct gzip *)gzip;

        if (g)
                g->zlib.inflateEnd(&g->stream);
        free(g);
}

/* Inflates until the input is used up or a member ends. */
static int inflate_some(struct gzip *g, struct error *err)
{
        int code, r;

        do {
                g->stream.next_out = (Bytef *)g->chunk;
                g->stream.avail_out = CHUNK_SIZE;
                code = g->zlib.inflate(&g->stream, Z_NO_FLUSH);
                if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
                        return error_set(err, -EBADMSG, "gzip: %s", g->stream.msg ?: "bad data");
                r = g->next->write(g->next, g->chunk, CHUNK_SIZE - g->stream.avail_out, err);
                if (r < 0)
                        return r;
        } while (code == Z_OK && (g->stream.avail_in > 0 || g->stream.avail_out == 0));
        g->in_member = code != Z_STREAM_END;
        g->any |= code == Z_STREAM_END;
        return 0;
}

static int gzip_write(struct sink *sink, const void *data, size_t size, struct error *err)
{
        struct gzip *g = (struct gzip *)sink;
        int r = 0;

        g->stream.next_in = (Bytef *)data;
        g->stream.avail_in = (uInt)MIN(size, (size_t)UINT32_MAX);
        while (r == 0 && g->stream.avail_in > 0) {
                if (!g->in_member && g->any && g->zlib.inflateReset(&g->stream) != Z_OK)
                        return error_set(err, -EIO, "gzip: cannot start over");
                r = inflate_some(g, err);
        }
        return r;
}

int gzip_finish(struct sink *gzip, struct error *err)
{
        struct gzip *g = (struct gzip *)gzip;

        return g->in_member || !g->any ? error_set(err, -EBADMSG, "gzip: data ends early") : 0;
}

int gzip_restart(struct sink *gzip, struct error *err)
{
        struct gzip *g = (struct gzip *)gzip;

        g->in_member = g->any = false;
        return g->zlib.inflateReset(&g->stream) == Z_OK
                       ? 0
                       : error_set(err, -EIO, "gzip: cannot start over");
}

int gzip_open(struct sink *next, struct sink **ret, struct error *err)
{
        struct gzip *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return error_oom(err);
        r = library_load(ZLIB_LIBRARY, symbols, ARRAY_SIZE(symbols), &g->zlib, err);
        if (r >= 0 && g->zlib.inflateInit2_(&g->stream, GZIP_ONLY, ZLIB_VERSION,
                                            (int)sizeof(g->stream)) != Z_OK)
                r = error_oom(err);
        if (r < 0) {
                free(g);
                return r;
        }
        g->sink.write = gzip_write;
        g->next = next;
        *ret = &g->sink;
        return 0;
}

int gzip_decompress(const void *data, size_t size, struct sink *sink, struct error *err)
{
        _cleanup_(gzip_close_p) struct sink *gzip = NULL;
        int r;

        r = gzip_open(sink, &gzip, err);
        if (r >= 0)
                r = gzip->write(gzip, data, size, err);
        return r < 0 ? r : gzip_finish(gzip, err);
}
