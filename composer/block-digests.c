/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See block-digests.h. */

#include <assert.h>
#include <endian.h>

#include "block-digests.h"
#include "io.h"
#include "parallel.h"

enum { PIECE_SIZE = 64 * 1024 }; /* what is read at once */

int block_digests_init(struct block_digests *b, uint64_t count, struct error *err)
{
        *b = (struct block_digests){ .items = calloc(MAX(count, 1ULL), sizeof(*b->items)),
                                     .count = count };
        if (!b->items)
                return error_oom(err);
        for (uint64_t i = 0; i < count; i++)
                b->items[i] = zero_block_digest;
        return 0;
}

void block_digests_done(struct block_digests *b)
{
        free(b->items);
        *b = (struct block_digests){};
}

void block_digests_set(struct block_digests *b, uint64_t first, const void *data, uint64_t count)
{
        assert(first + count <= b->count);
        blocks_hash(data, count, &b->items[first]);
}

int block_digests_of(struct block_digests *b, const void *data, uint64_t size, struct error *err)
{
        uint64_t whole = size / BLOCK_SIZE, blocks = DIV_ROUND_UP(size, BLOCK_SIZE);
        uint8_t last[BLOCK_SIZE] = {};
        int r = block_digests_init(b, blocks, err);

        if (r < 0)
                return r;
        block_digests_set(b, 0, data, whole);
        if (whole < blocks) {
                memcpy(last, (const uint8_t *)data + whole * BLOCK_SIZE, size % BLOCK_SIZE);
                block_digests_set(b, whole, last, 1);
        }
        return 0;
}

int block_digests_fill(struct block_digests *b, uint64_t first, int fd, uint64_t offset,
                       uint64_t size, struct error *err)
{
        uint8_t buffer[PIECE_SIZE];

        for (uint64_t done = 0; done < size; done += PIECE_SIZE) {
                size_t n = (size_t)MIN(size - done, (uint64_t)PIECE_SIZE), got;
                int r = io_pread(fd, buffer, n, offset + done, &got, err);

                if (r < 0)
                        return r;
                if (got < n)
                        return error_set(err, -ENODATA, "file ends early");
                memset(buffer + n, 0, PIECE_SIZE - n);
                block_digests_set(b, first + done / BLOCK_SIZE, buffer,
                                  DIV_ROUND_UP(n, BLOCK_SIZE));
        }
        return 0;
}

int block_digests_read(struct block_digests *b, int fd, uint64_t offset, uint64_t size,
                       struct error *err)
{
        struct block_digests read;
        int r = block_digests_init(&read, DIV_ROUND_UP(size, BLOCK_SIZE), err);

        if (r >= 0)
                r = block_digests_fill(&read, 0, fd, offset, size, err);
        if (r < 0)
                block_digests_done(&read);
        else
                *b = read;
        return r;
}

bool block_digests_zero(const struct block_digests *b, uint64_t first, uint64_t count)
{
        for (uint64_t i = 0; i < count; i++)
                if (!sha256_equal(&b->items[first + i], &zero_block_digest))
                        return false;
        return true;
}

bool known_blocks_find(const struct known_blocks *known, uint64_t offset, uint64_t size,
                       uint64_t *ret_first)
{
        if (!known || offset < known->offset ||
            offset + size > known->offset + known->digests->count * BLOCK_SIZE)
                return false;
        *ret_first = (offset - known->offset) / BLOCK_SIZE;
        return true;
}

/* ---- sparse files ---- */

enum {
        CHUNK_SIZE = 1024 * 1024,
        CHUNK_BLOCKS = CHUNK_SIZE / BLOCK_SIZE,
        WINDOW_CHUNKS = 64, /* are read side by side */
};

struct chunk {
        uint64_t offset, size;
        bool known;
        uint64_t first; /* of its digests, among those that are known, or in the window */
};

struct sparse {
        int fd;
        uint64_t size;
        const struct known_blocks *known;
        unsigned threads;
        struct hasher hasher;
        struct chunk chunks[WINDOW_CHUNKS];
        size_t count;
        struct block_digests window; /* of what had to be read */
};

static void sparse_done(struct sparse *s)
{
        hasher_done(&s->hasher);
        block_digests_done(&s->window);
}

static void update_number(struct hasher *h, uint64_t number)
{
        number = htole64(number);
        hasher_update(h, &number, sizeof(number));
}

static int read_chunk(void *context, size_t index, struct error *err)
{
        struct sparse *s = context;
        const struct chunk *c = &s->chunks[index];

        return c->known ? 0
                        : block_digests_fill(&s->window, c->first, s->fd, c->offset, c->size, err);
}

/* What has been collected goes into the digest, in order. */
static int add_window(struct sparse *s, struct error *err)
{
        int r = parallel_for(s->count, s->threads, read_chunk, s, err);

        for (size_t i = 0; r >= 0 && i < s->count; i++) {
                const struct chunk *c = &s->chunks[i];
                const struct block_digests *from = c->known ? s->known->digests : &s->window;
                uint64_t blocks = DIV_ROUND_UP(c->size, BLOCK_SIZE);

                if (block_digests_zero(from, c->first, blocks))
                        continue;
                update_number(&s->hasher, c->offset);
                hasher_update(&s->hasher, &from->items[c->first], blocks * sizeof(*from->items));
        }
        s->count = 0;
        return r;
}

static int add_chunk(struct sparse *s, uint64_t offset, struct error *err)
{
        struct chunk *c = &s->chunks[s->count];

        *c = (struct chunk){ .offset = offset,
                             .size = MIN(s->size - offset, (uint64_t)CHUNK_SIZE),
                             .first = s->count * CHUNK_BLOCKS };
        c->known = known_blocks_find(s->known, offset, ROUND_UP(c->size, BLOCK_SIZE), &c->first);
        s->count++;
        return s->count < WINDOW_CHUNKS ? 0 : add_window(s, err);
}

static int add_chunks(struct sparse *s, struct error *err)
{
        uint64_t offset = 0;
        int r = 0;

        update_number(&s->hasher, s->size);
        while (r >= 0 && offset < s->size) {
                off_t data = lseek(s->fd, (off_t)offset, SEEK_DATA);

                if (data < 0 && errno == ENXIO) /* a hole to the end */
                        break;
                if (data > 0)
                        offset = (uint64_t)data / CHUNK_SIZE * CHUNK_SIZE;
                r = add_chunk(s, offset, err);
                offset += CHUNK_SIZE;
        }
        return r < 0 ? r : add_window(s, err);
}

int sparse_digest(int fd, uint64_t size, const struct known_blocks *known, unsigned threads,
                  struct sha256 *ret, struct error *err)
{
        _cleanup_(sparse_done) struct sparse s = {
                .fd = fd,
                .size = size,
                .known = known,
                .threads = threads,
        };
        int r = block_digests_init(&s.window, WINDOW_CHUNKS * CHUNK_BLOCKS, err);

        if (r >= 0)
                r = hasher_init(&s.hasher, err);
        if (r >= 0)
                r = add_chunks(&s, err);
        return r < 0 ? r : hasher_final(&s.hasher, ret, err);
}
