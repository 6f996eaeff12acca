/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A fixed VHD, what Azure boots: the disk as it is, with its holes, and a footer (vhd.h). */

#include "derive.h"
#include "io.h"
#include "output-formats.h"
#include "vhd.h"

static int write_footer(const struct output_disk *disk, int fd, struct error *err)
{
        struct vhd_footer footer = { .size = disk->size, .time_stamp = disk->epoch };
        uint8_t data[VHD_FOOTER_SIZE];
        int r;

        derive_uuid(disk->identity, "vhd", &footer.uuid);
        r = vhd_footer_write(&footer, data, err);
        return r < 0 ? r : io_pwrite(fd, data, sizeof(data), disk->size, err);
}

/* The footer goes first: it makes the file as long as it will be, and knows which sizes are none.
 */
static int vhd_write(const struct output_disk *disk, int fd, struct sha256 *ret_digest,
                     struct error *err)
{
        int r = write_footer(disk, fd, err);

        if (r >= 0)
                r = io_copy(disk->fd, 0, fd, 0, disk->size, err);
        if (r >= 0)
                r = sparse_digest(fd, disk->size + VHD_FOOTER_SIZE, disk->known, disk->threads,
                                  ret_digest, err);
        return error_prefix(err, r, "vhd");
}

const struct output_ops output_vhd = {
        .name = "vhd",
        .suffix = ".vhd",
        .sparse = true,
        .write = vhd_write,
};
