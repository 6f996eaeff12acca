/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The map of a compressed file: which blocks hold which part of it. Compact maps cost about 2 bytes
 * for each of the file's blocks, full ones 8; docs/formats.md has the measurement. */

#include <endian.h>

#include "erofs-internal.h"

/* Which lclusters are in packs of which kind, in this order. */
struct packs {
        uint64_t small_first, large, small_last;
};

static uint64_t header_position(const struct erofs_item *item)
{
        return ROUND_UP(item->position + item->inode_size + item->xattr_size,
                        sizeof(struct erofs_map_header));
}

/* Inodes stand at multiples of 32, so where the packs begin within 32 bytes follows from sizes. */
static struct packs packs_of(const struct erofs_item *item)
{
        uint64_t n = DIV_ROUND_UP(item->size, EROFS_BLOCK_SIZE);
        uint64_t start = header_position(item) + sizeof(struct erofs_map_header);
        uint64_t unaligned = (EROFS_PACK_LARGE_SIZE - start % EROFS_PACK_LARGE_SIZE) %
                             EROFS_PACK_LARGE_SIZE / (EROFS_PACK_SMALL_SIZE / EROFS_PACK_SMALL);
        struct packs p = { .small_first = MIN(unaligned, n) };

        p.large = (n - p.small_first) / EROFS_PACK_LARGE * EROFS_PACK_LARGE;
        p.small_last = n - p.small_first - p.large;
        return p;
}

static uint64_t small_size(uint64_t lclusters)
{
        return DIV_ROUND_UP(lclusters, EROFS_PACK_SMALL) * EROFS_PACK_SMALL_SIZE;
}

uint64_t erofs_map_size(const struct erofs_item *item)
{
        struct packs p = packs_of(item);

        return header_position(item) - (item->position + item->inode_size + item->xattr_size) +
               sizeof(struct erofs_map_header) + small_size(p.small_first) +
               p.large / EROFS_PACK_LARGE * EROFS_PACK_LARGE_SIZE + small_size(p.small_last);
}

/* ---- lclusters ---- */

/* Goes through a file's lclusters. */
struct cursor {
        const struct erofs_image *image;
        const struct erofs_item *item;
        uint64_t next;  /* lcluster */
        uint32_t block; /* where the pcluster of the next one, if it is a head, begins */
};

struct lcluster {
        enum erofs_lcluster_type type;
        uint32_t block;    /* of heads */
        uint16_t blocks;   /* of the first one behind a head: the pcluster's, else 0 */
        uint16_t distance; /* to the head */
        uint16_t left;     /* to the next head */
};

static struct lcluster cursor_next(struct cursor *c)
{
        uint32_t in_piece = c->image->piece_size / EROFS_BLOCK_SIZE;
        uint64_t n = DIV_ROUND_UP(c->item->size, EROFS_BLOCK_SIZE), lcluster = c->next++;
        uint16_t at = (uint16_t)(lcluster % in_piece);
        uint16_t blocks = c->image->piece_blocks[c->item->piece + lcluster / in_piece];
        struct lcluster l = { .block = c->block };

        if (blocks == 0) {
                c->block++;
                return l;
        }
        l.type = at == 0 ? EROFS_LCLUSTER_HEAD : EROFS_LCLUSTER_NONHEAD;
        l.distance = at;
        l.left = (uint16_t)MIN((uint64_t)in_piece - at, n - lcluster);
        l.blocks = at == 1 ? blocks : 0;
        if (at == 0)
                c->block += blocks;
        return l;
}

/* ---- packs ---- */

static uint16_t entry_of(const struct lcluster *l, bool last)
{
        uint16_t low = 0;

        if (l->blocks > 0)
                low = (uint16_t)(EROFS_LCLUSTER_BLOCK_COUNT | l->blocks);
        else if (l->type == EROFS_LCLUSTER_NONHEAD)
                low = last ? l->left : l->distance;
        return (uint16_t)(low | l->type << EROFS_LCLUSTER_LOW_BITS);
}

/* Fields of `bits` bits, one behind the other. */
static void put_bits(uint8_t *pack, unsigned index, unsigned bits, uint16_t value)
{
        for (unsigned i = 0; i < bits; i++) {
                unsigned bit = index * bits + i;

                pack[bit / 8] |= (uint8_t)((value >> i & 1) << bit % 8);
        }
}

/* n lclusters, not more than the pack's `entries`, to a pack of `size` bytes. */
static void encode_pack(struct cursor *c, unsigned n, unsigned entries, unsigned size,
                        uint8_t *pack)
{
        unsigned bits = (size - (unsigned)sizeof(__le32)) * 8 / entries;
        uint32_t before = 0, base = 0;
        bool found = false;

        for (unsigned i = 0; i < n; i++) {
                struct lcluster l = cursor_next(c);

                if (i == 0)
                        before = l.blocks;
                if (!found && l.type != EROFS_LCLUSTER_NONHEAD) {
                        base = l.block - before;
                        found = true;
                }
                put_bits(pack, i, bits, entry_of(&l, i + 1 == entries));
        }
        base = htole32(base);
        memcpy(pack + size - sizeof(base), &base, sizeof(base));
}

static uint8_t *encode_packs(struct cursor *c, uint64_t lclusters, unsigned entries, unsigned size,
                             uint8_t *pack)
{
        for (uint64_t n; lclusters > 0; lclusters -= n, pack += size) {
                n = MIN(lclusters, (uint64_t)entries);
                encode_pack(c, (unsigned)n, entries, size, pack);
        }
        return pack;
}

void erofs_map_encode(const struct erofs_image *image, const struct erofs_item *item, uint8_t *map)
{
        bool zstd = image->codec.kind == CODEC_ZSTD;
        struct erofs_map_header header = {
                .h_advise = htole16(EROFS_ADVISE_COMPACTED_2B | EROFS_ADVISE_BIG_PCLUSTER_1 |
                                    EROFS_ADVISE_BIG_PCLUSTER_2),
                .h_algorithmtype = zstd ? EROFS_ALGORITHM_ZSTD : EROFS_ALGORITHM_LZ4,
        };
        struct cursor c = { .image = image, .item = item, .block = item->block };
        struct packs p = packs_of(item);

        map += header_position(item) - (item->position + item->inode_size + item->xattr_size);
        memcpy(map, &header, sizeof(header));
        map += sizeof(header);
        map = encode_packs(&c, p.small_first, EROFS_PACK_SMALL, EROFS_PACK_SMALL_SIZE, map);
        map = encode_packs(&c, p.large, EROFS_PACK_LARGE, EROFS_PACK_LARGE_SIZE, map);
        encode_packs(&c, p.small_last, EROFS_PACK_SMALL, EROFS_PACK_SMALL_SIZE, map);
}
