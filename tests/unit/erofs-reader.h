/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A reader for EROFS images, flat and compressed with compact maps, for tests: written from what
 * the kernel's zmap.c does and sharing no line with the writer, so that a misunderstanding there
 * cannot hide here. Every offset is checked against the image; false means that the image is
 * broken. */

#include <lz4.h>
#include <zstd.h>

#include "macro.h"

struct reader {
        const uint8_t *data;
        uint64_t size;
        uint64_t root_nid, inodes, build_time, blocks, meta_start;
        uint32_t algorithms; /* bits */
};

struct reader_inode {
        uint64_t nid, size, mtime, block;
        uint32_t mode, nlink, uid, gid, rdev, ino, layout;
        uint64_t xattrs, xattrs_size; /* offset in the image, bytes */
        uint64_t tail;                /* offset of inline data, or of the map */
};

struct reader_entry {
        const char *name;
        size_t length;
        uint64_t nid;
        uint8_t type;
};

enum { READER_BLOCK = 4096, READER_PLAIN = 0, READER_INLINE = 2, READER_COMPACT = 3 };

static inline uint64_t reader_number(const uint8_t *p, unsigned bytes)
{
        uint64_t value = 0;

        while (bytes-- > 0)
                value = value << 8 | p[bytes];
        return value;
}

/* size bytes at offset, or NULL when the image does not have them. */
static inline const uint8_t *reader_at(const struct reader *r, uint64_t offset, uint64_t size)
{
        return offset <= r->size && size <= r->size - offset ? r->data + offset : NULL;
}

static inline uint32_t reader_crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
        for (size_t bit = 0; bit < size * 8; bit++) {
                uint32_t in = data[bit / 8] >> bit % 8 & 1;

                crc = (crc & 1) ^ in ? crc >> 1 ^ 0x82F63B78U : crc >> 1;
        }
        return crc;
}

static inline bool reader_open(struct reader *r, const void *data, uint64_t size)
{
        static const uint8_t zeros[4] = {};
        const uint8_t *sb;
        uint32_t crc;

        *r = (struct reader){ .data = data, .size = size };
        sb = reader_at(r, 1024, READER_BLOCK - 1024);
        if (!sb || reader_number(sb, 4) != 0xE0F5E1E2 || sb[12] != 12)
                return false;
        if (!(reader_number(sb + 8, 4) & 1) || reader_number(sb + 80, 4) > 3)
                return false;
        if (reader_number(sb + 80, 4) != 0)
                r->algorithms = (uint32_t)reader_number(sb + 84, 2);
        crc = reader_crc32c(~0U, sb, 4);
        crc = reader_crc32c(crc, zeros, 4);
        crc = reader_crc32c(crc, sb + 8, READER_BLOCK - 1024 - 8);
        if (reader_number(sb + 4, 4) != crc)
                return false;
        r->root_nid = reader_number(sb + 14, 2);
        r->inodes = reader_number(sb + 16, 8);
        r->build_time = reader_number(sb + 24, 8);
        r->blocks = reader_number(sb + 36, 4);
        r->meta_start = reader_number(sb + 40, 4) * READER_BLOCK;
        return r->blocks * READER_BLOCK == size;
}

