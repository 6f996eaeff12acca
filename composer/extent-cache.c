/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See extent-cache.h. A pack is "derived/extents.PARAMETERS.NUMBER":
 *
 *   blocks of 4096 bytes
 *   index: for each extent its object, first block, numbers of blocks and pieces, and 0 (32 bits
 *          each), the blocks of each piece (16 bits each, then zeros up to a multiple of 8 bytes),
 *          the CRC-64 and then the sha256 of each block
 *   footer: magic, offset and size of the index (64 bits each), the index's sha256
 *
 * Numbers are in this machine's byte order, as the cache stays here. NUMBER is of the index's
 * digest. Packs are not synced: what a power cut does to one shows in its digests. */

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

#include "block-digests.h"
#include "extent-cache.h"
#include "io.h"
#include "strv.h"
#include "xz.h"

enum {
        PACKS_MAX = 8, /* beyond, a build gathers */
        PREFIX_MAX = 64,
        INDEX_MAX = 256 * 1024 * 1024,
};

#define PACKS_SIZE_MAX (2 * GIB) /* the same, in bytes of all packs */

static const char magic[8] = "SLWEXT2";

struct footer {
        char magic[8];
        uint64_t index_offset, index_size;
        struct sha256 index_digest;
} _packed_;

struct record_header {
        struct sha256 object;
        uint32_t block, blocks, pieces, zero;
} _packed_;

struct pack {
        char *name;
        int fd;
        char *index;
        bool damaged;
};

struct extent_cache {
        int directory;
        char prefix[PREFIX_MAX]; /* of names: "extents.PARAMETERS." */
        struct pack *packs;
        size_t n_packs, packs_capacity;
        uint64_t size; /* of all packs */
        bool gather;
        struct extent *extents; /* sorted by object */
        size_t n_extents, extents_capacity;
        pthread_mutex_t lock; /* of the marks of damage */
        struct draft draft;
        uint32_t next;       /* block of the new pack */
        uint64_t *checksums; /* of its blocks */
        size_t checksums_capacity;
        struct buffer index;
};

/* ---- reading a pack ---- */

/* One extent of an index; 0 at its end, -EBADMSG when it is none. */
static int parse_extent(const char **at, const char *end, uint64_t pack_blocks, struct extent *ret)
{
        struct record_header h;
        size_t left = (size_t)(end - *at), pieces_size, checksums_size, digests_size;

        if (left == 0)
                return 0;
        if (left < sizeof(h))
                return -EBADMSG;
        memcpy(&h, *at, sizeof(h));
        *ret = (struct extent){
                .object = h.object, .block = h.block, .blocks = h.blocks, .pieces = h.pieces
        };
        pieces_size = ROUND_UP(ret->pieces * sizeof(uint16_t), sizeof(uint64_t));
        checksums_size = ret->blocks * sizeof(uint64_t);
        digests_size = ret->blocks * sizeof(struct sha256);
        left -= sizeof(h);
        if (left < pieces_size || left - pieces_size < checksums_size + digests_size ||
            (uint64_t)ret->block + ret->blocks > pack_blocks)
                return -EBADMSG;
        ret->piece_blocks = (const uint16_t *)(*at + sizeof(h));
        ret->checksums = (const uint64_t *)(*at + sizeof(h) + pieces_size);
        ret->digests = (const struct sha256 *)(ret->checksums + ret->blocks);
        *at += sizeof(h) + pieces_size + checksums_size + digests_size;
        return 1;
}

static int add_extents(struct extent_cache *c, const char *index, size_t size, uint64_t blocks,
                       struct error *err)
{
        const char *at = index, *end = index + size;
        struct extent e;
        int r;

        while ((r = parse_extent(&at, end, blocks, &e)) > 0) {
                e.pack = (uint32_t)c->n_packs;
                if (array_reserve(&c->extents, &c->extents_capacity, c->n_extents + 1, sizeof(e)) <
                    0)
                        return error_oom(err);
                c->extents[c->n_extents++] = e;
        }
        return r < 0 ? error_set(err, r, "its index is damaged") : 0;
}

static int load_index(int fd, uint64_t *ret_blocks, char **ret, size_t *ret_size, struct error *err)
{
        _cleanup_free_ char *index = NULL;
        struct sha256 digest;
        struct footer f;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "stat");
        if ((size_t)st.st_size < sizeof(f))
                return error_set(err, -EBADMSG, "too short");
        r = io_pread(fd, &f, sizeof(f), (uint64_t)st.st_size - sizeof(f), NULL, err);
        if (r < 0)
                return r;
        *ret_blocks = f.index_offset / BLOCK_SIZE;
        *ret_size = f.index_size;
        if (memcmp(f.magic, magic, sizeof(magic)) != 0 || *ret_size > INDEX_MAX ||
            f.index_offset + *ret_size + sizeof(f) != (uint64_t)st.st_size)
                return error_set(err, -EBADMSG, "no footer");
        index = malloc(*ret_size + 1);
        if (!index)
                return error_oom(err);
        r = io_pread(fd, index, *ret_size, f.index_offset, NULL, err);
        if (r < 0)
                return r;
        sha256_of(index, *ret_size, &digest);
        if (!sha256_equal(&digest, &f.index_digest))
                return error_set(err, -EBADMSG, "its index is damaged");
        *ret = TAKE_PTR(index);
        return 0;
}

