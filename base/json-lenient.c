/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Texts that Go's decoder takes and json-c does not, or not in the same way. A byte that is not
 * UTF-8 and a surrogate without its other half each become U+FFFD, as there. "\u0000" becomes
 * "\u0001": a C string cannot hold it, and one control character is as good as another. A key that
 * stands again in its object gets a mark, or json-c would forget the value before it. Only the
 * text that json-c reads is changed: positions are those of the original. */

#include <ctype.h>

#include "json-internal.h"

static const char replacement[] = "\xef\xbf\xbd";

size_t utf8_length(const char *text, size_t size)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const uint8_t *p = (const uint8_t *)text;
        size_t n = p[0] < 0x80   ? 1
                   : p[0] < 0xc2 ? 0
                   : p[0] < 0xe0 ? 2
                   : p[0] < 0xf0 ? 3
                   : p[0] < 0xf5 ? 4
                                 : 0;
        uint32_t c = n <= 1 ? p[0] : p[0] & (0x7fU >> n);

        if (n == 0 || size < n)
                return 0;
        for (size_t k = 1; k < n; k++) {
                if ((p[k] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[k] & 0x3f);
        }
        return n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) ? 0 : n;
}

/* The code unit of "\uXXXX" at text, or -1. */
static long code_unit(const char *text, size_t size)
{
        char digits[5] = {};

        if (size < 6 || text[0] != '\\' || text[1] != 'u')
                return -1;
        memcpy(digits, text + 2, 4);
        return isxdigit((unsigned char)digits[0]) ? strtol(digits, NULL, 16) : -1;
}

/* Copies the escape sequence at text; returns its length. */
static size_t copy_escape(struct buffer *to, const char *text, size_t size)
{
        long unit = code_unit(text, size);
        bool pair = unit >= 0xd800 && unit < 0xdc00;

        if (unit < 0) {
                buffer_append(to, text, MIN(size, (size_t)2));
                return MIN(size, (size_t)2);
        }
        if (pair) {
                long low = code_unit(text + 6, size - 6);

                if (low >= 0xdc00 && low < 0xe000) {
                        buffer_append(to, text, 12);
                        return 12;
                }
        }
        if (unit == 0 || unit == 2)
                buffer_puts(to, "\\u0001");
        else if (unit >= 0xd800 && unit < 0xe000)
                buffer_puts(to, replacement);
        else
                buffer_append(to, text, 6);
        return 6;
}

/* A run of bytes that stay as they are. */
static size_t plain_run(const char *text, size_t size)
{
        size_t n = 0;

        for (;;) {
                size_t length;

                while (n < size && (uint8_t)text[n] < 0x80 && text[n] != '\\')
                        n++;
                length = n < size && text[n] != '\\' ? utf8_length(text + n, size - n) : 0;
                if (length == 0)
                        return n;
                n += length;
        }
}

int json_replace(const char *text, size_t size, struct buffer *ret)
{
        for (size_t i = 0; i < size;) {
                size_t n = plain_run(text + i, size - i);

                buffer_append(ret, text + i, n);
                i += n;
                if (i >= size)
                        break;
                if (text[i] == '\\') {
                        i += copy_escape(ret, text + i, size - i);
                        continue;
                }
                buffer_puts(ret, replacement);
                i++;
        }
        buffer_append(ret, "", 0);
        return ret->failed || !ret->data ? -ENOMEM : 0;
}

int json_mark(const char *text, size_t size, const struct json_duplicate *duplicates, size_t count,
              struct buffer *ret)
{
        size_t at = 0;

        for (size_t i = 0; i < count; i++) {
                if (json_replace(text + at, duplicates[i].offset - at, ret) < 0)
                        return -ENOMEM;
                buffer_printf(ret, "\\u0002%d", duplicates[i].count);
                at = duplicates[i].offset;
        }
        return json_replace(text + at, size - at, ret);
}
