/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Blessing: the entry that was booted loses its counter, so that systemd-boot goes on choosing it.
 * Which one it was says the variable LoaderBootCountPath, where the ESP is LoaderDevicePartUUID.
 * https://systemd.io/BOOT_LOADER_INTERFACE/ */

#include "boot-entry.h"

/* The entry that a path of the boot loader names: "\EFI\Linux\slipway_1.2.0+2-1.efi", in any case
 * and with any number of backslashes. -EINVAL: no entry of ours. */
int bless_parse(const char *path, struct boot_entry *ret) _must_check_;

/* Renames the entry `path` ("\EFI\Linux\slipway_1.2.0+2-1.efi") below the ESP to its name without
 * counter, durably. ret_version gets the release. -EINVAL when the path is no entry of ours. An
 * entry that is blessed already is success. */
int bless_entry(int esp_fd, const char *path, char ret_version[BOOT_VERSION_MAX + 1],
                struct error *err) _must_check_;
