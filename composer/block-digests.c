/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See block-digests.h. */

#include <assert.h>
#include <endian.h>

#include "block-digests.h"
#include "io.h"

enum { CHUNK_SIZE = 1024 * 1024, CHUNK_BLOCKS = CHUNK_SIZE / BLOCK_SIZE };

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

static int read_blocks(struct block_digests *b, int fd, uint64_t offset, uint64_t size,
                       struct error *err)
{
        _cleanup_free_ uint8_t *buffer = malloc(CHUNK_SIZE);

        if (!buffer)
                return error_oom(err);
        for (uint64_t done = 0; done < size; done += CHUNK_SIZE) {
                size_t n = (size_t)MIN(size - done, (uint64_t)CHUNK_SIZE), got;
                int r = io_pread(fd, buffer, n, offset + done, &got, err);

                if (r < 0)
                        return r;
                if (got < n)
                        return error_set(err, -ENODATA, "file ends early");
                memset(buffer + n, 0, CHUNK_SIZE - n);
                block_digests_set(b, done / BLOCK_SIZE, buffer, DIV_ROUND_UP(n, BLOCK_SIZE));
        }
        return 0;
}

int block_digests_read(struct block_digests *b, int fd, uint64_t offset, uint64_t size,
                       struct error *err)
{
        struct block_digests read;
        int r = block_digests_init(&read, DIV_ROUND_UP(size, BLOCK_SIZE), err);

        if (r >= 0)
                r = read_blocks(&read, fd, offset, size, err);
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

struct sparse {
        int fd;
        uint64_t size;
        const struct known_blocks *known;
        struct hasher hasher;
        uint8_t *buffer;
        struct block_digests chunk; /* of what is in the buffer */
};

static void sparse_done(struct sparse *s)
{
        hasher_done(&s->hasher);
        free(s->buffer);
        block_digests_done(&s->chunk);
}

static void update_number(struct hasher *h, uint64_t number)
{
        number = htole64(number);
        hasher_update(h, &number, sizeof(number));
}

/* Digests of the chunk's blocks; a last, partial one counts as if zeros followed. */
static int read_chunk(struct sparse *s, uint64_t offset, uint64_t size, struct error *err)
{
        size_t got;
        int r = io_pread(s->fd, s->buffer, size, offset, &got, err);

        if (r < 0)
                return r;
        if (got < size)
                return error_set(err, -ENODATA, "file ends early");
        memset(s->buffer + size, 0, CHUNK_SIZE - size);
        block_digests_set(&s->chunk, 0, s->buffer, DIV_ROUND_UP(size, BLOCK_SIZE));
        return 0;
}

static int add_chunk(struct sparse *s, uint64_t offset, struct error *err)
{
        uint64_t size = MIN(s->size - offset, (uint64_t)CHUNK_SIZE), first = 0;
        uint64_t count = DIV_ROUND_UP(size, BLOCK_SIZE);
        const struct block_digests *from = &s->chunk;

        if (known_blocks_find(s->known, offset, count * BLOCK_SIZE, &first)) {
                from = s->known->digests;
        } else {
                int r = read_chunk(s, offset, size, err);

                if (r < 0)
                        return r;
        }
        if (block_digests_zero(from, first, count))
                return 0;
        update_number(&s->hasher, offset);
        hasher_update(&s->hasher, &from->items[first], count * sizeof(*from->items));
        return 0;
}

static int add_chunks(struct sparse *s, struct error *err)
{
        uint64_t offset = 0;
        int r;

        update_number(&s->hasher, s->size);
        while (offset < s->size) {
                off_t data = lseek(s->fd, (off_t)offset, SEEK_DATA);

                if (data < 0 && errno == ENXIO) /* a hole to the end */
                        return 0;
                if (data > 0)
                        offset = (uint64_t)data / CHUNK_SIZE * CHUNK_SIZE;
                r = add_chunk(s, offset, err);
                if (r < 0)
                        return r;
                offset += CHUNK_SIZE;
        }
        return 0;
}

int sparse_digest(int fd, uint64_t size, const struct known_blocks *known, struct sha256 *ret,
                  struct error *err)
{
        _cleanup_(sparse_done) struct sparse s = {
                .fd = fd,
                .size = size,
                .known = known,
                .buffer = malloc(CHUNK_SIZE),
        };
        int r;

        if (!s.buffer)
                return error_oom(err);
        r = block_digests_init(&s.chunk, CHUNK_BLOCKS, err);
        if (r >= 0)
                r = hasher_init(&s.hasher, err);
        if (r >= 0)
                r = add_chunks(&s, err);
        return r < 0 ? r : hasher_final(&s.hasher, ret, err);
}