static inline bool reader_inode(const struct reader *r, uint64_t nid, struct reader_inode *ret)
{
        uint64_t offset = r->meta_start + nid * 32, length = 32, count;
        const uint8_t *p = reader_at(r, offset, 32);
        bool extended = p && (p[0] & 1);
        uint32_t u;

        if (!p || reader_number(p, 2) >> 4 != 0)
                return false;
        if (extended) {
                length = 64;
                p = reader_at(r, offset, length);
                if (!p)
                        return false;
        }
        *ret = (struct reader_inode){
                .nid = nid,
                .layout = p[0] >> 1 & 7,
                .mode = (uint32_t)reader_number(p + 4, 2),
                .nlink = (uint32_t)(extended ? reader_number(p + 44, 4) : reader_number(p + 6, 2)),
                .size = reader_number(p + 8, extended ? 8 : 4),
                .ino = (uint32_t)reader_number(p + 20, 4),
                .uid = (uint32_t)reader_number(p + 24, extended ? 4 : 2),
                .gid = (uint32_t)(extended ? reader_number(p + 28, 4) : reader_number(p + 26, 2)),
                .mtime = extended ? reader_number(p + 32, 8) : r->build_time,
        };
        u = (uint32_t)reader_number(p + 16, 4);
        ret->block = ret->rdev = u;
        count = reader_number(p + 2, 2);
        ret->xattrs = offset + length;
        ret->xattrs_size = count > 0 ? 12 + (count - 1) * 4 : 0;
        ret->tail = ret->xattrs + ret->xattrs_size;
        return ret->layout == READER_PLAIN || ret->layout == READER_INLINE ||
               (ret->layout == READER_COMPACT && r->algorithms != 0);
}

/* ---- compressed files ---- */

enum { READER_HEAD_PLAIN, READER_HEAD, READER_NONHEAD, READER_CLUSTER_MAX = 1024 * 1024 };

/* What the map says of one logical cluster. */
struct reader_lcluster {
        unsigned type, low; /* the entry's two parts */
        bool last;          /* of its pack */
        uint64_t block;     /* of a head */
};

static inline unsigned reader_entry_bits(const uint8_t *pack, unsigned width, unsigned i,
                                         unsigned *ret_type)
{
        unsigned bit = width * i;
        uint64_t value = reader_number(pack + bit / 8, 3) >> bit % 8;

        *ret_type = value >> 12 & 3;
        return value & 0xfff;
}

/* Where a pack is that has the lcluster, its entries, its size, and the lcluster's index in it. */
static inline const uint8_t *reader_pack(const struct reader *r, const struct reader_inode *inode,
                                         uint64_t lcluster, unsigned *ret_n, unsigned *ret_width,
                                         unsigned *ret_i)
{
        uint64_t start = (inode->tail + 7) / 8 * 8 + 8, total = (inode->size + 4095) / 4096;
        uint64_t first = (32 - start % 32) / 4 & 7, large = 0, position = start;
        bool small = true;

        if (first < total)
                large = (total - first) / 16 * 16;
        if (lcluster >= first) {
                position += first * 4;
                lcluster -= first;
                small = lcluster >= large;
                if (small) {
                        position += large * 2;
                        lcluster -= large;
                }
        }
        *ret_n = small ? 2 : 16;
        *ret_width = small ? 16 : 14;
        *ret_i = (unsigned)(lcluster % *ret_n);
        return reader_at(r, position + lcluster / *ret_n * (small ? 8 : 32), small ? 8 : 32);
}

static inline bool reader_lcluster(const struct reader *r, const struct reader_inode *inode,
                                   uint64_t lcluster, struct reader_lcluster *ret)
{
        unsigned n, width, i, type, low;
        const uint8_t *pack = reader_pack(r, inode, lcluster, &n, &width, &i);
        uint64_t blocks = 0;

        if (!pack)
                return false;
        ret->low = reader_entry_bits(pack, width, i, &ret->type);
        ret->last = i + 1 == n;
        for (int at = (int)i - 1; at >= 0; at--) { /* what lies before it in the pack */
                low = reader_entry_bits(pack, width, (unsigned)at, &type);
                if (type != READER_NONHEAD) {
                        blocks++;
                } else if (low & 0x800) {
                        blocks += low & 0x7ff;
                        at--;
                } else {
                        at -= (int)low - 2; /* to the one behind the head, whose turn it is next */
                }
        }
        ret->block = reader_number(pack + (n == 2 ? 4 : 28), 4) + blocks;
        return true;
}

/* The head of the lcluster's extent, and the extent's end. */
static inline bool reader_extent(const struct reader *r, const struct reader_inode *inode,
                                 uint64_t lcluster, uint64_t *ret_head, uint64_t *ret_end,
                                 struct reader_lcluster *ret)
{
        uint64_t total = (inode->size + 4095) / 4096, end = lcluster + 1;
        struct reader_lcluster l;

