/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The footer of a fixed VHD ("Virtual Hard Disk Image Format Specification", Microsoft, 2006): what
 * makes a raw disk one. */

#include "uuid.h"

enum { VHD_FOOTER_SIZE = 512 };

#define VHD_DISK_MAX (2040ULL * GIB) /* what the format's readers agree on */

struct vhd_geometry {
        unsigned cylinders, heads, sectors_per_track;
};

struct vhd_footer {
        uint64_t size;       /* of the disk, bytes */
        struct uuid uuid;    /* of this VHD */
        uint64_t time_stamp; /* seconds since 1970; what lies before 2000 counts as 2000 */
};

/* The specification's algorithm. It names at most as many sectors as the disk has. */
struct vhd_geometry vhd_geometry(uint64_t disk_size);

/* The footer's bytes. -EINVAL for a size that is not whole MiB (Azure takes no other), or too big.
 */
int vhd_footer_write(const struct vhd_footer *footer, uint8_t ret[VHD_FOOTER_SIZE],
                     struct error *err) _must_check_;
/* The last bytes of a file of that size. *ret_found false: they are no footer. -EBADMSG: they are
 * one, which is damaged or does not fit the file; -ENOTSUP: of a VHD that is not a fixed one. */
int vhd_footer_parse(const uint8_t data[VHD_FOOTER_SIZE], uint64_t file_size, bool *ret_found,
                     struct vhd_footer *ret, struct error *err) _must_check_;
/* The same of an open file. */
int vhd_footer_read(int fd, bool *ret_found, struct vhd_footer *ret,
                    struct error *err) _must_check_;
