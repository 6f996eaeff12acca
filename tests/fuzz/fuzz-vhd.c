/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the end of a file: no footer, refused, or of the disk that is in front of it. What
 * is accepted, and of a size that we write, says the same when we write it. */

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "vhd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct vhd_footer *footer)
{
        uint8_t data[VHD_FOOTER_SIZE];
        struct vhd_footer read = {};
        bool found = false;

        if (vhd_footer_write(footer, data, NULL) < 0)
                return;
        assert(vhd_footer_parse(data, footer->size + VHD_FOOTER_SIZE, &found, &read, NULL) == 0);
        assert(found && read.size == footer->size && read.time_stamp == footer->time_stamp);
        assert(memcmp(&read.uuid, &footer->uuid, sizeof(read.uuid)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t footer[VHD_FOOTER_SIZE] = {};
        struct vhd_footer parsed = {};
        uint64_t disk_size;
        bool found;

        memcpy(footer, data, size < sizeof(footer) ? size : sizeof(footer));
        memcpy(&disk_size, footer + 48, sizeof(disk_size));
        disk_size = be64toh(disk_size);
        if (vhd_footer_parse(footer, disk_size + VHD_FOOTER_SIZE, &found, &parsed, NULL) < 0 ||
            !found)
                return 0;
        assert(parsed.size == disk_size && disk_size <= VHD_DISK_MAX);
        again(&parsed);
        return 0;
}
