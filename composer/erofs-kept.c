/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between the EROFS writer and the cache of compressed contents: files are known there by the
 * object that their content is. */

#include "erofs-internal.h"

/* Where in a file a batch begins is counted from the file's start, each time: larger files are not
 * kept. */
enum { PIECES_MAX = 4096 };

static uint32_t pieces_of(const struct erofs_image *image, const struct erofs_item *file)
{
        return (uint32_t)DIV_ROUND_UP(file->size, image->piece_size);
}

/* Blocks of one piece as it is kept; 0 when it cannot be one of this file. */
static uint32_t blocks_of(const struct erofs_image *image, const struct erofs_item *file,
                          uint32_t index)
{
        uint32_t plain = (uint32_t)DIV_ROUND_UP(erofs_piece_size(image, file, file->piece + index),
                                                EROFS_BLOCK_SIZE);
        uint16_t blocks = file->kept->piece_blocks[index];

        if (blocks >= plain)
                return 0;
        return blocks ?: plain;
}

/* Whether the extent is one of this file; the cache is not trusted. */
static bool fits(const struct erofs_image *image, const struct erofs_item *file)
{
        uint32_t blocks = 0;

        if (file->kept->pieces != pieces_of(image, file))
                return false;
        for (uint32_t i = 0; i < file->kept->pieces; i++) {
                uint32_t n = blocks_of(image, file, i);

                if (n == 0)
                        return false;
                blocks += n;
        }
        return blocks == file->kept->blocks;
}

void erofs_kept_find(const struct erofs_image *image, struct erofs_item *file)
{
        if (!image->cache || !file->compress || file->inode->kind != CONTENT_OBJECT)
                return;
        file->kept = extent_cache_find(image->cache, &file->inode->object);
        if (file->kept && !fits(image, file))
                file->kept = NULL;
}

/* Whether an earlier pass has put the whole file into the cache's new pack. */
static bool is_in_new_pack(const struct erofs_image *image, const struct erofs_item *file)
{
        return image->placed && file->cache_blocks > 0 && file->cache_blocks == file->blocks;
}

/* Blocks of pieces [piece, end) as image->piece_blocks has them. */
static uint32_t sum_blocks(const struct erofs_image *image, const struct erofs_item *file,
                           uint32_t piece, uint32_t end)
{
        uint32_t n = 0;

        for (; piece < end; piece++)
                n += image->piece_blocks[piece]
                             ?: (uint32_t)DIV_ROUND_UP(erofs_piece_size(image, file, piece),
                                                       EROFS_BLOCK_SIZE);
        return n;
}

uint32_t erofs_kept_blocks(struct erofs_image *image, const struct erofs_item *file, uint32_t piece,
                           uint32_t end)
{
        if (!file->kept)
                return 0;
        for (uint32_t i = piece; i < end; i++)
                image->piece_blocks[i] = file->kept->piece_blocks[i - file->piece];
        return sum_blocks(image, file, piece, end);
}

/* From an extent of an earlier build. */
static uint32_t load_kept(struct erofs_image *image, const struct erofs_item *file, uint32_t piece,
                          uint32_t end, uint8_t *out, struct sha256 *digests)
{
        uint32_t index = piece - file->piece, first = 0, n = 0;

        for (uint32_t i = 0; i < index; i++)
                first += blocks_of(image, file, i);
        for (uint32_t i = index; i < end - file->piece; i++)
                n += blocks_of(image, file, i);
        if (!extent_cache_read(image->cache, file->kept, first, n, out))
                return 0;
        memcpy(digests, file->kept->digests + first, n * sizeof(*digests));
        for (; piece < end; piece++)
                image->piece_blocks[piece] = file->kept->piece_blocks[piece - file->piece];
        return n;
}

uint32_t erofs_kept_load(struct erofs_image *image, const struct erofs_item *file, uint32_t piece,
                         uint32_t end, uint8_t *out, struct sha256 *digests)
{
        uint32_t first, n;

        if (file->kept)
                return load_kept(image, file, piece, end, out, digests);
        if (!is_in_new_pack(image, file))
                return 0;
        first = sum_blocks(image, file, file->piece, piece);
        n = sum_blocks(image, file, piece, end);
        if (!extent_cache_read_new(image->cache, file->cache_block + first, n, out))
                return 0;
        blocks_hash(out, n, digests);
        return n;
}

int erofs_kept_add(const struct erofs_image *image, const struct block_digests *digests,
                   struct error *err)
{
        for (size_t i = 0; i < image->n_files; i++) {
                const struct erofs_item *file = image->files[i];
                struct extent e = {
                        .object = file->inode->object,
                        .piece_blocks = image->piece_blocks + file->piece,
                        .pieces = pieces_of(image, file),
                        .digests = digests->items + file->block,
                        .blocks = file->blocks,
                        .block = file->cache_block,
                };
                int r = 0;

                if (file->cache_blocks > 0 && file->cache_blocks == file->blocks &&
                    e.pieces <= PIECES_MAX)
                        r = extent_cache_add(image->cache, &e, err);
                if (r < 0)
                        return r;
        }
        return 0;
}
