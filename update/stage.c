/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See stage.h. In this order: the slot's hash tree, for it says what the slot's image is to be; the
 * image; the UKI, which may take blocks from that image. What is finished already costs a look:
 * the tree is in its partition, and a UKI is hashed as a whole before its tree is asked for. */

#include "io.h"
#include "parallel.h"
#include "stage-internal.h"

enum { COPY_SIZE = 256 * 1024, COPY_BLOCKS = COPY_SIZE / BLOCK_SIZE };

/* ---- objects ---- */

int stage_object_read(const struct stage_object *o, uint64_t offset, void *data, uint64_t size,
                      size_t *ret_size, struct error *err)
{
        const struct stage *s = o->stage;
        int r;

        *ret_size = 0;
        if (o->kind == STAGE_USR) {
                r = store_read(s->store, STORE_USR, offset, data, size, err);
                *ret_size = r < 0 ? 0 : size;
                return r;
        }
        r = store_file_read(s->store, s->uki_name, offset, data, size, ret_size, err);
        return r == -ENOENT ? 0 : r;
}

int stage_object_write(const struct stage_object *o, uint64_t offset, const void *data,
                       uint64_t size, struct error *err)
{
        struct stage *s = o->stage;

        if (o->kind == STAGE_USR)
                return store_write(s->store, STORE_USR, offset, data, size, err);
        return store_file_write(s->store, s->uki_name, offset, data, size, err);
}

void stage_object_progress(struct stage_object *o, uint64_t blocks)
{
        const struct stage *s = o->stage;

        o->done = MIN(o->done + blocks * BLOCK_SIZE, o->size);
        if (s->progress)
                s->progress(s->userdata, o->kind, o->done, o->size);
}

static void object_done(struct stage_object *o)
{
        for (size_t i = 0; i < o->n_origins; i++)
                block_index_free(o->origins[i].index);
        free(o->origins);
        free(o->missing);
}

/* `promised`: a source that is there only when this is no dry run; its fd is -1 for none. */
static int object_prepare(struct stage_object *o, const struct stage_source *sources, size_t count,
                          const struct stage_source *promised, struct error *err)
{
        o->missing = calloc(DIV_ROUND_UP(o->tree.shape.data_blocks, 64), sizeof(*o->missing));
        o->origins = calloc(count + 1, sizeof(*o->origins));
        if (!o->missing || !o->origins)
                return error_oom(err);
        for (size_t i = 0; i < count + (promised ? 1 : 0); i++) {
                struct stage_origin *origin = &o->origins[i];
                int r;

                origin->source = i < count ? &sources[i] : promised;
                origin->promised = i == count && o->dry;
                r = block_index_new(&origin->source->tree, &origin->index, err);
                if (r < 0)
                        return r;
                o->n_origins++;
        }
        return 0;
}

static int object_stage(struct stage_object *o, struct error *err)
{
        int r = stage_scan(o, err);

        if (r >= 0)
                r = stage_patch(o, err);
        if (r >= 0)
                r = stage_fetch(o, err);
        return error_prefix(err, r, "%s", o->file);
}

/* ---- the slot's hash tree ---- */

static int copy_tree(struct stage *s, const struct hash_tree *from, struct error *err)
{
        _cleanup_free_ char *data = malloc(COPY_SIZE);
        uint64_t size = from->shape.size, offset = 0;
        int r = data ? 0 : error_oom(err);

        for (size_t n; r >= 0 && offset < size; offset += n) {
                n = (size_t)MIN(size - offset, (uint64_t)COPY_SIZE);
                r = io_pread(from->fd, data, n, offset, NULL, err);
                if (r >= 0)
                        r = store_write(s->store, STORE_TREE, offset, data, n, err);
        }
        return r < 0 ? r : store_flush(s->store, STORE_TREE, err);
}

/* The tree where it belongs; it may be there already. */
static int open_tree(const struct stage *s, struct hash_tree *ret, struct error *err)
{
        const struct store_range *range = &s->store->targets[STORE_TREE];

        if (range->size < s->release->tree_size)
                return error_set(err, -ENOSPC, "usr.tree: %ju bytes do not fit in %ju",
                                 (uintmax_t)s->release->tree_size, (uintmax_t)range->size);
        return hash_tree_open(range->fd, range->offset, s->release->usr_size,
                              &s->release->root_hash, ret, err);
}

/* *ret_fd: the file that a dry run has it in, else -1. */
static int stage_tree(struct stage *s, bool dry, struct hash_tree *ret, int *ret_fd,
                      struct error *err)
{
        struct stage_count *c = &s->counts[STAGE_TREE];
        _cleanup_close_ int fd = -1;
        struct error ignored;
        int r = open_tree(s, ret, &ignored);

        c->blocks += s->release->tree_size / BLOCK_SIZE;
        if (r >= 0) {
                c->present += s->release->tree_size / BLOCK_SIZE;
                return dry ? 0 : store_flush(s->store, STORE_TREE, err);
        }
        if (r != -EBADMSG)
                return open_tree(s, ret, err);
        r = stage_fetch_tree(s, &s->release->root_hash, "usr.tree", s->release->usr_size, ret, err);
        if (r < 0)
                return r;
        fd = ret->fd;
        if (dry) {
                *ret_fd = TAKE_FD(fd);
                return 0;
        }
        r = copy_tree(s, ret, err);
        return r < 0 ? r : open_tree(s, ret, err);
}

/* ---- the slot's image ---- */

