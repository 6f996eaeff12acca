/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See patched-modules.h. Threads share a budget of memory: one takes what its module needs, and
 * waits until that is there. Small modules come first, so most of the time all processors work, and
 * a large one at the end works alone. What is freed must go back to the system at once for that,
 * and not stay with the thread that had it. */

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>

#include "delta.h"
#include "io.h"
#include "parallel.h"
#include "patched-modules.h"

enum { MMAP_THRESHOLD = 128 * 1024 /* larger pieces are never kept when they are freed */ };

/* ---- memory ---- */

struct budget {
        pthread_mutex_t lock;
        pthread_cond_t more;
        uint64_t free; /* bytes */
};

static void budget_take(struct budget *b, uint64_t size)
{
        pthread_mutex_lock(&b->lock);
        while (b->free < size)
                pthread_cond_wait(&b->more, &b->lock);
        b->free -= size;
        pthread_mutex_unlock(&b->lock);
}

static void budget_give(struct budget *b, uint64_t size)
{
        pthread_mutex_lock(&b->lock);
        b->free += size;
        pthread_cond_broadcast(&b->more);
        pthread_mutex_unlock(&b->lock);
}

/* Old and new are in memory together, then the new one while it is packed. */
static uint64_t memory_of(const struct module_patch *p, const struct xz_parameters *xz)
{
        uint64_t patching = (uint64_t)p->old_size + p->new_size,
                 packing = (uint64_t)p->new_size + p->packed_size + xz_pack_memory(xz, p->new_size);

        return MAX(patching, packing);
}
static_assert(MODULE_SIZE_MAX + MODULE_PACKED_MAX + XZ_PACK_MEMORY_MAX <= PATCHED_MODULES_MEMORY &&
                      2 * MODULE_SIZE_MAX <= PATCHED_MODULES_MEMORY,
              "the largest module fits");

/* ---- one module ---- */

struct maker {
        const struct patched_modules *m;
        const struct module_patches *patches;
        struct block_index *index; /* of the new image */
        int directory_fd;
        struct budget budget;
        pthread_mutex_t sink_lock;
};

/* Where a module is to be. */
struct place {
        uint64_t first;
        size_t count; /* blocks */
        struct sha256 *wanted;
};

/* Returns 1 when the image has a place that begins like the module, else 0. */
static int find_place(const struct maker *k, const struct module_patch *p, struct place *ret,
                      struct error *err)
{
        struct place place = { .count = DIV_ROUND_UP(p->packed_size, (uint32_t)BLOCK_SIZE) };
        uint64_t blocks = k->m->tree->shape.data_blocks;
        struct sha256 key = {}; /* an index looks at no more of a digest */
        int r;

        memcpy(key.bytes, p->first_block, sizeof(p->first_block));
        if (!block_index_find(k->index, &key, &place.first) || place.count > blocks - place.first)
                return 0;
        place.wanted = malloc(place.count * sizeof(*place.wanted));
        if (!place.wanted)
                return error_oom(err);
        r = hash_tree_leaves(k->m->tree, place.first, place.count, place.wanted, err);
        if (r < 0 || memcmp(place.wanted[0].bytes, key.bytes, sizeof(p->first_block)) != 0) {
                free(place.wanted);
                return r;
        }
        *ret = place;
        return 1;
}

/* The old module, unpacked. -EBADMSG when it is not the one that the patch is for. */
static int load_old(const struct maker *k, const struct module_patch *p, char **ret,
                    struct error *err)
{
        _cleanup_free_ char *packed = NULL;
        size_t packed_size, size;
        int r = file_read(k->directory_fd, k->m->set->items[p->old].path, MODULE_PACKED_MAX,
                          &packed, &packed_size, err);

        if (r >= 0)
                r = xz_unpack(packed, packed_size, p->old_size, ret, &size, err);
        if (r >= 0 && size != p->old_size)
                r = error_set(err, -EBADMSG, "unpacks to %zu bytes, not %u", size, p->old_size);
        return r;
}

static int patch_old(const struct maker *k, const struct module_patch *p, char **ret,
                     struct error *err)
{
        _cleanup_free_ char *old = NULL, *new = malloc(p->new_size);
        int r = new ? load_old(k, p, &old, err) : error_oom(err);

        if (r >= 0)
                r = delta_apply(old, p->old_size, p->data, p->size, new, p->new_size, err);
        if (r >= 0)
                *ret = TAKE_PTR(new);
        return r;
}

