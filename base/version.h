/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Versions of releases, which are also names of partitions and boot entries. */

#include "macro.h"

enum { VERSION_MAX = 64 };

#define VERSION_CHARACTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.~^_-"

bool version_valid(const char *version);
/* Older (< 0), the same or newer (> 0) as systemd and systemd-boot see it, any text: UAPI.10,
 * https://uapi-group.org/specifications/specs/version_format_specification/ */
int version_compare(const char *a, const char *b);
