/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* qcow2 version 3, uncompressed, 64 KiB clusters, written in one pass over the disk:
 *
 *   cluster 0   header
 *   then        the disk's clusters that are not all zeros, in order
 *   then        L2 tables (where each cluster of the disk is), L1 table (where each L2 table is),
 *               refcount blocks, refcount table
 *
 * Whether a cluster is written depends on its bytes, not on where the file system keeps holes, so
 * that equal disks give equal files. An L2 table without entries does not exist. Every cluster of
 * the file is used exactly once: all refcounts are 1. Numbers are big-endian. */

#include <assert.h>
#include <endian.h>

#include "io.h"
#include "output-formats.h"

enum {
        CLUSTER_BITS = 16,
        CLUSTER_SIZE = 1 << CLUSTER_BITS,
        L2_ENTRIES = CLUSTER_SIZE / 8, /* one table maps 512 MiB */
        REFCOUNT_ORDER = 4,            /* 16 bits */
        REFCOUNTS = CLUSTER_SIZE / 2,  /* in one block */
        TABLE_ENTRIES = CLUSTER_SIZE / 8 /* in one cluster of the refcount or L1 table */,
        BATCH_CLUSTERS = 16,
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
        uint64_t **l2; /* one table per 512 MiB of the disk, NULL while empty; host byte order */
        uint64_t n_l2;
        uint64_t next; /* cluster of the file */
};

static void writer_done(struct writer *w)
{
        for (uint64_t i = 0; w->l2 && i < w->n_l2; i++)
                free(w->l2[i]);
        free(w->l2);
}

/* ---- data ---- */

static bool is_zero(const uint8_t *cluster)
{
        return cluster[0] == 0 && memcmp(cluster, cluster + 1, CLUSTER_SIZE - 1) == 0;
}

/* Notes that the disk's cluster is the file's next one. */
static int map_cluster(struct writer *w, uint64_t cluster, struct error *err)
{
        uint64_t **table = &w->l2[cluster / L2_ENTRIES];

        if (!*table)
                *table = calloc(L2_ENTRIES, sizeof(**table));
        if (!*table)
                return error_oom(err);
        (*table)[cluster % L2_ENTRIES] = w->next++ * CLUSTER_SIZE | QCOW2_COPIED;
        return 0;
}

/* Writes those of n clusters that are not zero; neighbours with one call. */
static int write_clusters(struct writer *w, const uint8_t *data, uint64_t first, uint64_t n,
                          struct error *err)
{
        uint64_t run;
        int r;

