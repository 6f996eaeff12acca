/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See number.h. */

#include "number.h"

enum { NUMBER_BITS = 63 };

void number_put(struct buffer *b, uint64_t number)
{
        uint8_t byte;

        do {
                byte = (uint8_t)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
                buffer_append(b, &byte, 1);
                number >>= 7;
        } while (number > 0);
}

const char *number_take(const uint8_t **at, const uint8_t *end, uint64_t max, uint64_t *ret)
{
        const uint8_t *next = *at;
        uint64_t number = 0;

        for (unsigned shift = 0; shift < NUMBER_BITS; shift += 7) {
                uint8_t byte;

                if (next == end)
                        return "it ends early";
                byte = *next++;
                number |= (uint64_t)(byte & 0x7f) << shift;
                if (byte & 0x80)
                        continue;
                if (number > max)
                        return "a number is too large";
                *at = next;
                *ret = number;
                return NULL;
        }
        return "a number is too long";
}
