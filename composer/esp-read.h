/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An EFI system partition inside a disk image, read through mtools. */

#include "layout.h"

/* Whether it is FAT32 whose two tables say the same: -EBADMSG. */
int esp_check(int disk_fd, const struct partition *esp, struct error *err) _must_check_;
/* The paths of all files, "EFI/BOOT/BOOTX64.EFI"; caller frees. */
int esp_list(const char *disk, const struct partition *esp, char ***ret,
             struct error *err) _must_check_;
/* A file; -EFBIG when it is larger. Caller frees *ret. */
int esp_read(const char *disk, const struct partition *esp, const char *name, size_t limit,
             char **ret, size_t *ret_size, struct error *err) _must_check_;
