/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See version.h. Texts are compared piece by piece. A piece is a run of digits or of letters; what
 * comes before it decides when only one of the texts has it:
 *
 *   ~ makes older than everything, the end of the text too; then - ^ and . in this order make older
 *   than a piece that follows at once.
 *
 * Other characters only separate. */

#include "version.h"

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int compare_sizes(size_t a, size_t b)
{
        return (a > b) - (a < b);
}

/* One that has the mark is older; two that have it go on behind it. */
static int compare_mark(const char **a, const char **b, char mark)
{
        bool has_a = **a == mark, has_b = **b == mark;

        if (has_a && has_b) {
                ++*a;
                ++*b;
        }
        return has_b - has_a;
}

/* Any number, even zero, is newer than none. */
static int compare_numbers(const char **a, const char **b)
{
        int r = is_digit(**a) - is_digit(**b);
        size_t n, m;

        *a += strspn(*a, "0");
        *b += strspn(*b, "0");
        for (n = 0; is_digit((*a)[n]);)
                n++;
        for (m = 0; is_digit((*b)[m]);)
                m++;
        r = r ?: compare_sizes(n, m) ?: memcmp(*a, *b, n);
        *a += n;
        *b += m;
        return r;
}

static int compare_words(const char **a, const char **b)
{
        size_t n, m;
        int r;

        for (n = 0; is_letter((*a)[n]);)
                n++;
        for (m = 0; is_letter((*b)[m]);)
                m++;
        r = memcmp(*a, *b, MIN(n, m)) ?: compare_sizes(n, m);
        *a += n;
        *b += m;
        return r;
}

static const char *skip_others(const char *s)
{
        while (*s && !is_digit(*s) && !is_letter(*s) && !strchr("~-^.", *s))
                s++;
        return s;
}

int version_compare(const char *a, const char *b)
{
        for (;;) {
                int r;

                a = skip_others(a);
                b = skip_others(b);
                r = compare_mark(&a, &b, '~');
                if (r != 0)
                        return r;
                if (!*a || !*b)
                        return !!*a - !!*b;
                r = compare_mark(&a, &b, '-') ?: compare_mark(&a, &b, '^')
                                              ?: compare_mark(&a, &b, '.');
                if (r != 0)
                        return r;
                r = is_digit(*a) || is_digit(*b) ? compare_numbers(&a, &b) : compare_words(&a, &b);
                if (r != 0)
                        return r;
        }
}

bool version_valid(const char *version)
{
        size_t n = strspn(version, VERSION_CHARACTERS);

        return n > 0 && n <= VERSION_MAX && version[n] == '\0';
}
