/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of an object is on this machine. The object is worked through in windows: all threads read
 * the target, hash what is there, and get what is not from the other places, each for a few blocks
 * of the window at a time; then what changed is written, in runs as long as they are. */

#include "io.h"
#include "parallel.h"
#include "stage-internal.h"

enum {
        WINDOW_BLOCKS = STAGE_WINDOW / BLOCK_SIZE,
        CHUNK_BLOCKS = 64, /* that a thread takes at once */
};

enum block_state { BLOCK_PRESENT, BLOCK_ZERO, BLOCK_REUSED, BLOCK_MISSING, _BLOCK_STATE_MAX };

struct window {
        struct stage_object *object;
        uint64_t first;
        size_t count; /* blocks */
        uint8_t *data;
        struct sha256 *wanted;
        uint8_t *states;
};

static void window_done(struct window *w)
{
        free(w->data);
        free(w->wanted);
        free(w->states);
}

static int window_init(struct window *w, struct stage_object *o, struct error *err)
{
        size_t blocks = (size_t)MIN(o->tree.shape.data_blocks, (uint64_t)WINDOW_BLOCKS);

        *w = (struct window){
                .object = o,
                .data = malloc(blocks * BLOCK_SIZE),
                .wanted = calloc(blocks, sizeof(*w->wanted)),
                .states = malloc(blocks),
        };
        return w->data && w->wanted && w->states ? 0 : error_oom(err);
}

/* ---- one block ---- */

/* Reads a block of a source; what is behind its end counts as zeros. */
static int read_origin(const struct stage_source *source, uint64_t block, uint8_t *ret,
                       struct error *err)
{
        uint64_t offset = block * BLOCK_SIZE;
        size_t got = 0;
        int r = 0;

        if (offset < source->size)
                r = io_pread(source->fd, ret,
                             (size_t)MIN(source->size - offset, (uint64_t)BLOCK_SIZE),
                             source->offset + offset, &got, err);
        memset(ret + got, 0, BLOCK_SIZE - got);
        return r;
}

/* A source that cannot be read has nothing: the block is fetched then. */
static bool find_elsewhere(const struct stage_object *o, const struct sha256 *wanted, uint8_t *ret)
{
        for (size_t i = 0; i < o->n_origins; i++) {
                const struct stage_origin *origin = &o->origins[i];
                struct sha256 found;
                uint64_t block;

                if (!block_index_find(origin->index, wanted, &block))
                        continue;
                if (origin->promised)
                        return true;
                if (read_origin(origin->source, block, ret, NULL) < 0)
                        continue;
                blocks_hash(ret, 1, &found);
                if (sha256_equal(&found, wanted))
                        return true;
        }
        return false;
}

static enum block_state settle(const struct stage_object *o, const struct sha256 *found,
                               const struct sha256 *wanted, uint8_t *data)
{
        if (found && sha256_equal(found, wanted))
                return BLOCK_PRESENT;
        if (sha256_equal(wanted, &zero_block_digest)) {
                memset(data, 0, BLOCK_SIZE);
                return BLOCK_ZERO;
        }
        return find_elsewhere(o, wanted, data) ? BLOCK_REUSED : BLOCK_MISSING;
}

static int scan_chunk(void *context, size_t index, struct error *err)
{
        struct window *w = context;
        const struct stage_object *o = w->object;
        size_t first = index * CHUNK_BLOCKS, count = MIN(w->count - first, (size_t)CHUNK_BLOCKS);
        uint64_t offset = (w->first + first) * BLOCK_SIZE,
                 size = MIN(count * BLOCK_SIZE, o->size - offset);
        uint8_t *data = w->data + first * BLOCK_SIZE;
        struct sha256 found[CHUNK_BLOCKS];
        size_t got;
        int r = stage_object_read(o, offset, data, size, &got, err);

        if (r < 0)
                return r;
        memset(data + got, 0, count * BLOCK_SIZE - got);
        blocks_hash(data, count, found);
        for (size_t i = 0; i < count; i++) {
                bool is_there = got >= MIN(size, (i + 1) * BLOCK_SIZE);

                w->states[first + i] =
                        (uint8_t)settle(o, is_there ? &found[i] : NULL, &w->wanted[first + i],
                                        data + i * BLOCK_SIZE);
        }
        return 0;
}

/* ---- a window ---- */

static bool is_changed(const struct window *w, size_t block)
{
        return w->states[block] == BLOCK_ZERO || w->states[block] == BLOCK_REUSED;
}

static int write_changes(const struct window *w, struct error *err)
{
        const struct stage_object *o = w->object;
        int r = 0;

        for (size_t i = 0, end; r >= 0 && i < w->count; i = end) {
                uint64_t offset = (w->first + i) * BLOCK_SIZE;

                for (end = i; end < w->count && is_changed(w, end);)
                        end++;
                if (end > i)
                        r = stage_object_write(o, offset, w->data + i * BLOCK_SIZE,
                                               MIN((end - i) * BLOCK_SIZE, o->size - offset), err);
                else
                        end++;
        }
        return r;
}

static void count_states(const struct window *w)
{
        struct stage_count *c = stage_object_count(w->object);
        uint64_t *const counters[_BLOCK_STATE_MAX] = {
                [BLOCK_PRESENT] = &c->present,
                [BLOCK_ZERO] = &c->zero,
                [BLOCK_REUSED] = &c->reused,
                [BLOCK_MISSING] = &c->missing,
        };

        c->blocks += w->count;
        for (size_t i = 0; i < w->count; i++) {
                ++*counters[w->states[i]];
                if (w->states[i] == BLOCK_MISSING)
                        stage_set_missing(w->object, w->first + i, true);
        }
}

static int scan_window(struct window *w, struct error *err)
{
        struct stage_object *o = w->object;
        uint64_t missing = stage_object_count(o)->missing;
        int r = hash_tree_leaves(&o->tree, w->first, w->count, w->wanted, err);

        if (r >= 0)
                r = parallel_for(DIV_ROUND_UP(w->count, CHUNK_BLOCKS), 0, scan_chunk, w, err);
        if (r >= 0 && !o->dry)
                r = write_changes(w, err);
        if (r < 0)
                return r;
        count_states(w);
        stage_object_progress(o, w->count - (stage_object_count(o)->missing - missing));
        return 0;
}

int stage_scan(struct stage_object *o, struct error *err)
{
        _cleanup_(window_done) struct window w;
        int r = window_init(&w, o, err);

        for (; r >= 0 && w.first < o->tree.shape.data_blocks; w.first += w.count) {
                w.count = (size_t)MIN(o->tree.shape.data_blocks - w.first, (uint64_t)WINDOW_BLOCKS);
                r = scan_window(&w, err);
        }
        return r;
}
