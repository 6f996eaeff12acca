/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See base64.h. */

#include <errno.h>

#include "base64.h"

static const char base64_alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Large contents pass through here in the first seconds of a machine: no search for each digit. */
static int base64_digit(char c)
{
        return c >= 'A' && c <= 'Z'   ? c - 'A'
               : c >= 'a' && c <= 'z' ? c - 'a' + 26
               : c >= '0' && c <= '9' ? c - '0' + 52
               : c == '+'             ? 62
               : c == '/'             ? 63
                                      : -1;
}

/* Four digits → up to three bytes; *padding counts the '=' at the end. */
static bool base64_quantum(const char four[4], uint8_t out[3], int *padding)
{
        uint32_t bits = 0;

        *padding = four[3] != '=' ? 0 : four[2] != '=' ? 1 : 2;
        for (int i = 0; i < 4; i++) {
                int digit = i < 4 - *padding ? base64_digit(four[i]) : 0;

                if (digit < 0)
                        return false;
                bits = bits << 6 | (uint32_t)digit;
        }
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
        return true;
}

int base64_decode(const char *text, size_t size, char **ret, size_t *ret_size)
{
        _cleanup_free_ char *data = malloc(size / 4 * 3 + 4);
        size_t n = 0, have = 0;
        int padding = 0;
        char four[4];

        if (!data)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++) {
                if (text[i] == '\r' || text[i] == '\n')
                        continue;
                if (padding > 0)
                        return -EINVAL;
                four[have++] = text[i];
                if (have < 4)
                        continue;
                if (!base64_quantum(four, (uint8_t *)data + n, &padding))
                        return -EINVAL;
                n += 3 - (size_t)padding;
                have = 0;
        }
        if (have > 0)
                return -EINVAL;
        data[n] = '\0';
        *ret = TAKE_PTR(data);
        *ret_size = n;
        return 0;
}

void base64_write(const void *data, size_t size, char *ret)
{
        const uint8_t *in = data;

        for (size_t i = 0; i < size; i += 3) {
                size_t n = MIN(size - i, (size_t)3);
                uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)(n > 1 ? in[i + 1] : 0) << 8 |
                                (n > 2 ? in[i + 2] : 0);

                for (size_t k = 0; k < 4; k++)
                        *ret++ = k <= n ? base64_alphabet[bits >> (18 - 6 * k) & 63] : '=';
        }
        *ret = '\0';
}

char *base64_encode(const void *data, size_t size)
{
        char *text = malloc(BASE64_SIZE(size));

        if (text)
                base64_write(data, size, text);
        return text;
}
