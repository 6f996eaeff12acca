/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Contents of files, from the tree to the image in one pass. Threads take batches of pieces, one
 * after the other: read, compress, and pack each piece into whole blocks. Then a batch waits for
 * its turn to get its place, which is behind that of the batch before; from there on it is
 * independent again, and its blocks are hashed and written. So every byte's place and value follow
 * from the tree alone, small files cost no write of their own, a large file is shared by all
 * threads, and memory is one batch a thread. */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "erofs-internal.h"
#include "interrupt.h"
#include "io.h"
#include "memory.h"
#include "parallel.h"

enum { TURN_POLL_NS = 100 * 1000 * 1000, HOLE_SIZE_MIN = 1024 * 1024 };

/* What a thread works with. */
struct workspace {
        struct workspace *next;
        struct codec *codec;    /* NULL: nothing is compressed */
        uint8_t *out;           /* blocks of a batch */
        uint8_t *in, *scratch;  /* behind it, one piece each: as it is, and compressed */
        struct sha256 *digests; /* of these */
};

struct writer {
        struct erofs_image *image;
        const struct content_store *store;
        const struct erofs_target *target;
        pthread_mutex_t lock;
        pthread_cond_t turned;
        size_t turn;            /* the batch that gets its place next */
        bool failed;            /* a batch will never have its turn */
        uint64_t block;         /* where it is, when the image is not placed */
        bool measure;           /* only sizes are wanted */
        struct workspace *idle; /* of threads that have none now */
};

/* ---- workspaces ---- */

static void workspace_free(struct workspace *s)
{
        if (!s)
                return;
        codec_free(s->codec);
        free(s->out);
        free(s->digests);
        free(s);
}
DEFINE_CLEANUP(struct workspace, workspace_free)

/* A batch is one piece, or as many as fit the size of batches. */
static size_t batch_size_max(const struct erofs_image *image)
{
        return MAX((size_t)image->piece_size, (size_t)EROFS_CLUSTER_MAX);
}

static int workspace_new(const struct erofs_image *image, struct workspace **ret, struct error *err)
{
        _cleanup_(workspace_free_p) struct workspace *s = calloc(1, sizeof(*s));
        const size_t batch = batch_size_max(image);
        int r = 0;

        if (!s)
                return error_oom(err);
        s->out = memory_large(MAX(batch + 2 * (size_t)image->piece_size, (size_t)MEMORY_HUGE_PAGE));
        s->digests = calloc(batch / EROFS_BLOCK_SIZE, sizeof(*s->digests));
        if (!s->out || !s->digests)
                return error_oom(err);
        s->in = s->out + batch;
        s->scratch = s->in + image->piece_size;
        if (image->codec.kind != CODEC_NONE)
                r = codec_new(&image->codec, image->piece_size, &s->codec, err);
        if (r >= 0)
                *ret = TAKE_PTR(s);
        return r;
}

static int take_workspace(struct writer *w, struct workspace **ret, struct error *err)
{
        struct workspace *s;

        pthread_mutex_lock(&w->lock);
        s = w->idle;
        if (s)
                w->idle = s->next;
        pthread_mutex_unlock(&w->lock);
        *ret = s;
        return s ? 0 : workspace_new(w->image, ret, err);
}

static void give_workspace(struct writer *w, struct workspace *s)
{
        pthread_mutex_lock(&w->lock);
        s->next = w->idle;
        w->idle = s;
        pthread_mutex_unlock(&w->lock);
}

/* ---- pieces ---- */

/* Whether the content is known to hold nothing but zeros in that range. Only large contents are
 * asked: there a hole may be huge, elsewhere reading is as quick. */
static bool is_hole(const struct content *content, uint64_t offset, uint64_t size)
{
        off_t data;

        if (content->fd < 0 || content->size < HOLE_SIZE_MIN)
                return false;
        data = lseek(content->fd, (off_t)offset, SEEK_DATA);
        return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + size;
}

/* Reads a piece into a buffer, with zeros behind it up to whole blocks. */
static int read_piece(const struct content *content, uint64_t offset, size_t size, uint8_t *buffer,
                      struct error *err)
{
        size_t space = ROUND_UP(size, (size_t)EROFS_BLOCK_SIZE);

        if (is_hole(content, offset, size)) {
                memset(buffer, 0, space);
                return 0;
        }
        memset(buffer + size, 0, space - size);
        return content_read(content, buffer, size, offset, err);
}

/* Packs the piece that is in s->in: compressed, it ends where its last block ends, and what is free
 * before it are zeros. *ret_blocks is 0 when that saves no block. */
static int compress_piece(struct workspace *s, size_t size, uint8_t *out, uint16_t *ret_blocks,
                          struct error *err)
{
        size_t blocks = DIV_ROUND_UP(size, (size_t)EROFS_BLOCK_SIZE), packed, space;
        int r;

