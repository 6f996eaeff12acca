/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CRC-32 of the reflected polynomial 0x04c11db7, as partition tables have it. */

#include <stddef.h>
#include <stdint.h>

uint32_t crc32(const void *data, size_t size);
