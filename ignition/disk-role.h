/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a disk of a machine on Azure is for. */

#include "strv.h"

enum { DISK_NAME_MAX = 64, DISK_NUMBER_MAX = 1023 };

enum disk_purpose {
        DISK_UNKNOWN,
        DISK_OS,
        DISK_RESOURCE, /* local, formatted by the host */
        DISK_DATA,
        DISK_LOCAL, /* local NVMe */
        _DISK_PURPOSE_MAX
};

struct disk_role {
        enum disk_purpose purpose;
        int lun, controller, index; /* -1: it has none */
        char name[DISK_NAME_MAX + 1];
};

/* Of the block device whose directory in sysfs this is (a real path, not a symlink); its node is
 * looked up in `devices` ("/dev"). */
void disk_role_find(const char *syspath, const char *devices, struct disk_role *ret);
/* Adds what the text in an NVMe namespace's vendor-specific data says: "type=local,index=1,
 * name=nvme-440G-1", ended by NUL or by its size. What it does not know, or what is out of bounds,
 * is passed over. */
void disk_role_parse(const char *text, size_t size, struct disk_role *role);
/* Appends AZURE_DISK_…=… lines for udev; nothing for a disk of unknown purpose. */
void disk_role_text(const struct disk_role *role, struct buffer *b);
