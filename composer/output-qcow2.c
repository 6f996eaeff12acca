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

#include "hash-thread.h"
#include "io.h"
#include "output-formats.h"

enum {
        CLUSTER_BITS = 16,
        CLUSTER_SIZE = 1 << CLUSTER_BITS,
        L2_ENTRIES = CLUSTER_SIZE / 8, /* one table maps 512 MiB */
        REFCOUNT_ORDER = 4,            /* 16 bits */
        REFCOUNTS = CLUSTER_SIZE / 2,  /* in one block */
        TABLE_ENTRIES = CLUSTER_SIZE / 8 /* in one cluster of the refcount or L1 table */,
        PIECE_CLUSTERS = 64, /* read and written at once */
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

struct writer {
        int disk_fd, fd;
        uint64_t disk_size;
        const struct known_blocks *known;
        uint64_t *data; /* the disk's clusters that are not zeros */
        uint64_t n_data, n_allocated;
        /* Clusters of the file. */
        uint64_t l1, n_l1, l2, n_l2, refcount_table, n_refcount_table, refcounts, n_refcounts,
                first_data;
        uint64_t next;       /* to be written */
        uint8_t *buffers[2]; /* of a piece; one is filled while the other is hashed */
        unsigned turn;
        struct hash_thread *digest;
};

static void writer_done(struct writer *w)
{
        hash_thread_free(w->digest);
        close_p(&w->disk_fd);
        close_p(&w->fd);
        free(w->data);
        free(w->buffers[0]);
        free(w->buffers[1]);
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
        uint64_t start = first * CLUSTER_SIZE;
        size_t size = MIN(w->disk_size - start, n * CLUSTER_SIZE), got;
        /* Direct I/O wants whole blocks, and ends with the file by itself. */
        int r = io_pread(w->disk_fd, buffer, ROUND_UP(size, (size_t)IO_DIRECT_ALIGN), start, &got,
                         err);

        if (r < 0)
                return r;
        if (got < size)
                return error_set(err, -ENODATA, "the disk ends early");
        memset(buffer + size, 0, n * CLUSTER_SIZE - size);
        return 0;
}

static bool is_zero(const uint8_t *cluster)
{
        return cluster[0] == 0 && memcmp(cluster, cluster + 1, CLUSTER_SIZE - 1) == 0;
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
                        r = read_clusters(w, first, n, w->buffers[0], err);
                for (uint64_t i = 0; r >= 0 && i < n; i++) {
                        bool zero = known ? block_digests_zero(w->known->digests, block,
                                                               CLUSTER_SIZE / BLOCK_SIZE)
                                          : is_zero(w->buffers[0] + i * CLUSTER_SIZE);

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

/* The buffer to be filled next: nobody reads it any more. */
static uint8_t *next_buffer(struct writer *w)
{
        w->turn ^= 1;
        return w->buffers[w->turn];
}

/* Appends clusters, which are in the buffer that came last from next_buffer(). */
static int append(struct writer *w, const void *clusters, uint64_t n, struct error *err)
{
        uint64_t offset = w->next * CLUSTER_SIZE;

        w->next += n;
        hash_thread_add(w->digest, clusters, n * CLUSTER_SIZE);
        return io_pwrite(w->fd, clusters, n * CLUSTER_SIZE, offset, err);
}

/* A cluster of zeros, to be filled and appended. */
static void *new_cluster(struct writer *w)
{
        return memset(next_buffer(w), 0, CLUSTER_SIZE);
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

        memcpy(header.magic, qcow2_magic, sizeof(header.magic));
        return append(w, memcpy(new_cluster(w), &header, sizeof(header)), 1, err);
}

static int write_l1(struct writer *w, struct error *err)
{
        uint64_t i = 0, table = w->l2;
        int r = 0;

        for (uint64_t first = 0; r >= 0 && first < w->n_l1; first += TABLE_ENTRIES) {
                uint64_t *entries = new_cluster(w);

                for (; i < w->n_data && w->data[i] / L2_ENTRIES < first + TABLE_ENTRIES; i++) {
                        uint64_t *entry = &entries[w->data[i] / L2_ENTRIES - first];

                        if (*entry == 0)
                                *entry = htobe64(table++ * CLUSTER_SIZE | QCOW2_COPIED);
                }
                r = append(w, entries, 1, err);
        }
        return r;
}

static int write_l2(struct writer *w, struct error *err)
{
        int r = 0;

        for (uint64_t i = 0; r >= 0 && i < w->n_data;) {
                uint64_t table = w->data[i] / L2_ENTRIES, *entries = new_cluster(w);

                for (; i < w->n_data && w->data[i] / L2_ENTRIES == table; i++)
                        entries[w->data[i] % L2_ENTRIES] =
                                htobe64((w->first_data + i) * CLUSTER_SIZE | QCOW2_COPIED);
                r = append(w, entries, 1, err);
        }
        return r;
}

static int write_refcounts(struct writer *w, struct error *err)
{
        uint64_t all = w->first_data + w->n_data;
        int r = 0;

        for (uint64_t first = 0; r >= 0 && first < w->n_refcounts; first += TABLE_ENTRIES) {
                uint64_t *entries = new_cluster(w);

                for (uint64_t i = first; i < w->n_refcounts && i < first + TABLE_ENTRIES; i++)
                        entries[i - first] = htobe64((w->refcounts + i) * CLUSTER_SIZE);
                r = append(w, entries, 1, err);
        }
        for (uint64_t first = 0; r >= 0 && first < all; first += REFCOUNTS) {
                uint16_t *counts = new_cluster(w);

                for (uint64_t i = 0; i < REFCOUNTS && first + i < all; i++)
                        counts[i] = htobe16(1);
                r = append(w, counts, 1, err);
        }
        return r;
}

/* Neighbours on the disk are read with one call. */
static int write_data(struct writer *w, struct error *err)
{
        int r = 0;

        for (uint64_t i = 0, n; r >= 0 && i < w->n_data; i += n) {
                uint8_t *piece = next_buffer(w);

                for (n = 0; r >= 0 && n < PIECE_CLUSTERS && i + n < w->n_data;) {
                        uint64_t run = 1;

                        while (n + run < PIECE_CLUSTERS && i + n + run < w->n_data &&
                               w->data[i + n + run] == w->data[i + n] + run)
                                run++;
                        r = read_clusters(w, w->data[i + n], run, piece + n * CLUSTER_SIZE, err);
                        n += run;
                }
                if (r >= 0)
                        r = append(w, piece, n, err);
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

static int writer_open(struct writer *w, int disk_fd, int fd, struct error *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(w->buffers); i++) {
                w->buffers[i] = aligned_alloc(IO_DIRECT_ALIGN, PIECE_CLUSTERS * CLUSTER_SIZE);
                if (!w->buffers[i])
                        return error_oom(err);
        }
        w->disk_fd = io_reopen_direct(disk_fd, err);
        if (w->disk_fd < 0)
                return w->disk_fd;
        w->fd = io_reopen_direct(fd, err);
        return w->fd < 0 ? w->fd : hash_thread_new(&w->digest, err);
}

static int qcow2_write(int disk_fd, uint64_t disk_size, const struct known_blocks *known, int fd,
                       struct sha256 *ret_digest, struct error *err)
{
        _cleanup_(writer_done) struct writer w = {
                .disk_fd = -1,
                .fd = -1,
                .disk_size = disk_size,
                .known = known,
        };
        int r;

        if (disk_size == 0 || disk_size % 512 != 0 || disk_size > QCOW2_DISK_MAX)
                return error_set(err, -EINVAL, "qcow2: a disk of %llu bytes",
                                 (unsigned long long)disk_size);
        if (lseek(disk_fd, 0, SEEK_END) != (off_t)disk_size)
                return error_set(err, -ENODATA, "qcow2: the disk is not %llu bytes long",
                                 (unsigned long long)disk_size);
        r = writer_open(&w, disk_fd, fd, err);
        if (r >= 0)
                r = write_file(&w, err);
        if (r >= 0)
                r = hash_thread_end(w.digest, ret_digest, err);
        return error_prefix(err, r, "qcow2");
}

const struct output_ops output_qcow2 = {
        .name = "qcow2",
        .suffix = ".qcow2",
        .write = qcow2_write,
};