/* The new module's blocks. */
static int make_blocks(const struct maker *k, const struct module_patch *p, size_t count,
                       char **ret, struct error *err)
{
        _cleanup_free_ char *new = NULL, *blocks = NULL;
        size_t size;
        int r = patch_old(k, p, &new, err);

        if (r < 0)
                return r;
        blocks = calloc(count, BLOCK_SIZE);
        if (!blocks)
                return error_oom(err);
        r = xz_pack(&k->patches->xz, new, p->new_size, blocks, p->packed_size, &size, err);
        if (r >= 0)
                *ret = TAKE_PTR(blocks);
        return r;
}

/* ---- the sink ---- */

static bool wants_any(struct maker *k, const struct place *place)
{
        const struct block_sink *sink = k->m->sink;
        bool wanted = false;

        pthread_mutex_lock(&k->sink_lock);
        for (size_t i = 0; !wanted && i < place->count; i++)
                wanted = sink->wants(sink->userdata, place->first + i);
        pthread_mutex_unlock(&k->sink_lock);
        return wanted;
}

/* Those from block i on that are wanted and right; found is NULL in a dry run. */
static size_t run_of_right(const struct block_sink *sink, const struct place *place, size_t i,
                           const struct sha256 *found)
{
        size_t end = i;

        while (end < place->count && sink->wants(sink->userdata, place->first + end) &&
               (!found || sha256_equal(&found[end], &place->wanted[end])))
                end++;
        return end - i;
}

static int give_runs(const struct block_sink *sink, const struct place *place, const char *blocks,
                     const struct sha256 *found, struct error *err)
{
        int r = 0;

        for (size_t i = 0, n; r >= 0 && i < place->count; i += MAX(n, (size_t)1)) {
                n = run_of_right(sink, place, i, found);
                if (n > 0)
                        r = sink->take(sink->userdata, place->first + i, n,
                                       blocks ? blocks + i * BLOCK_SIZE : NULL, err);
        }
        return r;
}

static int give_blocks(struct maker *k, const struct place *place, const char *blocks,
                       struct error *err)
{
        _cleanup_free_ struct sha256 *found = NULL;
        int r;

        if (blocks) {
                found = malloc(place->count * sizeof(*found));
                if (!found)
                        return error_oom(err);
                blocks_hash(blocks, place->count, found);
        }
        pthread_mutex_lock(&k->sink_lock);
        r = give_runs(k->m->sink, place, blocks, found, err);
        pthread_mutex_unlock(&k->sink_lock);
        return r;
}

static int make_module(struct maker *k, const struct module_patch *p, const struct place *place,
                       struct error *err)
{
        uint64_t memory = memory_of(p, &k->patches->xz);
        _cleanup_free_ char *blocks = NULL;
        struct error ignored;
        int r = 0;

        budget_take(&k->budget, memory);
        if (make_blocks(k, p, place->count, &blocks, &ignored) >= 0)
                r = give_blocks(k, place, blocks, err);
        budget_give(&k->budget, memory);
        return r;
}

static int run_patch(void *context, size_t index, struct error *err)
{
        struct maker *k = context;
        const struct module_patch *p = &k->patches->items[index];
        struct place place = {};
        int r = find_place(k, p, &place, err);

        if (r > 0 && wants_any(k, &place))
                r = k->m->dry ? give_blocks(k, &place, NULL, err) : make_module(k, p, &place, err);
        free(place.wanted);
        return r < 0 ? error_prefix(err, r, "%s", k->m->set->items[p->old].path) : 0;
}

/* ---- all of them ---- */

static int compare_size(const void *a, const void *b)
{
        const struct module_patch *x = a, *y = b;

        return x->new_size < y->new_size ? -1 : x->new_size > y->new_size;
}

/* They are in the set's order until they are sorted, so the last one tells. */
static int check_set(const struct patched_modules *m, const struct module_patches *patches,
                     struct error *err)
{
        if (!sha256_equal(&patches->old_set, &m->set->digest) ||
            (patches->count > 0 && patches->items[patches->count - 1].old >= m->set->count))
                return error_set(err, -ESTALE, "module patches: for other modules than those here");
        return 0;
}

int patched_modules_make(const struct patched_modules *m, struct module_patches *patches,
                         struct error *err)
{
        _cleanup_close_ int fd = -1;
        struct maker k = {
                .m = m,
                .patches = patches,
                .budget = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                            PATCHED_MODULES_MEMORY },
                .sink_lock = PTHREAD_MUTEX_INITIALIZER,
        };
        int r = check_set(m, patches, err);

        if (r < 0)
                return r;
        fd = open(m->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, "%s", m->directory);
        k.directory_fd = fd;
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        qsort(patches->items, patches->count, sizeof(*patches->items), compare_size);
        r = block_index_new(m->tree, &k.index, err);
        if (r >= 0)
                r = parallel_for(patches->count, 0, run_patch, &k, err);
        block_index_free(k.index);
        return error_prefix(err, r, "kernel modules");
}
