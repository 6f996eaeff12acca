/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* qcow2 version 3, uncompressed, 64 KiB clusters:
 *
 *   cluster 0   header
 *   then        L1 table (where each L2 table is), L2 tables (where each cluster of the disk is),
 *               refcount table, refcount blocks
 *   then        the disk's clusters that are not all zeros, in order
 *
 * Which clusters these are is found out first; from then on every byte's place is known, and the
 * file is written, and hashed, from its beginning to its end. Whether a cluster is written depends
 * on its bytes, not on where the file system keeps holes, so that equal disks give equal files. An
 * L2 table without entries does not exist. Every cluster of the file is used exactly once: all
 * refcounts are 1. Numbers are big-endian. */

#include <assert.h>
#include <endian.h>

#include "background.h"
#include "io.h"
#include "output-formats.h"

enum {
        CLUSTER_BITS = 16,
        CLUSTER_SIZE = 1 << CLUSTER_BITS,
        L2_ENTRIES = CLUSTER_SIZE / 8, /* one table maps 512 MiB */
        REFCOUNT_ORDER = 4,            /* 16 bits */
        REFCOUNTS = CLUSTER_SIZE / 2,  /* in one block */
        TABLE_ENTRIES = CLUSTER_SIZE / 8 /* in one cluster of the refcount or L1 table */,
        PIECE_CLUSTERS = 16, /* read and written at once */
};

#define QCOW2_DISK_MAX (16ULL * 1024 * GIB) /* bounds the L1 table's memory to 256 KiB */
#define QCOW2_COPIED   (1ULL << 63)         /* refcount is 1: may be written in place */

static const uint8_t qcow2_magic[4] = { 'Q', 'F', 'I', 0xfb };

struct qcow2_header {
        uint8_t magic[4];
        uint32_t version;
        uint64_t backing_file_offset;
        uint32_t backing_file_size, cluster_bits;
        uint64_t size;
        uint32_t crypt_method, l1_size;
        uint64_t l1_table_offset, refcount_table_offset;
        uint32_t refcount_table_clusters, nb_snapshots;
        uint64_t snapshots_offset, incompatible_features, compatible_features, autoclear_features;
        uint32_t refcount_order, header_length;
        uint8_t extensions_end[8]; /* not part of header_length: type 0, length 0 */
} _packed_;
static_assert(sizeof(struct qcow2_header) == 104 + 8, "qcow2 header");

enum { PIECES = 3 }; /* one is read, one hashed, one written */

struct writer;

/* Clusters of the file on their way. */
struct piece {
        struct writer *w;
        uint8_t *buffer;     /* of PIECE_CLUSTERS */
        uint64_t n;          /* clusters in it */
        uint64_t first_data; /* index of the first, where they are the disk's */
        uint64_t position;   /* in the file, clusters */
};

struct writer {
        int disk_fd;
        int fd; /* past the page cache */
        uint64_t disk_size;
        const struct known_blocks *known;
        uint64_t *data; /* the disk's clusters that are not zeros */
        uint64_t n_data, n_allocated;
        /* Clusters of the file. */
        uint64_t l1, n_l1, l2, n_l2, refcount_table, n_refcount_table, refcounts, n_refcounts,
                first_data;
        uint64_t next; /* to be written */
        struct piece pieces[PIECES];
        unsigned turn;
        struct background *reading, *writing;
        struct hasher digest;
};

static void writer_done(struct writer *w)
{
        background_free(w->reading);
        background_free(w->writing);
        hasher_done(&w->digest);
        close_p(&w->fd);
        free(w->data);
        for (size_t i = 0; i < PIECES; i++)
                free(w->pieces[i].buffer);
}

/* ---- which clusters ---- */

static int add_data(struct writer *w, uint64_t cluster, struct error *err)
{
        if (w->n_data == w->n_allocated) {
                uint64_t n = MAX(2 * w->n_allocated, (uint64_t)PIECE_CLUSTERS);
                uint64_t *data = reallocarray(w->data, n, sizeof(*data));

                if (!data)
                        return error_oom(err);
                w->data = data;
                w->n_allocated = n;
        }
        w->data[w->n_data++] = cluster;
        return 0;
}

