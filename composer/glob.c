/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* glob_match() of merge.h. Our own and not fnmatch(): `**` must cross components, the locale must
 * not matter, and no pattern may take exponential time. The classic two-pointer walk does it: only
 * the last star (and the last double star) ever has to be tried again one byte further on, because
 * an earlier one could only match what the later one can reach as well.
 *
 *   *      any bytes within one component       **   any bytes, also '/'
 *   ?      one byte that is not '/'             \x   the byte x
 *   [a-z]  one byte of a set, [!…] or [^…]: one byte not in it; never '/' */

#include "merge.h"

/* Matches one byte against the set at *pattern (behind its '['); moves *pattern behind the ']'.
 * -1 when the set does not end: then '[' is an ordinary byte. */
static int match_set(const char **pattern, unsigned char c)
{
        const char *p = *pattern;
        bool negated = *p == '!' || *p == '^', matched = false;

        p += negated;
        for (const char *first = p; *p != ']' || p == first; p++) {
                unsigned char low = (unsigned char)*p, high = low;

                if (low == '\0')
                        return -1;
                if (p[1] == '-' && p[2] != ']' && p[2] != '\0') {
                        high = (unsigned char)p[2];
                        p += 2;
                }
                matched |= low <= c && c <= high;
        }
        *pattern = p + 1;
        return c != '/' && matched != negated;
}

/* Matches one byte of the path against the element at *pattern and moves behind that. */
static bool match_one(const char **pattern, char c)
{
        const char *p = *pattern + 1;
        int r;

        switch (**pattern) {
        case '?': *pattern = p; return c != '/';
        case '[':
                r = match_set(&p, (unsigned char)c);
                *pattern = p;
                return r < 0 ? c == '[' : r > 0;
        case '\\':
                if (*p == '\0')
                        return false;
                *pattern = p + 1;
                return c == *p;
        default: *pattern = p; return c == p[-1];
        }
}

/* A place to come back to: the pattern behind the star, and where the star's bytes end. */
struct star {
        const char *pattern, *path;
};

/* Lets a star take one byte more; false when it cannot. */
static bool star_grow(struct star *star, bool crosses, const char **pattern, const char **path)
{
        if (!star->pattern || *star->path == '\0' || (!crosses && *star->path == '/'))
                return false;
        star->path++;
        *pattern = star->pattern;
        *path = star->path;
        return true;
}

bool glob_match(const char *pattern, const char *path)
{
        struct star one = {}, any = {};

        while (*path != '\0' || *pattern != '\0') {
                if (pattern[0] == '*' && pattern[1] == '*') {
                        pattern += strspn(pattern, "*");
                        any = (struct star){ pattern, path };
                        one = (struct star){};
                        continue;
                }
                if (pattern[0] == '*') {
                        one = (struct star){ ++pattern, path };
                        continue;
                }
                if (*path != '\0' && *pattern != '\0' && match_one(&pattern, *path)) {
                        path++;
                        continue;
                }
                if (star_grow(&one, false, &pattern, &path))
                        continue;
                one = (struct star){};
                if (!star_grow(&any, true, &pattern, &path))
                        return false;
        }
        return true;
}
