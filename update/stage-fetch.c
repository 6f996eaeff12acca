/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of an object is not on this machine. Its missing blocks are all known when the first is
 * asked for, so ranges are as long as they can be: what lies between two that are near is fetched
 * along, and not looked at. Blocks are hashed as they arrive, and those that are right are written
 * before a wrong one beside them ends the attempt.
 *
 * A hash tree is different: it is small, nothing of it can be judged before all of it is there, and
 * nothing may use it before that. So it goes to a file without name first. */

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "io.h"
#include "stage-internal.h"
#include "strv.h"

enum { CHUNK_BLOCKS = FETCH_CHUNK / BLOCK_SIZE };
static_assert(FETCH_CHUNK % BLOCK_SIZE == 0, "the sink gets whole blocks");

char *stage_url(const struct stage *s, const char *directory, const char *file)
{
        size_t n = strlen(s->site);

        while (n > 0 && s->site[n - 1] == '/')
                n--;
        return string_format("%.*s/%s%s", (int)n, s->site, directory, file);
}

static char *object_url(const struct stage *s, const char *file)
{
        char directory[sizeof("images/") + SHA256_HEX_SIZE], hex[SHA256_HEX_SIZE];

        snprintf(directory, sizeof(directory), "images/%s/",
                 sha256_hex(&s->release->root_hash, hex));
        return stage_url(s, directory, file);
}

/* ---- ranges ---- */

struct range_list {
        struct fetch_range *items;
        size_t count, capacity;
};

static void range_list_done(struct range_list *l)
{
        free(l->items);
}

/* Blocks [first, end), or more of the range before them when that is near. */
static int add_range(struct range_list *l, const struct stage_object *o, uint64_t first,
                     uint64_t end, struct error *err)
{
        struct fetch_range *last = l->count > 0 ? &l->items[l->count - 1] : NULL;
        uint64_t offset = first * BLOCK_SIZE, limit = MIN(end * BLOCK_SIZE, o->size);

        if (last && offset - (last->offset + last->size) <= o->stage->gap) {
                last->size = limit - last->offset;
                return 0;
        }
        if (array_reserve(&l->items, &l->capacity, l->count + 1, sizeof(*l->items)) < 0)
                return error_oom(err);
        l->items[l->count++] = (struct fetch_range){ .offset = offset, .size = limit - offset };
        return 0;
}

static int list_ranges(const struct stage_object *o, struct range_list *l, struct error *err)
{
        uint64_t blocks = o->tree.shape.data_blocks;
        int r = 0;

        for (uint64_t i = 0, end; r >= 0 && i < blocks; i = end) {
                if (i % 64 == 0 && o->missing[i / 64] == 0) {
                        end = i + 64;
                        continue;
                }
                for (end = i; end < blocks && stage_missing(o, end);)
                        end++;
                if (end > i)
                        r = add_range(l, o, i, end, err);
                else
                        end++;
        }
        return r;
}

/* ---- blocks ---- */

/* Of the blocks that arrived, those from `i` on that are missing and right. */
static size_t run_of_right(const struct stage_object *o, uint64_t first, size_t i, size_t count,
                           const struct sha256 *found, const struct sha256 *wanted)
{
        size_t end = i;

        while (end < count && stage_missing(o, first + end) &&
               sha256_equal(&found[end], &wanted[end]))
                end++;
        return end - i;
}

/* Writes what is right and missing, and says whether anything missing was wrong. */
static int take_blocks(struct stage_object *o, uint64_t first, size_t count, const uint8_t *data,
                       const struct sha256 *found, const struct sha256 *wanted, struct error *err)
{
        uint64_t wrong = UINT64_MAX;
        size_t n;

        for (size_t i = 0; i < count; i += MAX(n, (size_t)1)) {
                uint64_t offset = (first + i) * BLOCK_SIZE;
                int r;

                n = run_of_right(o, first, i, count, found, wanted);
                if (n == 0) {
                        if (stage_missing(o, first + i) && wrong == UINT64_MAX)
                                wrong = offset;
                        continue;
                }
                r = stage_object_write(o, offset, data + i * BLOCK_SIZE,
                                       MIN(n * BLOCK_SIZE, o->size - offset), err);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < n; k++)
                        stage_set_missing(o, first + i + k, false);
                stage_object_progress(o, n);
        }
        if (wrong != UINT64_MAX)
                return error_set(err, -EBADMSG, "wrong bytes in the block at %ju",
                                 (uintmax_t)wrong);
        return 0;
}

