/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Debian Policy 5.6.12: [epoch:]upstream[-revision]. Both parts compare in alternating runs of
 * non-digits (letters before everything else, '~' before even the end) and numbers. */

#include <ctype.h>

#include "deb-version.h"

enum { RELATION_MAX = 512 };

static int byte_order(char c)
{
        if (c == '~')
                return -1;
        if (c == '\0' || isdigit((unsigned char)c))
                return 0;
        return isalpha((unsigned char)c) ? (unsigned char)c : (unsigned char)c + 256;
}

/* Compares two runs of digits as numbers of any length, and moves behind both. */
static int compare_numbers(const char **a, const char **b)
{
        size_t n, m;
        int order;

        *a += strspn(*a, "0");
        *b += strspn(*b, "0");
        n = strspn(*a, "0123456789");
        m = strspn(*b, "0123456789");
        order = n != m ? (n < m ? -1 : 1) : strncmp(*a, *b, n);
        *a += n;
        *b += m;
        return order;
}

static int compare_part(const char *a, const char *b)
{
        int order = 0;

        while (order == 0 && (*a != '\0' || *b != '\0')) {
                while (order == 0 && (byte_order(*a) != 0 || byte_order(*b) != 0)) {
                        order = byte_order(*a) - byte_order(*b);
                        a += *a != '\0' && byte_order(*a) != 0;
                        b += *b != '\0' && byte_order(*b) != 0;
                }
                if (order == 0)
                        order = compare_numbers(&a, &b);
        }
        return order;
}

/* A version cut into its parts, which point into `text`. */
struct version {
        unsigned long epoch;
        char *upstream, *revision;
        char text[RELATION_MAX];
};

static void version_split(const char *s, struct version *ret)
{
        char *colon, *dash;

        snprintf(ret->text, sizeof(ret->text), "%s", s);
        colon = strchr(ret->text, ':');
        ret->epoch = colon ? strtoul(ret->text, NULL, 10) : 0;
        ret->upstream = colon ? colon + 1 : ret->text;
        dash = strrchr(ret->upstream, '-');
        ret->revision = dash ? dash + 1 : ret->upstream + strlen(ret->upstream);
        if (dash)
                *dash = '\0';
}

int deb_version_compare(const char *a, const char *b)
{
        struct version x, y;
        int order;

        version_split(a, &x);
        version_split(b, &y);
        if (x.epoch != y.epoch)
                return x.epoch < y.epoch ? -1 : 1;
        order = compare_part(x.upstream, y.upstream);
        return order != 0 ? order : compare_part(x.revision, y.revision);
}

static bool operator_holds(const char *operator, int order)
{
        static const struct {
                const char *name;
                bool less, equal, greater;
        } operators[] = {
                { "<<", true, false, false }, { "<=", true, true, false },
                { "=", false, true, false },  { ">=", false, true, true },
                { ">>", false, false, true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
                if (streq(operators[i].name, operator))
                        return order < 0   ? operators[i].less
                               : order > 0 ? operators[i].greater
                                           : operators[i].equal;
        return false;
}

/* One relation: "name[:arch] [(operator version)]". */
static bool one_matches(const char *relation, const char *name, const char *version)
{
        char found[RELATION_MAX], operator[3], limit[RELATION_MAX];
        const char *condition = strchr(relation, '(');

        if (sscanf(relation, " %511[^ \t\n(:]", found) != 1 || !streq(found, name))
                return false;
        if (!condition)
                return true;
        return sscanf(condition, "( %2[<=>] %511[^) ]", operator, limit) == 2 &&
               operator_holds(operator, deb_version_compare(version, limit));
}

bool deb_relation_matches(const char *field, const char *name, const char *version)
{
        while (*field != '\0') {
                size_t n = strcspn(field, ",");
                char relation[RELATION_MAX];

                snprintf(relation, sizeof(relation), "%.*s", (int)MIN(n, sizeof(relation)), field);
                if (one_matches(relation, name, version))
                        return true;
                field += n + (field[n] == ',');
        }
        return false;
}
