/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bytes as text: hex digits and UUIDs. Apart from digests, so that who only reads and writes them
 * does not load a library for cryptography. */

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { UUID_SIZE = 16, UUID_TEXT_SIZE = 37 /* with NUL */ };

/* RFC 9562 byte order (big-endian fields), as printed. GPT stores the first three fields swapped:
 * that is the GPT writer's business. */
struct uuid {
        uint8_t bytes[UUID_SIZE];
};

void hex_encode(const void *data, size_t size, char *ret /* 2 * size + 1 */);
/* Exactly size bytes from 2 * size hex digits and the end of the string; 0 or -EINVAL. */
int hex_decode(const char *hex, void *ret, size_t size) _must_check_;

/* Lower-case text form in ret (UUID_TEXT_SIZE bytes); returns ret. */
char *uuid_text(const struct uuid *u, char *ret);
/* 8-4-4-4-12 hex digits, either case; 0 or -EINVAL. */
int uuid_parse(const char *text, struct uuid *ret) _must_check_;