/* Reads clusters; behind the disk's end are zeros. */
static int read_clusters(const struct writer *w, uint64_t first, uint64_t n, uint8_t *buffer,
                         struct error *err)
{
        uint64_t start = first * CLUSTER_SIZE, size = MIN(w->disk_size - start, n * CLUSTER_SIZE);
        size_t got;
        int r;

        memset(buffer + size, 0, n * CLUSTER_SIZE - size);
        r = io_pread(w->disk_fd, buffer, size, start, &got, err);
        if (r < 0)
                return r;
        return got < size ? error_set(err, -ENODATA, "the disk ends early") : 0;
}

/* Looks at the clusters from `first` up to the disk's `end` (bytes). */
static int find_in(struct writer *w, uint64_t first, uint64_t end, struct error *err)
{
        uint64_t n, block;

        for (; first * CLUSTER_SIZE < end; first += n) {
                uint64_t start = first * CLUSTER_SIZE;
                bool known = known_blocks_find(w->known, start, CLUSTER_SIZE, &block);
                int r = 0;

                n = known ? 1
                          : MIN((uint64_t)PIECE_CLUSTERS, DIV_ROUND_UP(end - start, CLUSTER_SIZE));
                if (!known)
                        r = read_clusters(w, first, n, w->pieces[0].buffer, err);
                for (uint64_t i = 0; r >= 0 && i < n; i++) {
                        bool zero = known ? block_digests_zero(w->known->digests, block,
                                                               CLUSTER_SIZE / BLOCK_SIZE)
                                          : memory_is_zero(w->pieces[0].buffer + i * CLUSTER_SIZE,
                                                           CLUSTER_SIZE);

                        if (!zero)
                                r = add_data(w, first + i, err);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the file system knows as holes is not even looked at. */
static int find_data(struct writer *w, struct error *err)
{
        uint64_t position = 0;
        int r;

        while (position < w->disk_size) {
                off_t data = lseek(w->disk_fd, (off_t)position, SEEK_DATA), hole;
                uint64_t end;

                if (data < 0 && errno == ENXIO)
                        return 0;
                if (data < 0)
                        return error_errno(err, "find data");
                hole = lseek(w->disk_fd, data, SEEK_HOLE);
                if (hole < 0)
                        return error_errno(err, "find holes");
                end = MIN(ROUND_UP((uint64_t)hole, CLUSTER_SIZE), w->disk_size);
                position = MAX(position, (uint64_t)data / CLUSTER_SIZE * CLUSTER_SIZE);
                r = find_in(w, position / CLUSTER_SIZE, end, err);
                if (r < 0)
                        return r;
                position = end;
        }
        return 0;
}

/* ---- layout ---- */

static uint64_t count_l2_tables(const struct writer *w)
{
        uint64_t n = 0;

        for (uint64_t i = 0; i < w->n_data; i++)
                n += i == 0 || w->data[i] / L2_ENTRIES != w->data[i - 1] / L2_ENTRIES;
        return n;
}

/* Refcount blocks that cover `used` clusters, themselves and their table. */
static uint64_t count_refcount_blocks(uint64_t used)
{
        uint64_t blocks = 1, all;

        for (;;) {
                all = used + blocks + DIV_ROUND_UP(blocks, TABLE_ENTRIES);
                if (DIV_ROUND_UP(all, REFCOUNTS) <= blocks)
                        return blocks;
                blocks = DIV_ROUND_UP(all, REFCOUNTS);
        }
}

static void lay_out(struct writer *w)
{
        w->n_l1 = DIV_ROUND_UP(w->disk_size, (uint64_t)L2_ENTRIES * CLUSTER_SIZE);
        w->l1 = 1;
        w->n_l2 = count_l2_tables(w);
        w->l2 = w->l1 + DIV_ROUND_UP(w->n_l1, TABLE_ENTRIES);
        w->refcount_table = w->l2 + w->n_l2;
        w->n_refcounts = count_refcount_blocks(w->refcount_table + w->n_data);
        w->n_refcount_table = DIV_ROUND_UP(w->n_refcounts, TABLE_ENTRIES);
        w->refcounts = w->refcount_table + w->n_refcount_table;
        w->first_data = w->refcounts + w->n_refcounts;
}

/* ---- writing ---- */

/* The piece to be filled next. It was written before the one that is being written was started. */
static struct piece *next_piece(struct writer *w)
{
        w->turn = (w->turn + 1) % PIECES;
        return &w->pieces[w->turn];
}

static int write_piece(void *job, struct error *err)
{
        const struct piece *p = job;

        return io_pwrite(p->w->fd, p->buffer, p->n * CLUSTER_SIZE, p->position * CLUSTER_SIZE, err);
}

/* Appends a filled piece to the file. */
static int append(struct writer *w, struct piece *p, struct error *err)
{
        int r;

        p->position = w->next;
        w->next += p->n;
        r = background_start(w->writing, write_piece, p, err);
        if (r >= 0)
                hasher_update(&w->digest, p->buffer, p->n * CLUSTER_SIZE);
        return r;
}

/* A piece of one cluster, zeros. */
static struct piece *new_cluster(struct writer *w)
{
        struct piece *p = next_piece(w);

        memset(p->buffer, 0, CLUSTER_SIZE);
        p->n = 1;
        return p;
}

static int write_header(struct writer *w, struct error *err)
{
        struct qcow2_header header = {
                .version = htobe32(3),
                .cluster_bits = htobe32(CLUSTER_BITS),
                .size = htobe64(w->disk_size),
                .l1_size = htobe32((uint32_t)w->n_l1),
                .l1_table_offset = htobe64(w->l1 * CLUSTER_SIZE),
                .refcount_table_offset = htobe64(w->refcount_table * CLUSTER_SIZE),
                .refcount_table_clusters = htobe32((uint32_t)w->n_refcount_table),
                .refcount_order = htobe32(REFCOUNT_ORDER),
                .header_length = htobe32(sizeof(header) - sizeof(header.extensions_end)),
        };
        struct piece *p = new_cluster(w);

        memcpy(header.magic, qcow2_magic, sizeof(header.magic));
        memcpy(p->buffer, &header, sizeof(header));
        return append(w, p, err);
}

static int write_l1(struct writer *w, struct error *err)
{
        uint64_t i = 0, table = w->l2;
        int r = 0;

        for (uint64_t first = 0; r >= 0 && first < w->n_l1; first += TABLE_ENTRIES) {
                struct piece *p = new_cluster(w);
                uint64_t *entries = (void *)p->buffer;

                for (; i < w->n_data && w->data[i] / L2_ENTRIES < first + TABLE_ENTRIES; i++) {
                        uint64_t *entry = &entries[w->data[i] / L2_ENTRIES - first];

                        if (*entry == 0)
                                *entry = htobe64(table++ * CLUSTER_SIZE | QCOW2_COPIED);
                }
                r = append(w, p, err);
        }
        return r;
}

static int write_l2(struct writer *w, struct error *err)
{
        int r = 0;

        for (uint64_t i = 0; r >= 0 && i < w->n_data;) {
                struct piece *p = new_cluster(w);
                uint64_t table = w->data[i] / L2_ENTRIES, *entries = (void *)p->buffer;

                for (; i < w->n_data && w->data[i] / L2_ENTRIES == table; i++)
                        entries[w->data[i] % L2_ENTRIES] =
                                htobe64((w->first_data + i) * CLUSTER_SIZE | QCOW2_COPIED);
                r = append(w, p, err);
        }
        return r;
}

static int write_refcounts(struct writer *w, struct error *err)
{
        uint64_t all = w->first_data + w->n_data;
        int r = 0;

        for (uint64_t first = 0; r >= 0 && first < w->n_refcounts; first += TABLE_ENTRIES) {
                struct piece *p = new_cluster(w);
                uint64_t *entries = (void *)p->buffer;

                for (uint64_t i = first; i < w->n_refcounts && i < first + TABLE_ENTRIES; i++)
                        entries[i - first] = htobe64((w->refcounts + i) * CLUSTER_SIZE);
                r = append(w, p, err);
        }
        for (uint64_t first = 0; r >= 0 && first < all; first += REFCOUNTS) {
                struct piece *p = new_cluster(w);
                uint16_t *counts = (void *)p->buffer;

                for (uint64_t i = 0; i < REFCOUNTS && first + i < all; i++)
                        counts[i] = htobe16(1);
                r = append(w, p, err);
        }
        return r;
}

/* Reads a piece of the disk; neighbours with one call. */
static int read_piece(void *job, struct error *err)
{
        const struct piece *p = job;
        const uint64_t *clusters = p->w->data + p->first_data;
        int r = 0;

        for (uint64_t i = 0, run; r >= 0 && i < p->n; i += run) {
                for (run = 1; i + run < p->n && clusters[i + run] == clusters[i] + run; run++)
                        ;
                r = read_clusters(p->w, clusters[i], run, p->buffer + i * CLUSTER_SIZE, err);
        }
        return r;
}

/* Starts to read what begins at that index of the data; NULL: nothing is left. */
static int start_reading(struct writer *w, uint64_t index, struct piece **ret, struct error *err)
{
        struct piece *p = index < w->n_data ? next_piece(w) : NULL;

        *ret = p;
        if (!p)
                return 0;
        p->first_data = index;
        p->n = MIN((uint64_t)PIECE_CLUSTERS, w->n_data - index);
        return background_start(w->reading, read_piece, p, err);
}

static int write_data(struct writer *w, struct error *err)
{
        struct piece *p, *next;
        int r = start_reading(w, 0, &p, err);

        for (; r >= 0 && p; p = next) {
                r = background_wait(w->reading, err);
                if (r >= 0)
                        r = start_reading(w, p->first_data + p->n, &next, err);
                if (r >= 0)
                        r = append(w, p, err);
        }
        return r;
}

static int write_file(struct writer *w, struct error *err)
{
        int r;

        r = find_data(w, err);
        if (r < 0)
                return r;
        lay_out(w);
        r = write_header(w, err);
        if (r >= 0)
                r = write_l1(w, err);
        if (r >= 0)
                r = write_l2(w, err);
        if (r >= 0)
                r = write_refcounts(w, err);
        if (r < 0)
                return r;
        assert(w->next == w->first_data);
        return write_data(w, err);
}

static int writer_open(struct writer *w, int fd, struct error *err)
{
        int r;

        for (size_t i = 0; i < PIECES; i++) {
                struct piece *p = &w->pieces[i];

                p->w = w;
                p->buffer = aligned_alloc(IO_DIRECT_ALIGN, PIECE_CLUSTERS * CLUSTER_SIZE);
                if (!p->buffer)
                        return error_oom(err);
        }
        r = w->fd = io_reopen_direct(fd, err);
        if (r >= 0)
                r = hasher_init(&w->digest, err);
        if (r >= 0)
                r = background_new(&w->reading, err);
        return r < 0 ? r : background_new(&w->writing, err);
}

static int qcow2_write(const struct output_disk *disk, int fd, struct sha256 *ret_digest,
                       struct error *err)
{
        _cleanup_(writer_done) struct writer w = {
                .disk_fd = disk->fd,
                .fd = -1,
                .disk_size = disk->size,
                .known = disk->known,
        };
        int r;

        if (disk->size == 0 || disk->size % 512 != 0 || disk->size > QCOW2_DISK_MAX)
                return error_set(err, -EINVAL, "qcow2: a disk of %llu bytes",
                                 (unsigned long long)disk->size);
        if (lseek(disk->fd, 0, SEEK_END) != (off_t)disk->size)
                return error_set(err, -ENODATA, "qcow2: the disk is not %llu bytes long",
                                 (unsigned long long)disk->size);
        r = writer_open(&w, fd, err);
        if (r >= 0)
                r = write_file(&w, err);
        if (r >= 0)
                r = background_wait(w.writing, err);
        if (r >= 0)
                r = hasher_final(&w.digest, ret_digest, err);
        return error_prefix(err, r, "qcow2");
}

const struct output_ops output_qcow2 = {
        .name = "qcow2",
        .suffix = ".qcow2",
        .write = qcow2_write,
};