        *ret_blocks = 0;
        if (blocks < 2)
                return 0;
        r = codec_compress(s->codec, s->in, size, s->scratch, (blocks - 1) * EROFS_BLOCK_SIZE,
                           &packed, err);
        if (r < 0 || packed == 0)
                return r;
        space = ROUND_UP(packed, (size_t)EROFS_BLOCK_SIZE);
        memset(out, 0, space - packed);
        memcpy(out + space - packed, s->scratch, packed);
        *ret_blocks = (uint16_t)(space / EROFS_BLOCK_SIZE);
        return 0;
}

/* Appends one piece to a batch; returns its blocks. */
static int pack_piece(struct writer *w, struct workspace *s, const struct erofs_item *file,
                      const struct content *content, uint32_t piece, uint8_t *out,
                      struct error *err)
{
        uint64_t offset = (uint64_t)(piece - file->piece) * w->image->piece_size;
        size_t size = erofs_piece_size(w->image, file, piece);
        size_t space = ROUND_UP(size, (size_t)EROFS_BLOCK_SIZE);
        uint16_t blocks = 0;
        int r;

        r = read_piece(content, offset, size, file->compress ? s->in : out, err);
        if (r >= 0 && file->compress)
                r = compress_piece(s, size, out, &blocks, err);
        if (r < 0)
                return r;
        if (!file->compress)
                return (int)(space / EROFS_BLOCK_SIZE);
        w->image->piece_blocks[piece] = blocks;
        if (blocks > 0)
                return blocks;
        memcpy(out, s->in, space);
        return (int)(space / EROFS_BLOCK_SIZE);
}

/* ---- batches ---- */

