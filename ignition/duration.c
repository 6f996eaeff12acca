/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* [+-]{NUMBER[.FRACTION]UNIT}, of which each sum must fit in 63 bits of nanoseconds; "0" needs no
 * unit. */

#include <ctype.h>

#include "duration.h"

static const struct {
        const char *name;
        uint64_t ns;
} units[] = {
        { "ns", 1 },
        { "us", 1000 },
        { "\u00b5s", 1000 }, /* micro sign */
        { "\u03bcs", 1000 }, /* Greek mu */
        { "ms", 1000 * 1000 },
        { "s", 1000 * 1000 * 1000 },
        { "m", 60 * UINT64_C(1000000000) },
        { "h", 3600 * UINT64_C(1000000000) },
};

static uint64_t unit_ns(const char *name, size_t size)
{
        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (strlen(units[i].name) == size && strncmp(units[i].name, name, size) == 0)
                        return units[i].ns;
        return 0;
}

/* Digits that do not fit are too many before the point, and say nothing more behind it. */
static const char *take_digits(const char *s, uint64_t *ret, double *ret_scale, bool *ret_fits)
{
        for (; isdigit((unsigned char)*s); s++) {
                uint64_t digit = (uint64_t)(*s - '0');

                *ret_fits = *ret_fits && *ret <= (INT64_MAX - digit) / 10;
                if (!*ret_fits)
                        continue;
                *ret = *ret * 10 + digit;
                *ret_scale *= 10;
        }
        return s;
}

/* One NUMBER[.FRACTION]UNIT, added to *total; NULL: it is none. */
static const char *take_term(const char *s, uint64_t *total)
{
        uint64_t whole = 0, fraction = 0, ns;
        double scale = 1, ignored = 1;
        bool fits = true, fraction_fits = true;
        const char *behind = take_digits(s, &whole, &ignored, &fits);
        bool digits = behind > s;
        size_t n;

        s = behind;
        if (*s == '.') {
                behind = take_digits(++s, &fraction, &scale, &fraction_fits);
                digits = digits || behind > s;
                s = behind;
        }
        n = strcspn(s, ".0123456789");
        ns = unit_ns(s, n);
        if (!digits || !fits || ns == 0 || whole > INT64_MAX / ns)
                return NULL;
        whole = whole * ns + (uint64_t)((double)fraction * ((double)ns / scale));
        if (whole > INT64_MAX - *total)
                return NULL;
        *total += whole;
        return s + n;
}

bool duration_parse(const char *text, uint64_t *ret_ms)
{
        const bool negative = *text == '-';
        const char *s = text + (negative || *text == '+');
        uint64_t total = 0;

        if (!*s)
                return false;
        if (streq(s, "0"))
                s++;
        while (s && *s)
                s = take_term(s, &total);
        if (!s)
                return false;
        *ret_ms = negative ? total > 0 : total / 1000000 + (total % 1000000 > 0);
        return true;
}
