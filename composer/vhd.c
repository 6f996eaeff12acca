/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See vhd.h. A fixed VHD is the disk's bytes and this footer behind them. Numbers are big-endian;
 * times count from 2000. Two fields say how big the disk is: current_size, and the geometry, which
 * can express few sizes exactly. Which of them a reader believes depends on who made the file, so
 * we say what QEMU says of a file whose size is to be taken as it stands. */

#include <assert.h>
#include <endian.h>

#include "io.h"
#include "vhd.h"

enum {
        SECTOR = 512,
        CYLINDERS_MAX = 65535, /* of 16 heads with 255 sectors: 127.5 GiB */
        TYPE_FIXED = 2,
};

#define EPOCH_2000 946684800ULL
#define NO_OFFSET  UINT64_MAX /* of a header that only other types have */

struct footer {
        char cookie[8];
        uint32_t features, file_format_version;
        uint64_t data_offset;
        uint32_t time_stamp;
        char creator_application[4];
        uint32_t creator_version;
        char creator_host_os[4];
        uint64_t original_size, current_size;
        uint16_t cylinders;
        uint8_t heads, sectors_per_track;
        uint32_t disk_type, checksum;
        uint8_t unique_id[UUID_SIZE];
        uint8_t saved_state, reserved[427];
} _packed_;
static_assert(sizeof(struct footer) == VHD_FOOTER_SIZE, "VHD footer");

static const char cookie[] = "conectix";
static const struct footer constant = {
        .features = 0x2, /* "reserved", which must be set */
        .file_format_version = 0x10000,
        .creator_application = { 'q', 'e', 'm', '2' },
        .creator_version = 0x50003,
        .creator_host_os = { 'W', 'i', '2', 'k' },
};

struct vhd_geometry vhd_geometry(uint64_t disk_size)
{
        uint64_t sectors = MIN(disk_size / SECTOR, (uint64_t)CYLINDERS_MAX * 16 * 255), tracks;
        struct vhd_geometry g = { .heads = 16 };

        if (sectors >= (uint64_t)65535 * 16 * 63) {
                g.sectors_per_track = 255;
                tracks = sectors / 255;
        } else {
                g.sectors_per_track = 17;
                tracks = sectors / 17;
                g.heads = (unsigned)MAX(DIV_ROUND_UP(tracks, 1024), 4UL);
                if (tracks >= g.heads * 1024UL || g.heads > 16) {
                        g.heads = 16;
                        g.sectors_per_track = 31;
                        tracks = sectors / 31;
                }
                if (tracks >= g.heads * 1024UL) {
                        g.sectors_per_track = 63;
                        tracks = sectors / 63;
                }
        }
        g.cylinders = (unsigned)(tracks / g.heads);
        return g;
}

/* Ones' complement of the sum of all bytes but its own. */
static uint32_t checksum(const struct footer *f)
{
        const uint8_t *bytes = (const void *)f;
        uint32_t sum = 0;

        for (size_t i = 0; i < sizeof(*f); i++)
                if (i < offsetof(struct footer, checksum) ||
                    i >= offsetof(struct footer, unique_id))
                        sum += bytes[i];
        return ~sum;
}

int vhd_footer_write(const struct vhd_footer *footer, uint8_t ret[VHD_FOOTER_SIZE],
                     struct error *err)
{
        struct vhd_geometry g = vhd_geometry(footer->size);
        struct footer f = constant;
        uint64_t seconds = MAX(footer->time_stamp, EPOCH_2000) - EPOCH_2000;

        if (footer->size == 0 || footer->size % MIB != 0 || footer->size > VHD_DISK_MAX)
                return error_set(err, -EINVAL, "a VHD of %llu bytes: only whole MiB up to 2040 GiB",
                                 (unsigned long long)footer->size);
        memcpy(f.cookie, cookie, sizeof(f.cookie));
        f.features = htobe32(f.features);
        f.file_format_version = htobe32(f.file_format_version);
        f.data_offset = htobe64(NO_OFFSET);
        f.time_stamp = htobe32((uint32_t)MIN(seconds, (uint64_t)UINT32_MAX));
        f.creator_version = htobe32(f.creator_version);
        f.original_size = f.current_size = htobe64(footer->size);
        f.cylinders = htobe16((uint16_t)g.cylinders);
        f.heads = (uint8_t)g.heads;
        f.sectors_per_track = (uint8_t)g.sectors_per_track;
        f.disk_type = htobe32(TYPE_FIXED);
        memcpy(f.unique_id, footer->uuid.bytes, UUID_SIZE);
        f.checksum = htobe32(checksum(&f));
        memcpy(ret, &f, sizeof(f));
        return 0;
}

int vhd_footer_parse(const uint8_t data[VHD_FOOTER_SIZE], uint64_t file_size, bool *ret_found,
                     struct vhd_footer *ret, struct error *err)
{
        struct footer f;
        uint64_t size;

        memcpy(&f, data, sizeof(f));
        *ret_found = memcmp(f.cookie, cookie, sizeof(f.cookie)) == 0;
        if (!*ret_found)
                return 0;
        if (checksum(&f) != be32toh(f.checksum))
                return error_set(err, -EBADMSG, "the VHD's footer is damaged");
        if (be32toh(f.disk_type) != TYPE_FIXED)
                return error_set(err, -ENOTSUP, "a VHD of type %u: only fixed ones (type %u)",
                                 be32toh(f.disk_type), TYPE_FIXED);
        size = be64toh(f.current_size);
        if (size > VHD_DISK_MAX || size + VHD_FOOTER_SIZE != file_size)
                return error_set(err, -EBADMSG,
                                 "the VHD's footer is of a disk of %llu bytes, but the file has "
                                 "%llu",
                                 (unsigned long long)size, (unsigned long long)file_size);
        *ret = (struct vhd_footer){ .size = size,
                                    .time_stamp = be32toh(f.time_stamp) + EPOCH_2000 };
        memcpy(ret->uuid.bytes, f.unique_id, UUID_SIZE);
        return 0;
}

int vhd_footer_read(int fd, bool *ret_found, struct vhd_footer *ret, struct error *err)
{
        uint8_t data[VHD_FOOTER_SIZE] = {};
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_errno(err, "VHD");
        if ((uint64_t)st.st_size < sizeof(data)) {
                *ret_found = false;
                return 0;
        }
        r = io_pread(fd, data, sizeof(data), (uint64_t)st.st_size - sizeof(data), NULL, err);
        return r < 0 ? r : vhd_footer_parse(data, (uint64_t)st.st_size, ret_found, ret, err);
}
