/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Blessing: the entry that was booted loses its counter, so that systemd-boot goes on choosing it.
 * Which one it was says the variable LoaderBootCountPath, where the ESP is LoaderDevicePartUUID.
 * https://systemd.io/BOOT_LOADER_INTERFACE/ */

#include "boot-entry.h"

#define LOADER_VENDOR "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

enum { LOADER_TEXT_MAX = 512 };

/* The text of a loader variable as efivarfs gives it: 4 bytes of attributes, then UTF-16 with or
 * without a NUL. -EINVAL for what cannot be one: odd sizes, non-ASCII, longer than the limit. */
int loader_variable_decode(const void *data, size_t size, char ret[LOADER_TEXT_MAX]) _must_check_;

/* Renames the entry `path` ("\EFI\Linux\slipway_1.2.0+2-1.efi") below the ESP to its name without
 * counter, durably. ret_version gets the release. -EINVAL when the path is no entry of ours. An
 * entry that is blessed already is success. */
int bless_entry(int esp_fd, const char *path, char ret_version[BOOT_VERSION_MAX + 1],
                struct error *err) _must_check_;