static int stage_usr(struct stage *s, const struct hash_tree *tree, bool dry, struct error *err)
{
        _cleanup_(object_done) struct stage_object o = {
                .stage = s,
                .kind = STAGE_USR,
                .file = "usr.img",
                .size = s->release->usr_size,
                .tree = *tree,
                .dry = dry,
        };
        uint64_t room = s->store->targets[STORE_USR].size;
        int r;

        if (room < o.size)
                return error_set(err, -ENOSPC, "usr.img: %ju bytes do not fit in %ju",
                                 (uintmax_t)o.size, (uintmax_t)room);
        r = object_prepare(&o, s->usr_sources, s->n_usr_sources, NULL, err);
        if (r >= 0)
                r = object_stage(&o, err);
        return r < 0 || dry ? r : store_flush(s->store, STORE_USR, err);
}

/* ---- the UKI ---- */

struct uki_leaves {
        const struct stage_object *object;
        struct sha256 *items;
};

static int hash_uki_chunk(void *context, size_t index, struct error *err)
{
        const struct uki_leaves *l = context;
        uint64_t offset = (uint64_t)index * COPY_SIZE,
                 size = MIN(l->object->size - offset, (uint64_t)COPY_SIZE);
        _cleanup_free_ uint8_t *data = calloc(COPY_BLOCKS, BLOCK_SIZE);
        size_t got;
        int r = data ? stage_object_read(l->object, offset, data, size, &got, err) : error_oom(err);

        if (r >= 0)
                blocks_hash(data, DIV_ROUND_UP(size, (uint64_t)BLOCK_SIZE),
                            &l->items[index * COPY_BLOCKS]);
        return r;
}

/* How long the temporary file is, compared with what it is to be. */
static int compare_size(const struct stage_object *o, int *ret, struct error *err)
{
        size_t last = 0, more = 0;
        char byte;
        int r = stage_object_read(o, o->size - 1, &byte, 1, &last, err);

        if (r >= 0)
                r = stage_object_read(o, o->size, &byte, 1, &more, err);
        if (r >= 0)
                *ret = more > 0 ? 1 : last > 0 ? 0 : -1;
        return r;
}

/* Whether the temporary file is the UKI already: it is small enough to ask before its tree is here.
 */
static int is_complete(const struct stage_object *o, bool *ret, struct error *err)
{
        uint64_t blocks = DIV_ROUND_UP(o->size, (uint64_t)BLOCK_SIZE);
        _cleanup_free_ struct sha256 *items = calloc(blocks, sizeof(*items));
        struct uki_leaves leaves = { .object = o, .items = items };
        struct sha256 root_hash;
        int r = items ? 0 : error_oom(err);

        if (r >= 0)
                r = parallel_for(DIV_ROUND_UP(o->size, (uint64_t)COPY_SIZE), 0, hash_uki_chunk,
                                 &leaves, err);
        if (r >= 0)
                r = hash_tree_root(items, blocks, &root_hash, err);
        if (r >= 0)
                *ret = sha256_equal(&root_hash, &o->stage->release->uki_root_hash);
        return r;
}

/* With *ret, nothing is left to do. What is longer than it should be is begun anew. */
static int look_at_uki(struct stage_object *o, bool *ret, struct error *err)
{
        struct stage_count *c = stage_object_count(o);
        int r, size = 0;

        r = compare_size(o, &size, err);
        if (r >= 0 && size > 0 && !o->dry)
                r = store_file_remove(o->stage->store, o->stage->uki_name, err);
        if (r >= 0 && size == 0)
                r = is_complete(o, ret, err);
        if (r < 0 || !*ret)
                return r;
        c->blocks = c->present = DIV_ROUND_UP(o->size, (uint64_t)BLOCK_SIZE);
        stage_object_progress(o, c->blocks);
        return 0;
}

static int stage_uki(struct stage *s, const struct hash_tree *usr_tree, bool dry, struct error *err)
{
        const struct store_range *usr = &s->store->targets[STORE_USR];
        const struct stage_source image = { .fd = usr->fd,
                                            .offset = usr->offset,
                                            .size = s->release->usr_size,
                                            .tree = *usr_tree };
        _cleanup_(object_done) struct stage_object o = {
                .stage = s,
                .kind = STAGE_UKI,
                .file = "uki.efi",
                .size = s->release->uki_size,
                .dry = dry,
        };
        _cleanup_close_ int fd = -1;
        bool complete = false;
        int r = look_at_uki(&o, &complete, err);

        if (r >= 0 && !complete) {
                r = stage_fetch_tree(s, &s->release->uki_root_hash, "uki.tree",
                                     ROUND_UP(o.size, (uint64_t)BLOCK_SIZE), &o.tree, err);
                if (r < 0)
                        return r;
                fd = o.tree.fd;
                s->counts[STAGE_TREE].blocks += o.tree.shape.size / BLOCK_SIZE;
                r = object_prepare(&o, s->uki_sources, s->n_uki_sources, &image, err);
                if (r >= 0)
                        r = object_stage(&o, err);
        }
        return r < 0 || dry ? r : store_file_sync(s->store, s->uki_name, err);
}

/* ---- all ---- */

static int stage_all(struct stage *s, bool dry, struct error *err)
{
        _cleanup_close_ int fd = -1;
        struct hash_tree tree;
        int r;

        memset(s->counts, 0, sizeof(s->counts));
        r = stage_tree(s, dry, &tree, &fd, err);
        if (r >= 0)
                r = stage_signature(s, dry, err);
        if (r >= 0)
                r = stage_usr(s, &tree, dry, err);
        if (r >= 0)
                r = stage_uki(s, &tree, dry, err);
        return r;
}

int stage_plan(struct stage *s, struct error *err)
{
        return stage_all(s, true, err);
}

int stage_run(struct stage *s, struct error *err)
{
        return stage_all(s, false, err);
}
