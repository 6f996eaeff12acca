/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-azure-disk SYSPATH: for a udev rule (IMPORT{program}), what Azure says a disk is for. In
 * the initrd it runs without anything but libc. */

#include <stdio.h>

#include "disk-role.h"

int main(int argc, char *argv[])
{
        _cleanup_buffer_ struct buffer text = {};
        struct disk_role role;

        if (argc != 2 || *argv[1] != '/') {
                fputs("Usage: slipway-azure-disk /sys/devices/.../block/NAME\n", stderr);
                return 2;
        }
        disk_role_find(argv[1], "/dev", &role);
        disk_role_text(&role, &text);
        if (text.failed)
                return 1;
        if (text.size > 0)
                fputs(text.data, stdout);
        return fflush(stdout) == 0 ? 0 : 1;
}