static void pack_done(struct pack *p)
{
        free(p->name);
        free(p->index);
        close_p(&p->fd);
        *p = (struct pack){ .fd = -1 };
}

static int add_pack(struct extent_cache *c, const char *name, struct error *err)
{
        _cleanup_(pack_done) struct pack p = { .name = strdup(name), .fd = -1 };
        size_t size = 0, before = c->n_extents;
        uint64_t blocks = 0;
        int r;

        if (!p.name || array_reserve(&c->packs, &c->packs_capacity, c->n_packs + 1, sizeof(p)) < 0)
                return error_oom(err);
        p.fd = openat(c->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (p.fd < 0)
                return error_errno(err, "%s", name);
        r = load_index(p.fd, &blocks, &p.index, &size, err);
        if (r >= 0)
                r = add_extents(c, p.index, size, blocks, err);
        if (r < 0) {
                c->n_extents = before;
                return r;
        }
        (void)!futimens(p.fd, NULL); /* not to be pruned */
        c->size += blocks * BLOCK_SIZE;
        c->packs[c->n_packs++] = p;
        p = (struct pack){ .fd = -1 };
        return 0;
}

static int compare_extents(const void *a, const void *b)
{
        return memcmp(&((const struct extent *)a)->object, &((const struct extent *)b)->object,
                      sizeof(struct sha256));
}

static int add_packs(struct extent_cache *c, struct error *err)
{
        _cleanup_closedir_ DIR *dir = NULL;
        int copy = openat(c->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (copy < 0)
                return error_errno(err, "derived");
        dir = fdopendir(copy);
        if (!dir) {
                close(copy);
                return error_errno(err, "derived");
        }
        for (struct dirent *e; (e = readdir(dir));) {
                int r = startswith(e->d_name, c->prefix) ? add_pack(c, e->d_name, err) : 0;

                if (r == -ENOMEM)
                        return r;
                if (r == -EBADMSG)
                        (void)!unlinkat(c->directory, e->d_name, 0);
        }
        if (c->n_extents > 0)
                qsort(c->extents, c->n_extents, sizeof(*c->extents), compare_extents);
        return 0;
}

int extent_cache_open(int cache_fd, const char *parameters, struct extent_cache **ret,
                      struct error *err)
{
        _cleanup_(extent_cache_free_p) struct extent_cache *c = calloc(1, sizeof(*c));
        char hex[SHA256_HEX_SIZE];
        struct sha256 digest;
        int r;

        if (!c)
                return error_oom(err);
        c->draft = (struct draft)DRAFT_NULL;
        pthread_mutex_init(&c->lock, NULL);
        sha256_of(parameters, strlen(parameters), &digest);
        snprintf(c->prefix, sizeof(c->prefix), "extents.%.16s.", sha256_hex(&digest, hex));
        c->directory = path_open_dir(cache_fd, "derived", 0755, err);
        if (c->directory < 0)
                return c->directory;
        r = add_packs(c, err);
        c->gather = c->n_packs > PACKS_MAX || c->size > PACKS_SIZE_MAX;
        if (r >= 0)
                *ret = TAKE_PTR(c);
        return r;
}

void extent_cache_free(struct extent_cache *c)
{
        if (!c)
                return;
        draft_done(&c->draft);
        for (size_t i = 0; i < c->n_packs; i++)
                pack_done(&c->packs[i]);
        free(c->packs);
        free(c->extents);
        free(c->checksums);
        buffer_done(&c->index);
        pthread_mutex_destroy(&c->lock);
        close_p(&c->directory);
        free(c);
}

/* ---- finding ---- */

const struct extent *extent_cache_find(const struct extent_cache *c, const struct sha256 *object)
{
        struct extent key = { .object = *object };

        return c->n_extents > 0
                       ? bsearch(&key, c->extents, c->n_extents, sizeof(key), compare_extents)
                       : NULL;
}

static bool read_blocks(int fd, uint64_t block, uint32_t blocks, void *buffer)
{
        size_t size = (size_t)blocks * BLOCK_SIZE, got;

        return io_pread(fd, buffer, size, block * BLOCK_SIZE, &got, NULL) == 0 && got == size;
}

/* The pack will be removed. */
static void mark_damaged(struct extent_cache *c, uint32_t pack)
{
        pthread_mutex_lock(&c->lock);
        c->packs[pack].damaged = true;
        pthread_mutex_unlock(&c->lock);
}

bool extent_cache_read(struct extent_cache *c, const struct extent *e, uint32_t first,
                       uint32_t blocks, void *buffer)
{
        _cleanup_free_ uint64_t *checksums = calloc(blocks, sizeof(*checksums));

        assert(first + blocks <= e->blocks);
        if (!checksums ||
            !read_blocks(c->packs[e->pack].fd, (uint64_t)e->block + first, blocks, buffer) ||
            xz_checksums(buffer, BLOCK_SIZE, blocks, checksums, NULL) < 0)
                return false;
        if (memcmp(checksums, e->checksums + first, blocks * sizeof(*checksums)) == 0)
                return true;
        mark_damaged(c, e->pack);
        return false;
}

bool extent_cache_read_new(const struct extent_cache *c, uint32_t block, uint32_t blocks,
                           void *buffer)
{
        return read_blocks(c->draft.fd, block, blocks, buffer);
}

bool extent_cache_gathers(const struct extent_cache *c)
{
        return c->gather;
}

/* ---- keeping ---- */

uint32_t extent_cache_reserve(struct extent_cache *c, uint32_t blocks)
{
        uint32_t block = c->next;

        c->next += blocks;
        return block;
}

/* Notes checksums of blocks of the draft; the first one to write makes that. */
static int note_checksums(struct extent_cache *c, uint32_t block, const uint64_t *checksums,
                          uint32_t blocks, struct error *err)
{
        size_t end = (size_t)block + blocks;
        int r = 0;

        pthread_mutex_lock(&c->lock);
        if (c->draft.fd < 0)
                r = draft_open(&c->draft, c->directory, c->prefix, 0644, err);
        if (r >= 0 &&
            array_reserve(&c->checksums, &c->checksums_capacity, end, sizeof(*checksums)) < 0)
                r = error_oom(err);
        if (r >= 0)
                memcpy(c->checksums + block, checksums, blocks * sizeof(*checksums));
        pthread_mutex_unlock(&c->lock);
        return r;
}

int extent_cache_write(struct extent_cache *c, uint32_t block, const void *data, uint32_t blocks,
                       struct error *err)
{
        _cleanup_free_ uint64_t *checksums = calloc(blocks, sizeof(*checksums));
        int r;

        if (!checksums)
                return error_oom(err);
        r = xz_checksums(data, BLOCK_SIZE, blocks, checksums, err);
        if (r >= 0)
                r = note_checksums(c, block, checksums, blocks, err);
        return r < 0 ? r
                     : io_pwrite(c->draft.fd, data, (size_t)blocks * BLOCK_SIZE,
                                 (uint64_t)block * BLOCK_SIZE, err);
}

int extent_cache_add(struct extent_cache *c, const struct extent *e, struct error *err)
{
        static const char zeros[sizeof(uint64_t)];
        const struct record_header h = { e->object, e->block, e->blocks, e->pieces, 0 };
        size_t pieces_size = e->pieces * sizeof(*e->piece_blocks);

        buffer_append(&c->index, &h, sizeof(h));
        buffer_append(&c->index, e->piece_blocks, pieces_size);
        buffer_append(&c->index, zeros, ROUND_UP(pieces_size, sizeof(zeros)) - pieces_size);
        buffer_append(&c->index, c->checksums + e->block, e->blocks * sizeof(*c->checksums));
        buffer_append(&c->index, e->digests, e->blocks * sizeof(*e->digests));
        return c->index.failed ? error_oom(err) : 0;
}

/* What is damaged goes, and what the new pack has gathered; not the new one, which may have the
 * name of one that was the same. */
static void drop_packs(const struct extent_cache *c, bool all, const char *except)
{
        for (size_t i = 0; i < c->n_packs; i++) {
                const struct pack *p = &c->packs[i];

                if ((all || p->damaged) && !(except && streq(p->name, except)))
                        (void)!unlinkat(c->directory, p->name, 0);
        }
}

/* Writes the index and settles the pack's name. */
static int write_index(struct extent_cache *c, struct error *err)
{
        uint64_t offset = (uint64_t)c->next * BLOCK_SIZE;
        struct footer f = { .index_offset = offset, .index_size = c->index.size };
        char hex[SHA256_HEX_SIZE];
        int r;

        memcpy(f.magic, magic, sizeof(magic));
        sha256_of(c->index.data, c->index.size, &f.index_digest);
        free(c->draft.name);
        c->draft.name = string_format("%s%.16s", c->prefix, sha256_hex(&f.index_digest, hex));
        if (!c->draft.name)
                return error_oom(err);
        r = io_pwrite(c->draft.fd, c->index.data, c->index.size, offset, err);
        if (r >= 0)
                r = io_pwrite(c->draft.fd, &f, sizeof(f), offset + c->index.size, err);
        return r;
}

int extent_cache_finish(struct extent_cache *c, struct error *err)
{
        _cleanup_free_ char *name = NULL;
        int r;

        if (c->draft.fd < 0 || c->index.size == 0) {
                drop_packs(c, false, NULL);
                return 0;
        }
        r = write_index(c, err);
        if (r >= 0) {
                name = strdup(c->draft.name);
                r = name ? draft_name(&c->draft, err) : error_oom(err);
        }
        if (r < 0)
                return error_prefix(err, r, "cache of compressed contents");
        drop_packs(c, c->gather, name);
        return 0;
}
