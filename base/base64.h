/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Standard base64 (RFC 4648 §4, padded). */

#include "macro.h"

/* Of the text of so many bytes, with its NUL. */
#define BASE64_SIZE(size) (DIV_ROUND_UP(size, 3) * 4 + 1)

/* The bytes that a text stands for, line breaks in it ignored; *ret is NUL-terminated. -EINVAL. */
int base64_decode(const char *text, size_t size, char **ret, size_t *ret_size) _must_check_;
/* The reverse, in one line; NULL: out of memory. */
char *base64_encode(const void *data, size_t size) _must_check_;
/* The same into ret, which has BASE64_SIZE(size) bytes. */
void base64_write(const void *data, size_t size, char *ret);