        while (reader_lcluster(r, inode, lcluster, ret) && ret->type == READER_NONHEAD) {
                uint64_t distance = ret->low & 0x800 ? 1 : ret->low;

                if (ret->last && !(ret->low & 0x800)) { /* it tells of the next head instead */
                        if (end + ret->low - 1 > total)
                                return false;
                        if (lcluster == 0 || !reader_lcluster(r, inode, lcluster - 1, &l))
                                return false;
                        distance = 1;
                        if (l.type == READER_NONHEAD)
                                distance += l.low & 0x800 ? 1 : l.low;
                }
                if (distance == 0 || distance > lcluster)
                        return false;
                lcluster -= distance;
        }
        for (; end < total; end++)
                if (!reader_lcluster(r, inode, end, &l) || l.type != READER_NONHEAD)
                        break;
        *ret_head = lcluster;
        *ret_end = end;
        return ret->type < READER_NONHEAD && (ret->low == 0);
}

/* The bytes of an extent; NULL when broken. They stay until the next call. */
static inline const uint8_t *reader_decompress(const struct reader *r,
                                               const struct reader_inode *inode, uint64_t head,
                                               uint64_t end, const struct reader_lcluster *l)
{
        static uint8_t out[READER_CLUSTER_MAX];
        const uint8_t *header = reader_at(r, (inode->tail + 7) / 8 * 8, 8), *data;
        uint64_t size = (end * 4096 < inode->size ? end * 4096 : inode->size) - head * 4096;
        uint64_t blocks = 1, packed;
        struct reader_lcluster next;

        if (l->type == READER_HEAD_PLAIN)
                return end == head + 1 ? reader_at(r, l->block * READER_BLOCK, size) : NULL;
        if (!header || size > sizeof(out))
                return NULL;
        if (end > head + 1) {
                if (!reader_lcluster(r, inode, head + 1, &next) || !(next.low & 0x800))
                        return NULL;
                blocks = next.low & 0x7ff;
        }
        packed = blocks * READER_BLOCK;
        data = reader_at(r, l->block * READER_BLOCK, packed);
        for (unsigned i = 0; data && i < READER_BLOCK && *data == 0; i++, data++)
                packed--;
        if (!data || !(r->algorithms & 1U << header[6]))
                return NULL;
        if (header[6] == 0)
                return (uint64_t)LZ4_decompress_safe((const char *)data, (char *)out, (int)packed,
                                                     (int)size) == size
                               ? out
                               : NULL;
        return header[6] == 3 && ZSTD_decompress(out, size, data, packed) == size ? out : NULL;
}

/* Block i of the inode's data: *ret_length bytes at the returned address; NULL when broken. */
static inline const uint8_t *reader_block(const struct reader *r, const struct reader_inode *inode,
                                          uint64_t i, size_t *ret_length)
{
        uint64_t n = (inode->size + READER_BLOCK - 1) / READER_BLOCK;
        uint64_t left = inode->size - i * READER_BLOCK;
        size_t length = left < READER_BLOCK ? (size_t)left : READER_BLOCK;

        *ret_length = length;
        if (i >= n)
                return NULL;
        if (inode->layout == READER_COMPACT) {
                struct reader_lcluster l;
                uint64_t head, end;
                const uint8_t *extent;

                if (!reader_extent(r, inode, i, &head, &end, &l))
                        return NULL;
                extent = reader_decompress(r, inode, head, end, &l);
                return extent ? extent + (i - head) * READER_BLOCK : NULL;
        }
        if (inode->layout == READER_PLAIN || i + 1 < n)
                return reader_at(r, (inode->block + i) * READER_BLOCK, length);
        /* The kernel refuses inline data that crosses a block. */
        if (inode->tail % READER_BLOCK + length > READER_BLOCK)
                return NULL;
        return reader_at(r, inode->tail, length);
}

