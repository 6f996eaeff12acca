/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See codec.h. A table of libraries; zstd's frames carry neither checksum nor dictionary id, as the
 * block's digest in the hash tree covers them, and their window is the piece. LZ4HC's own default,
 * level 9, takes twice as long as level 3 and gains 2 %. */

#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "codec.h"

enum { ZSTD_WINDOW_LOG_MIN = 10, LZ4HC_LEVEL = 3, ZSTD_LEVEL = 3 };

const char *const codec_names[] = {
        [CODEC_NONE] = "none", [CODEC_LZ4] = "lz4", [CODEC_LZ4HC] = "lz4hc",
        [CODEC_ZSTD] = "zstd", [_CODEC_MAX] = NULL,
};

struct codec {
        const struct codec_ops *ops;
        int level;
        void *state;
};

struct codec_ops {
        int level_min, level_max, level_default;
        const char *(*version)(void);
        const char *library,
                *parameters; /* its name, and our choice of parameters, if we make one */
        void *(*state_new)(int level, size_t piece_max);
        void (*state_free)(void *state);
        /* 0: does not fit. */
        int (*compress)(struct codec *c, const void *data, size_t size, void *out, size_t capacity,
                        size_t *ret_size, struct error *err);
};

/* ---- LZ4 ---- */

static void *lz4_state(int level _unused_, size_t piece_max _unused_)
{
        return malloc((size_t)LZ4_sizeofState());
}

static void *lz4hc_state(int level _unused_, size_t piece_max _unused_)
{
        return malloc((size_t)LZ4_sizeofStateHC());
}

static int lz4_compress(struct codec *c, const void *data, size_t size, void *out, size_t capacity,
                        size_t *ret_size, struct error *err _unused_)
{
        *ret_size = (size_t)LZ4_compress_fast_extState(c->state, data, out, (int)size,
                                                       (int)capacity, 1);
        return 0;
}

static int lz4hc_compress(struct codec *c, const void *data, size_t size, void *out,
                          size_t capacity, size_t *ret_size, struct error *err _unused_)
{
        *ret_size = (size_t)LZ4_compress_HC_extStateHC(c->state, data, out, (int)size,
                                                       (int)capacity, c->level);
        return 0;
}

/* ---- zstd ---- */

/* The default level with tables that stay in a processor's cache, which is a tenth less work on
 * pieces of 1 MiB, and shorter matches, which makes up for what that costs in size. Whoever changes
 * them gives codec_library() another number. 0: the level's own. */
static int if_default(int level, int value)
{
        return level == ZSTD_LEVEL ? value : 0;
}

static void *zstd_state(int level, size_t piece_max)
{
        ZSTD_CCtx *context = ZSTD_createCCtx();
        const struct {
                ZSTD_cParameter parameter;
                int value;
        } settings[] = {
                { ZSTD_c_compressionLevel, level },
                { ZSTD_c_hashLog, if_default(level, 15) },
                { ZSTD_c_chainLog, if_default(level, 14) },
                { ZSTD_c_minMatch, if_default(level, 4) },
                { ZSTD_c_windowLog, MAX(__builtin_ctzl(piece_max), ZSTD_WINDOW_LOG_MIN) },
                { ZSTD_c_checksumFlag, 0 },
                { ZSTD_c_dictIDFlag, 0 },
        };

        for (size_t i = 0; context && i < ARRAY_SIZE(settings); i++)
                if (ZSTD_isError(ZSTD_CCtx_setParameter(context, settings[i].parameter,
                                                        settings[i].value))) {
                        ZSTD_freeCCtx(context);
                        context = NULL;
                }
        return context;
}

static void zstd_state_free(void *state)
{
        ZSTD_freeCCtx(state);
}

static int zstd_compress(struct codec *c, const void *data, size_t size, void *out, size_t capacity,
                         size_t *ret_size, struct error *err)
{
        size_t n = ZSTD_compress2(c->state, out, capacity, data, size);

        *ret_size = 0;
        if (!ZSTD_isError(n))
                *ret_size = n;
        else if (ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
                return error_set(err, -EIO, "zstd: %s", ZSTD_getErrorName(n));
        return 0;
}

/* ---- the table ---- */

static const struct codec_ops codecs[_CODEC_MAX] = {
        [CODEC_LZ4] = { 0, 0, 0, LZ4_versionString, "lz4", "", lz4_state, free, lz4_compress },
        [CODEC_LZ4HC] = { LZ4HC_CLEVEL_MIN, LZ4HC_CLEVEL_MAX, LZ4HC_LEVEL, LZ4_versionString, "lz4",
                          "", lz4hc_state, free, lz4hc_compress },
        [CODEC_ZSTD] = { 1, 19, ZSTD_LEVEL, ZSTD_versionString, "zstd", ", parameters 2",
                         zstd_state, zstd_state_free, zstd_compress },
};

void codec_level_range(enum codec_kind kind, int *ret_min, int *ret_max)
{
        *ret_min = codecs[kind].level_min;
        *ret_max = codecs[kind].level_max;
}

int codec_default_level(enum codec_kind kind)
{
        return codecs[kind].level_default;
}

void codec_library(enum codec_kind kind, char ret[CODEC_LIBRARY_MAX])
{
        const struct codec_ops *ops = &codecs[kind];

        *ret = '\0';
        if (ops->library)
                snprintf(ret, CODEC_LIBRARY_MAX, "%s %s%s", ops->library, ops->version(),
                         ops->parameters);
}

int codec_new(const struct codec_settings *settings, size_t piece_max, struct codec **ret,
              struct error *err)
{
        const struct codec_ops *ops = &codecs[settings->kind];
        struct codec *c = calloc(1, sizeof(*c));

        if (!c)
                return error_oom(err);
        *c = (struct codec){ ops, settings->level ?: ops->level_default, NULL };
        c->state = ops->state_new(c->level, piece_max);
        if (!c->state) {
                free(c);
                return error_oom(err);
        }
        *ret = c;
        return 0;
}

int codec_compress(struct codec *c, const void *data, size_t size, void *out, size_t capacity,
                   size_t *ret_size, struct error *err)
{
        return c->ops->compress(c, data, size, out, capacity, ret_size, err);
}

void codec_free(struct codec *c)
{
        if (!c)
                return;
        c->ops->state_free(c->state);
        free(c);
}