/* The sink of an object's ranges, which begin with a block. */
static int take_chunk(void *userdata, size_t range _unused_, uint64_t offset, const void *data,
                      size_t size, struct error *err)
{
        struct stage_object *o = userdata;
        uint64_t first = offset / BLOCK_SIZE;
        size_t count = DIV_ROUND_UP(size, BLOCK_SIZE), whole = size / BLOCK_SIZE;
        struct sha256 found[CHUNK_BLOCKS], wanted[CHUNK_BLOCKS];
        int r = hash_tree_leaves(&o->tree, first, count, wanted, err);

        if (r < 0)
                return r;
        blocks_hash(data, whole, found);
        if (whole < count) { /* the object's end */
                uint8_t last[BLOCK_SIZE] = {};

                memcpy(last, (const uint8_t *)data + whole * BLOCK_SIZE, size % BLOCK_SIZE);
                blocks_hash(last, 1, &found[whole]);
        }
        return take_blocks(o, first, count, data, found, wanted, err);
}

int stage_fetch(struct stage_object *o, struct error *err)
{
        _cleanup_(range_list_done) struct range_list l = {};
        _cleanup_free_ char *url = object_url(o->stage, o->file);
        struct stage_count *c = stage_object_count(o);
        int r = url ? list_ranges(o, &l, err) : error_oom(err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < l.count; i++) {
                c->ranges += DIV_ROUND_UP(l.items[i].size, (uint64_t)FETCH_RANGE_MAX);
                c->fetch_bytes += l.items[i].size;
        }
        if (o->dry || l.count == 0)
                return 0;
        return fetch_ranges(o->stage->fetcher, url, o->size, l.items, l.count, take_chunk, o, err);
}

/* ---- trees ---- */

static int take_tree(void *userdata, size_t range _unused_, uint64_t offset, const void *data,
                     size_t size, struct error *err)
{
        const int *fd = userdata;

        return io_pwrite(*fd, data, size, offset, err);
}

/* On a disk when there is one for such things: a large image's tree would not do in memory. */
static int open_scratch(struct error *err)
{
        int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0)
                fd = memfd_create("hash tree", MFD_CLOEXEC);
        return fd < 0 ? error_errno(err, "hash tree: no temporary file") : fd;
}

/* A wrong one is fetched once more. */
int stage_fetch_tree(struct stage *s, const struct sha256 *root_hash, const char *file,
                     uint64_t data_size, struct hash_tree *ret, struct error *err)
{
        _cleanup_free_ char *url = object_url(s, file);
        struct stage_count *c = &s->counts[STAGE_TREE];
        _cleanup_close_ int fd = open_scratch(err);
        struct fetch_range all = {};
        struct hash_tree_shape shape;
        int r = hash_tree_shape(data_size, &shape);

        if (fd < 0)
                return fd;
        if (!url)
                return error_oom(err);
        if (r < 0)
                return error_set(err, r, "%s: no image has %ju bytes", file, (uintmax_t)data_size);
        all.size = shape.size;
        c->missing += shape.size / BLOCK_SIZE;
        c->ranges += DIV_ROUND_UP(all.size, (uint64_t)FETCH_RANGE_MAX);
        c->fetch_bytes += all.size;
        for (unsigned attempt = 0; attempt < FETCH_BAD_MAX; attempt++) {
                r = fetch_ranges(s->fetcher, url, all.size, &all, 1, take_tree, &fd, err);
                if (r >= 0)
                        r = error_prefix(err, hash_tree_open(fd, 0, data_size, root_hash, ret, err),
                                         "%s", url);
                if (r != -EBADMSG)
                        break;
                fetcher_distrust(s->fetcher);
        }
        if (r >= 0)
                TAKE_FD(fd);
        return r;
}

/* ---- small files ---- */

struct file_sink {
        uint8_t *data;
        uint64_t size;
        const struct sha256 *digest;
};

/* It is smaller than a chunk, so this is all of it. */
static int take_file(void *userdata, size_t range _unused_, uint64_t offset _unused_,
                     const void *data, size_t size, struct error *err)
{
        const struct file_sink *sink = userdata;
        struct sha256 found;

        sha256_of(data, size, &found);
        if (size != sink->size || !sha256_equal(&found, sink->digest))
                return error_set(err, -EBADMSG, "not the file that the release names");
        memcpy(sink->data, data, size);
        return 0;
}

int stage_fetch_file(struct stage *s, const struct sha256 *digest, const char *file, void *data,
                     uint64_t size, struct error *err)
{
        struct file_sink sink = { data, size, digest };
        const struct fetch_range all = { .size = size };
        struct stage_count *c = &s->counts[STAGE_TREE];
        _cleanup_free_ char *url = object_url(s, file);

        assert(size <= FETCH_CHUNK);
        if (!url)
                return error_oom(err);
        c->ranges++;
        c->fetch_bytes += size;
        return fetch_ranges(s->fetcher, url, size, &all, 1, take_file, &sink, err);
}