static inline size_t reader_entries(const uint8_t *block, size_t length)
{
        size_t first = length >= 12 ? (size_t)reader_number(block + 8, 2) : 0;

        return first % 12 == 0 && first <= length ? first / 12 : 0;
}

/* Entry i of a directory block. */
static inline bool reader_entry(const uint8_t *block, size_t length, size_t i,
                                struct reader_entry *ret)
{
        size_t n = reader_entries(block, length), start, end = length;

        if (i >= n)
                return false;
        start = (size_t)reader_number(block + i * 12 + 8, 2);
        if (i + 1 < n)
                end = (size_t)reader_number(block + (i + 1) * 12 + 8, 2);
        if (start < n * 12 || end <= start || end > length)
                return false;
        ret->name = (const char *)block + start;
        ret->length = i + 1 < n ? end - start : strnlen(ret->name, end - start);
        ret->nid = reader_number(block + i * 12, 8);
        ret->type = block[i * 12 + 10];
        return ret->length > 0 && ret->length <= 255;
}

static inline int reader_compare(const struct reader_entry *e, const char *name, size_t length)
{
        int order = memcmp(e->name, name, MIN(e->length, length));

        return order != 0 ? order : (e->length > length) - (e->length < length);
}

/* Finds a name as the kernel does: binary search for the block, then within it. */
static inline bool reader_lookup(const struct reader *r, const struct reader_inode *directory,
                                 const char *name, struct reader_entry *ret)
{
        uint64_t low = 0, high = (directory->size + READER_BLOCK - 1) / READER_BLOCK;
        size_t want = strlen(name), length, first, last;
        const uint8_t *block;

        while (high - low > 1) {
                uint64_t middle = low + (high - low) / 2;

                block = reader_block(r, directory, middle, &length);
                if (!block || !reader_entry(block, length, 0, ret))
                        return false;
                if (reader_compare(ret, name, want) <= 0)
                        low = middle;
                else
                        high = middle;
        }
        block = reader_block(r, directory, low, &length);
        if (!block)
                return false;
        first = 0;
        last = reader_entries(block, length);
        while (first < last) {
                size_t middle = first + (last - first) / 2;
                int order;

                if (!reader_entry(block, length, middle, ret))
                        return false;
                order = reader_compare(ret, name, want);
                if (order == 0)
                        return true;
                if (order < 0)
                        first = middle + 1;
                else
                        last = middle;
        }
        return false;
}

/* The xattr at *cursor (start with 0) of the inode's area; false at the end or when broken, *cursor
 * tells which: it is the area's size at the end. */
static inline bool reader_xattr(const struct reader *r, const struct reader_inode *inode,
                                uint64_t *cursor, char *ret_name /* 300 bytes */,
                                const uint8_t **ret_value, size_t *ret_size)
{
        static const char *const prefixes[] = {
                NULL,
                "user.",
                "system.posix_acl_access",
                "system.posix_acl_default",
                "trusted.",
                NULL,
                "security.",
        };
        const uint8_t *area = reader_at(r, inode->xattrs, inode->xattrs_size), *entry;
        size_t length, size, all;

        if (!area || inode->xattrs_size == 0)
                return false;
        if (*cursor == 0)
                *cursor = 12 + (uint64_t)area[4] * 4;
        if (*cursor + 4 > inode->xattrs_size)
                return false;
        entry = area + *cursor;
        length = entry[0];
        size = (size_t)reader_number(entry + 2, 2);
        all = (4 + length + size + 3) / 4 * 4;
        if (*cursor + all > inode->xattrs_size || entry[1] >= ARRAY_SIZE(prefixes) ||
            !prefixes[entry[1]])
                return false;
        snprintf(ret_name, 300, "%s%.*s", prefixes[entry[1]], (int)length, entry + 4);
        *ret_value = entry + 4 + length;
        *ret_size = size;
        *cursor += all;
        return true;
}