        for (uint64_t i = 0; i < n; i += run) {
                const uint8_t *start = data + i * CLUSTER_SIZE;
                uint64_t offset = w->next * CLUSTER_SIZE;

                for (run = 0; i + run < n && !is_zero(start + run * CLUSTER_SIZE); run++) {
                        r = map_cluster(w, first + i + run, err);
                        if (r < 0)
                                return r;
                }
                if (run == 0) {
                        run = 1;
                        continue;
                }
                r = io_pwrite(w->fd, start, run * CLUSTER_SIZE, offset, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Copies the clusters from `first` up to the disk's `end` (bytes). */
static int copy_clusters(struct writer *w, uint64_t first, uint64_t end, uint8_t *buffer,
                         struct error *err)
{
        uint64_t n = 0;
        int r;

        for (; first * CLUSTER_SIZE < end; first += n) {
                uint64_t start = first * CLUSTER_SIZE;
                size_t size = MIN(end - start, (uint64_t)BATCH_CLUSTERS * CLUSTER_SIZE), got;

                n = DIV_ROUND_UP(size, CLUSTER_SIZE);
                r = io_pread(w->disk_fd, buffer, size, start, &got, err);
                if (r < 0)
                        return r;
                if (got < size)
                        return error_set(err, -ENODATA, "the disk ends early");
                memset(buffer + size, 0, n * CLUSTER_SIZE - size);
                r = write_clusters(w, buffer, first, n, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Copies all data of the disk; what the file system knows as holes is not even read. */
static int write_data(struct writer *w, struct error *err)
{
        _cleanup_free_ uint8_t *buffer = malloc(BATCH_CLUSTERS * CLUSTER_SIZE);
        uint64_t position = 0;
        int r;

        if (!buffer)
                return error_oom(err);
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
                r = copy_clusters(w, position / CLUSTER_SIZE, end, buffer, err);
                if (r < 0)
                        return r;
                position = end;
        }
        return 0;
}

/* ---- tables ---- */

/* Writes a table of 64-bit numbers at the next clusters of the file, big-endian, padded with zeros;
 * ret_offset is where it stands. */
static int write_table(struct writer *w, const uint64_t *entries, uint64_t n, uint64_t *ret_offset,
                       struct error *err)
{
        uint64_t clusters = DIV_ROUND_UP(n, TABLE_ENTRIES);
        _cleanup_free_ uint64_t *table = calloc(clusters, CLUSTER_SIZE);
        int r;

        if (!table)
                return error_oom(err);
        for (uint64_t i = 0; i < n; i++)
                table[i] = htobe64(entries[i]);
        r = io_pwrite(w->fd, table, clusters * CLUSTER_SIZE, w->next * CLUSTER_SIZE, err);
        if (r < 0)
                return r;
        *ret_offset = w->next * CLUSTER_SIZE;
        w->next += clusters;
        return 0;
}

static int write_mapping(struct writer *w, struct qcow2_header *header, struct error *err)
{
        _cleanup_free_ uint64_t *l1 = calloc(w->n_l2, sizeof(*l1));
        uint64_t offset;
        int r;

        if (!l1)
                return error_oom(err);
        for (uint64_t i = 0; i < w->n_l2; i++) {
                if (!w->l2[i])
                        continue;
                r = write_table(w, w->l2[i], L2_ENTRIES, &offset, err);
                if (r < 0)
                        return r;
                l1[i] = offset | QCOW2_COPIED;
        }
        r = write_table(w, l1, w->n_l2, &offset, err);
        if (r < 0)
                return r;
        header->l1_size = htobe32((uint32_t)w->n_l2);
        header->l1_table_offset = htobe64(offset);
        return 0;
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

static int write_refcounts(struct writer *w, struct qcow2_header *header, struct error *err)
{
        uint64_t blocks = count_refcount_blocks(w->next),
                 table = DIV_ROUND_UP(blocks, TABLE_ENTRIES);
        uint64_t all = w->next + blocks + table, offset;
        _cleanup_free_ uint64_t *offsets = calloc(blocks, sizeof(*offsets));
        _cleanup_free_ uint16_t *counts = calloc(blocks, CLUSTER_SIZE);
        int r;

        if (!offsets || !counts)
                return error_oom(err);
        for (uint64_t i = 0; i < all; i++)
                counts[i] = htobe16(1);
        for (uint64_t i = 0; i < blocks; i++)
                offsets[i] = (w->next + i) * CLUSTER_SIZE;
        r = io_pwrite(w->fd, counts, blocks * CLUSTER_SIZE, w->next * CLUSTER_SIZE, err);
        if (r < 0)
                return r;
        w->next += blocks;
        r = write_table(w, offsets, blocks, &offset, err);
        if (r < 0)
                return r;
        assert(w->next == all);
        header->refcount_table_offset = htobe64(offset);
        header->refcount_table_clusters = htobe32((uint32_t)table);
        return 0;
}

static int write_file(struct writer *w, struct error *err)
{
        struct qcow2_header header = {
                .version = htobe32(3),
                .cluster_bits = htobe32(CLUSTER_BITS),
                .size = htobe64(w->disk_size),
                .refcount_order = htobe32(REFCOUNT_ORDER),
                .header_length = htobe32(sizeof(header) - sizeof(header.extensions_end)),
        };
        int r;

        memcpy(header.magic, qcow2_magic, sizeof(header.magic));
        r = write_data(w, err);
        if (r < 0)
                return r;
        r = write_mapping(w, &header, err);
        if (r < 0)
                return r;
        r = write_refcounts(w, &header, err);
        if (r < 0)
                return r;
        return io_pwrite(w->fd, &header, sizeof(header), 0, err);
}

static int qcow2_write(int disk_fd, uint64_t disk_size, int fd, struct error *err)
{
        _cleanup_(writer_done) struct writer w = {
                .disk_fd = disk_fd,
                .fd = fd,
                .disk_size = disk_size,
                .next = 1, /* behind the header */
        };

        if (disk_size == 0 || disk_size % 512 != 0 || disk_size > QCOW2_DISK_MAX)
                return error_set(err, -EINVAL, "qcow2: a disk of %llu bytes",
                                 (unsigned long long)disk_size);
        if (lseek(disk_fd, 0, SEEK_END) != (off_t)disk_size)
                return error_set(err, -ENODATA, "qcow2: the disk is not %llu bytes long",
                                 (unsigned long long)disk_size);
        w.n_l2 = DIV_ROUND_UP(disk_size, (uint64_t)L2_ENTRIES * CLUSTER_SIZE);
        w.l2 = calloc(w.n_l2, sizeof(*w.l2));
        if (!w.l2)
                return error_oom(err);
        return error_prefix(err, write_file(&w, err), "qcow2");
}

const struct output_ops output_qcow2 = {
        .name = "qcow2",
        .suffix = ".qcow2",
        .write = qcow2_write,
};
