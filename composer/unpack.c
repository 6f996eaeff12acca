/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See unpack.h. libarchive tells the formats apart; lzop is left out, for which it would start a
 * program. It does not look at what gzip writes behind the data, so that is compared here: CRC-32
 * and size (RFC 1952). */

#include <archive.h>
#include <assert.h>
#include <endian.h>
#include <zlib.h>

#include "unpack.h"
#include "strv.h"

static void archive_free_p(struct archive **a)
{
        archive_read_free(*a);
}

static int (*const filters[])(struct archive *a) = {
        archive_read_support_filter_gzip, archive_read_support_filter_bzip2,
        archive_read_support_filter_lzma, archive_read_support_filter_xz,
        archive_read_support_filter_lz4,  archive_read_support_filter_zstd,
};

static int archive_open(struct archive *a, const void *data, size_t size, struct error *err)
{
        struct archive_entry *entry;

        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
                if (filters[i](a) != ARCHIVE_OK)
                        return error_set(err, -ENOTSUP, "%s", archive_error_string(a));
        if (archive_read_support_format_raw(a) != ARCHIVE_OK ||
            archive_read_open_memory(a, data, size) != ARCHIVE_OK ||
            archive_read_next_header(a, &entry) != ARCHIVE_OK)
                return error_set(err, -EBADMSG, "%s", archive_error_string(a) ?: "no data");
        /* The raw bytes themselves are one "format", too. */
        if (archive_filter_count(a) < 2)
                return error_set(err, -EBADMSG, "compressed in no known way");
        return 0;
}

struct gzip_tail {
        uint32_t crc, size; /* little-endian; size modulo 2^32 */
} _packed_;
static_assert(sizeof(struct gzip_tail) == 8, "gzip's end");

static bool gzip_agrees(const char *data, size_t size, const char *plain, size_t plain_size)
{
        struct gzip_tail tail;

        if (size < sizeof(tail) || memcmp(data, GZIP_MAGIC, strlen(GZIP_MAGIC)) != 0)
                return true;
        memcpy(&tail, data + size - sizeof(tail), sizeof(tail));
        return le32toh(tail.size) == (uint32_t)plain_size &&
               le32toh(tail.crc) == crc32_z(0, (const unsigned char *)plain, plain_size);
}

int unpack(const void *data, size_t size, size_t limit, char **ret, size_t *ret_size,
           struct error *err)
{
        _cleanup_(archive_free_p) struct archive *a = archive_read_new();
        size_t capacity = MIN(MAX(4 * size, (size_t)KIB), limit), done = 0;
        _cleanup_free_ char *out = malloc(capacity + 1);
        ssize_t n = 1;
        int r;

        if (!a || !out)
                return error_oom(err);
        r = archive_open(a, data, size, err);
        while (r >= 0 && n > 0) {
                n = archive_read_data(a, out + done, capacity - done);
                done += n > 0 ? (size_t)n : 0;
                if (n < 0)
                        r = error_set(err, -EBADMSG, "%s", archive_error_string(a) ?: "bad data");
                else if (n > 0 && done == capacity)
                        r = bytes_grow(&out, &capacity, limit, err);
        }
        if (r < 0)
                return r;
        if (!gzip_agrees(data, size, out, done))
                return error_set(err, -EBADMSG,
                                 "gzip: wrong checksum, or something behind the data");
        out[done] = '\0';
        *ret = TAKE_PTR(out);
        *ret_size = done;
        return 0;
}
