/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The EFI system partition: FAT32 made by dosfstools and filled by mtools, in place inside the disk
 * image. Everything that could vary (serial number, times, order) is pinned. */

#include "layout.h"
#include "shim.h"
#include "signer.h"

struct esp_contents {
        const void *boot_loader; /* systemd-boot's binary */
        size_t boot_loader_size;
        const struct shim *shim;                /* before the boot loader; NULL: none */
        const struct enrolment_file *enrolment; /* ENROLMENT_FILES of them; NULL: none */
        const char *architecture;
        uint64_t epoch; /* for all times; FAT begins in 1980, earlier becomes that */
};

/* Writes the file system, with all but the UKI, into the partition's range of the disk image at
 * path, which must be a hole and reach behind the range. */
int esp_write(const struct partition *esp, const struct esp_contents *contents, const char *path,
              struct error *err) _must_check_;
/* Puts the file at uki_path there, as the UKI of that version. */
int esp_put_uki(const struct partition *esp, const char *uki_path, const char *version,
                uint64_t epoch, const char *path, struct error *err) _must_check_;
