/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What systemd-boot says about the boot that runs: texts in variables of the firmware.
 * https://systemd.io/BOOT_LOADER_INTERFACE/ */

#include "error.h"

#define LOADER_VENDOR "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

enum { LOADER_TEXT_MAX = 512 };

/* The text of a loader variable as efivarfs gives it: 4 bytes of attributes, then UTF-16 with or
 * without a NUL. -EINVAL for what cannot be one: odd sizes, non-ASCII, longer than the limit. */
int loader_variable_decode(const void *data, size_t size, char ret[LOADER_TEXT_MAX]) _must_check_;

/* The variable `name` ("LoaderBootCountPath") of this machine. 1: there; 0: no such variable. */
int loader_variable_read(const char *name, char ret[LOADER_TEXT_MAX],
                         struct error *err) _must_check_;
