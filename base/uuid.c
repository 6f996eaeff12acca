/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See uuid.h. */

#include "uuid.h"

static const uint8_t group_lengths[] = { 4, 2, 2, 2, 6 };

void hex_encode(const void *data, size_t size, char *ret)
{
        static const char digits[] = "0123456789abcdef";
        const uint8_t *bytes = data;

        for (size_t i = 0; i < size; i++) {
                ret[2 * i] = digits[bytes[i] >> 4];
                ret[2 * i + 1] = digits[bytes[i] & 15];
        }
        ret[2 * size] = '\0';
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int hex_decode(const char *hex, void *ret, size_t size)
{
        uint8_t *bytes = ret;

        if (strlen(hex) != 2 * size)
                return -EINVAL;
        for (size_t i = 0; i < size; i++)
                if (hex_digit(hex[2 * i]) < 0 || hex_digit(hex[2 * i + 1]) < 0)
                        return -EINVAL;
        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
        return 0;
}

char *uuid_text(const struct uuid *u, char *ret)
{
        const uint8_t *bytes = u->bytes;
        char *out = ret;

        for (size_t g = 0; g < ARRAY_SIZE(group_lengths); g++) {
                if (g > 0)
                        *out++ = '-';
                hex_encode(bytes, group_lengths[g], out);
                out += 2 * group_lengths[g];
                bytes += group_lengths[g];
        }
        return ret;
}

int uuid_parse(const char *text, struct uuid *ret)
{
        struct uuid uuid;
        uint8_t *bytes = uuid.bytes;

        if (strlen(text) != UUID_TEXT_SIZE - 1)
                return -EINVAL;
        for (size_t g = 0; g < ARRAY_SIZE(group_lengths); g++) {
                char group[13];
                size_t n = 2 * group_lengths[g];

                if (g > 0 && *text++ != '-')
                        return -EINVAL;
                memcpy(group, text, n);
                group[n] = '\0';
                if (hex_decode(group, bytes, group_lengths[g]) < 0)
                        return -EINVAL;
                text += n;
                bytes += group_lengths[g];
        }
        *ret = uuid;
        return 0;
}
