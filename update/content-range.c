/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See content-range.h. */

#include <errno.h>

#include "content-range.h"

enum { DIGITS_MAX = 19 /* less than 2^64 whatever they are */ };

/* Digits up to that byte, which is passed over. */
static bool take_number(const char **text, char end, uint64_t *ret)
{
        size_t n = strspn(*text, "0123456789");

        if (n == 0 || n > DIGITS_MAX || (*text)[n] != end)
                return false;
        *ret = strtoull(*text, NULL, 10);
        *text += n + (end != '\0');
        return true;
}

int content_range_parse(const char *text, struct content_range *ret)
{
        struct content_range r;

        text = startswith(text, "bytes ");
        if (!text || !take_number(&text, '-', &r.first) || !take_number(&text, '/', &r.last) ||
            !take_number(&text, '\0', &r.total) || r.first > r.last || r.last >= r.total)
                return -EINVAL;
        *ret = r;
        return 0;
}