/* Index of the file that a piece belongs to. */
static size_t file_of(const struct erofs_image *image, uint32_t piece)
{
        size_t low = 0, high = image->n_files;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (image->files[middle]->piece <= piece)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* The piece behind the file's last. */
static uint32_t end_of_file(const struct erofs_image *image, size_t file)
{
        return file + 1 < image->n_files ? image->files[file + 1]->piece : image->n_pieces;
}

/* Packs the pieces [piece, end) of a file; returns their blocks. */
static int64_t pack_file(struct writer *w, struct workspace *s, struct erofs_item *file,
                         uint32_t piece, uint32_t end, uint8_t *out, struct error *err)
{
        _cleanup_content_ struct content content = CONTENT_NULL;
        char path[TREE_PATH_MAX];
        int64_t blocks = 0;
        int r;

        r = content_open(file->inode, w->store, &content, err);
        for (; r >= 0 && piece < end; piece++) {
                r = pack_piece(w, s, file, &content, piece, out + blocks * EROFS_BLOCK_SIZE, err);
                if (r > 0)
                        blocks += r;
        }
        return r < 0 ? error_prefix(err, r, "%s", tree_path(file->node, path)) : blocks;
}

/* The blocks of each file in a batch. */
struct share {
        struct erofs_item *file;
        uint32_t blocks;
        uint32_t block;       /* where they go in the image */
        uint32_t cache_block; /* where they go in the cache's new pack */
        bool keep;            /* they do */
};

struct batch {
        struct share *shares; /* not more than there are pieces */
        size_t n_shares;
        uint64_t blocks;
};

/* Whether the blocks that were made of a file go to the cache. */
static bool is_to_keep(const struct writer *w, const struct erofs_item *file, bool found)
{
        const struct erofs_image *image = w->image;

        return image->keep && !image->placed && file->compress &&
               file->inode->kind == CONTENT_OBJECT &&
               (!found || extent_cache_gathers(image->cache));
}

/* Blocks of pieces [piece, end), if that can be told without looking at the contents; else 0. */
static uint32_t foresee(struct writer *w, const struct erofs_item *file, uint32_t piece,
                        uint32_t end)
{
        uint32_t blocks = 0;

        if (file->compress)
                return erofs_kept_blocks(w->image, file, piece, end);
        for (; piece < end; piece++)
                blocks += (uint32_t)DIV_ROUND_UP(erofs_piece_size(w->image, file, piece),
                                                 EROFS_BLOCK_SIZE);
        return blocks;
}

/* The digests of blocks, or, where nobody wants them, only whether they are zeros. */
static void note_digests(const struct writer *w, const uint8_t *data, uint64_t blocks,
                         struct sha256 *ret)
{
        static const struct sha256 other = { "no zeros" };

        if (w->target->digests) {
                blocks_hash(data, blocks, ret);
                return;
        }
        for (uint64_t i = 0; i < blocks; i++, data += EROFS_BLOCK_SIZE)
                ret[i] = memory_is_zero(data, EROFS_BLOCK_SIZE) ? zero_block_digest : other;
}

/* Appends the pieces [piece, end) of a file: as they are kept, or made anew. */
static int add_share(struct writer *w, struct workspace *s, struct erofs_item *file, uint32_t piece,
                     uint32_t end, struct batch *b, struct error *err)
{
        struct sha256 *digests = s->digests + b->blocks;
        uint8_t *out = s->out + b->blocks * EROFS_BLOCK_SIZE;
        bool gathers = w->image->keep && extent_cache_gathers(w->image->cache);
        int64_t blocks;
        bool found;

        if (w->measure && !gathers)
                blocks = foresee(w, file, piece, end);
        else
                blocks = erofs_kept_load(w->image, file, piece, end, out, digests);
        found = blocks > 0;
        if (!found) {
                blocks = pack_file(w, s, file, piece, end, out, err);
                if (blocks < 0)
                        return (int)blocks;
                if (!w->measure)
                        note_digests(w, out, (uint64_t)blocks, digests);
        }
        b->shares[b->n_shares++] = (struct share){ .file = file,
                                                   .blocks = (uint32_t)blocks,
                                                   .keep = is_to_keep(w, file, found) };
        b->blocks += (uint64_t)blocks;
        return 0;
}

static int pack_batch(struct writer *w, struct workspace *s, size_t index, struct batch *b,
                      struct error *err)
{
        const struct erofs_image *image = w->image;
        uint32_t piece = image->batches[index], end = image->batches[index + 1], file_end;

        for (size_t i = file_of(image, piece); piece < end; i++, piece = file_end) {
                int r;

                file_end = MIN(end, end_of_file(image, i));
                r = add_share(w, s, image->files[i], piece, file_end, b, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Waits, with the lock held, until the batch is the next. A turn may never come, because a batch
 * before has failed or was not begun. */
static int wait_turn(struct writer *w, size_t index, struct error *err)
{
        int r = 0;

        while (r >= 0 && w->turn != index) {
                struct timespec until;

                if (w->failed)
                        return error_set(err, -ECANCELED, "another thread has failed");
                clock_gettime(CLOCK_REALTIME, &until);
                until.tv_nsec += TURN_POLL_NS;
                until.tv_sec += until.tv_nsec / 1000000000;
                until.tv_nsec %= 1000000000;
                pthread_cond_timedwait(&w->turned, &w->lock, &until);
                r = interrupt_check(err);
        }
        return r;
}

/* Behind what the file has already. What it takes is known when it is placed, and then no more. */
static int place_share(struct writer *w, struct share *s, struct error *err)
{
        struct erofs_item *file = s->file;
        bool placed = w->image->placed;
        char path[TREE_PATH_MAX];

        if (placed && s->blocks > file->blocks - file->done)
                return error_set(err, -EBADMSG, "%s: compressed otherwise than before",
                                 tree_path(file->node, path));
        if (!placed && file->done == 0)
                file->block = (uint32_t)w->block;
        s->block = file->block + file->done;
        file->done += s->blocks;
        if (!placed)
                w->block += s->blocks;
        if (!s->keep)
                return 0;
        s->cache_block = extent_cache_reserve(w->image->cache, s->blocks);
        if (file->cache_blocks == 0)
                file->cache_block = s->cache_block;
        file->cache_blocks += s->blocks;
        return 0;
}

/* Gives the batch its place, and the next one its turn. */
static int place_batch(struct writer *w, size_t index, const struct batch *b, struct error *err)
{
        int r;

        pthread_mutex_lock(&w->lock);
        r = wait_turn(w, index, err);
        for (size_t i = 0; r >= 0 && i < b->n_shares; i++)
                r = place_share(w, &b->shares[i], err);
        if (r >= 0) {
                w->turn++;
                pthread_cond_broadcast(&w->turned);
        }
        pthread_mutex_unlock(&w->lock);
        return r;
}

static void fail(struct writer *w)
{
        pthread_mutex_lock(&w->lock);
        w->failed = true;
        pthread_cond_broadcast(&w->turned);
        pthread_mutex_unlock(&w->lock);
}

/* Neighbours that are kept go to the cache together. */
static int keep_shares(struct writer *w, const struct workspace *s, const struct batch *b,
                       struct error *err)
{
        uint64_t first = 0;
        int r = 0;

        for (size_t i = 0, next; r >= 0 && i < b->n_shares; i = next) {
                uint32_t blocks = b->shares[i].blocks;

                for (next = i + 1; next < b->n_shares && b->shares[next].keep == b->shares[i].keep;)
                        blocks += b->shares[next++].blocks;
                if (b->shares[i].keep)
                        r = extent_cache_write(w->image->cache, b->shares[i].cache_block,
                                               s->out + first * EROFS_BLOCK_SIZE, blocks, err);
                first += blocks;
        }
        return r;
}

/* Neighbours in the batch that are neighbours in the image are written together. */
static int write_shares(struct writer *w, const struct workspace *s, const struct batch *b,
                        struct error *err)
{
        uint64_t first = 0;
        int r = 0;

        for (size_t i = 0, next; r >= 0 && i < b->n_shares; i = next) {
                uint32_t block = b->shares[i].block, blocks = b->shares[i].blocks;

                for (next = i + 1; next < b->n_shares && b->shares[next].block == block + blocks;)
                        blocks += b->shares[next++].blocks;
                r = erofs_blocks_write(w->target, s->out + first * EROFS_BLOCK_SIZE,
                                       s->digests + first, blocks, block, err);
                first += blocks;
        }
        return r;
}

static int write_batch(struct writer *w, struct workspace *s, size_t index, struct error *err)
{
        size_t pieces = w->image->batches[index + 1] - w->image->batches[index];
        _cleanup_free_ struct share *shares = calloc(pieces, sizeof(*shares));
        struct batch b = { .shares = shares };
        int r;

        if (!shares)
                return error_oom(err);
        r = pack_batch(w, s, index, &b, err);
        if (r >= 0)
                r = place_batch(w, index, &b, err);
        if (r >= 0 && !w->measure)
                r = write_shares(w, s, &b, err);
        return r < 0 ? r : keep_shares(w, s, &b, err);
}

static int do_batch(void *context, size_t index, struct error *err)
{
        struct writer *w = context;
        struct workspace *s = NULL;
        int r;

        r = take_workspace(w, &s, err);
        if (r >= 0) {
                r = write_batch(w, s, index, err);
                give_workspace(w, s);
        }
        if (r < 0)
                fail(w);
        return r;
}

/* ---- blocks ---- */

static int write_run(const struct erofs_target *t, const uint8_t *data, uint64_t blocks,
                     uint64_t block, struct error *err)
{
        uint64_t room = t->room / EROFS_BLOCK_SIZE, fits = block < room ? room - block : 0;

        blocks = MIN(blocks, fits);
        if (t->fd < 0 || blocks == 0)
                return 0;
        return io_pwrite(t->fd, data, blocks * EROFS_BLOCK_SIZE,
                         t->offset + block * EROFS_BLOCK_SIZE, err);
}

int erofs_blocks_write(const struct erofs_target *target, const uint8_t *data,
                       const struct sha256 *digests, uint64_t blocks, uint64_t block,
                       struct error *err)
{
        if (target->digests)
                memcpy(target->digests->items + block, digests, blocks * sizeof(*digests));
        for (uint64_t start = 0, end; start < blocks; start = end) {
                bool zero = sha256_equal(&digests[start], &zero_block_digest);
                int r = 0;

                for (end = start + 1;
                     end < blocks && sha256_equal(&digests[end], &zero_block_digest) == zero;)
                        end++;
                if (!zero)
                        r = write_run(target, data + start * EROFS_BLOCK_SIZE, end - start,
                                      block + start, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the data zone ---- */

static void writer_done(struct writer *w)
{
        while (w->idle) {
                struct workspace *next = w->idle->next;

                workspace_free(w->idle);
                w->idle = next;
        }
        pthread_cond_destroy(&w->turned);
        pthread_mutex_destroy(&w->lock);
}

/* Now that it shows: a file that did not shrink has the layout of plain ones, which needs no map.
 */
static void settle_layouts(struct erofs_image *image)
{
        for (size_t i = 0; i < image->n_files; i++) {
                struct erofs_item *file = image->files[i];

                file->blocks = file->done;
                if (file->blocks < erofs_item_plain_blocks(file))
                        file->layout = EROFS_COMPRESSED_COMPACT;
        }
}

/* Goes once through all contents. */
static int pass(struct writer *w, unsigned threads, struct error *err)
{
        struct erofs_image *image = w->image;
        int r;

        for (size_t i = 0; i < image->n_files; i++)
                image->files[i]->done = 0;
        w->block = 1;
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->turned, NULL);
        r = parallel_for(image->n_batches, threads, do_batch, w, err);
        writer_done(w);
        if (r < 0)
                return r;
        for (size_t i = 0; image->placed && i < image->n_files; i++)
                if (image->files[i]->done != image->files[i]->blocks)
                        return error_set(err, -EBADMSG,
                                         "a file is compressed otherwise than before");
        if (!image->placed) {
                settle_layouts(image);
                image->zone_block = w->block;
        }
        return 0;
}

int erofs_data_measure(struct erofs_image *image, const struct content_store *store,
                       unsigned threads, struct error *err)
{
        struct writer w = { .image = image, .store = store, .measure = true };

        return pass(&w, threads, err);
}

int erofs_data_write(struct erofs_image *image, const struct content_store *store,
                     const struct erofs_target *target, unsigned threads, struct error *err)
{
        struct writer w = { .image = image, .store = store, .target = target };

        return pass(&w, threads, err);
}
