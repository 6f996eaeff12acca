/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See unit-syntax.h. Accepts what the original's parser accepts, which is more than systemd does:
 * anything before the first '[' is skipped, a comment may be continued with a backslash, and an
 * option's name is whatever stands before '='. */

#include "unit-syntax.h"

struct cursor {
        const char *at;
        struct error *err;
};

/* The rest of the line, which the cursor leaves behind. */
static void take_line(struct cursor *c, const char **ret, size_t *ret_size)
{
        size_t n = strcspn(c->at, "\n");

        *ret = c->at;
        *ret_size = n;
        c->at += n + (c->at[n] == '\n');
}

/* Bytes of the white space (of Unicode) at s, 0 when there is none. */
static size_t space_length(const char *s)
{
        static const char *const wide[] = { "\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001",
                                            "\u2002",   "\u2003", "\u2004", "\u2005", "\u2006",
                                            "\u2007",   "\u2008", "\u2009", "\u200a", "\u2028",
                                            "\u2029",   "\u202f", "\u205f", "\u3000" };

        if (*s && strchr(" \t\r\n\v\f", *s))
                return 1;
        for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
                if (startswith(s, wide[i]))
                        return strlen(wide[i]);
        return 0;
}

static bool is_blank(const char *s, size_t size)
{
        const char *end = s + size;
        size_t n;

        while (s < end && (n = space_length(s)) > 0)
                s += n;
        return s >= end;
}

/* The original's buffer leaves one byte more to the first line. */
static int check_lengths(const char *text, struct error *err)
{
        size_t limit = UNIT_LINE_MAX;

        while (*text) {
                size_t n = strcspn(text, "\n");

                if (n - (n > 0 && text[n - 1] == '\r') > limit)
                        return error_set(err, -EINVAL, "line too long (max %d bytes)",
                                         UNIT_LINE_MAX);
                text += n + (text[n] == '\n');
                limit = UNIT_LINE_MAX - 1;
        }
        return 0;
}

/* A comment, or an option's value: lines as long as they end with a backslash. */
static void skip_continued(struct cursor *c, bool comment)
{
        const char *line;
        size_t size;

        do {
                take_line(c, &line, &size);
                if (comment && size > 0 && line[size - 1] == ' ')
                        size--;
        } while (size > 0 && line[size - 1] == '\\' && *c->at);
}

static int section(struct cursor *c, bool *ret_install)
{
        size_t n = strcspn(c->at, "]");
        const char *name = c->at, *garbage;
        size_t size;

        if (c->at[n] != ']')
                return error_set(c->err, -EINVAL, "unable to find end of section");
        c->at += n + 1;
        take_line(c, &garbage, &size);
        if (!is_blank(garbage, size))
                return error_set(c->err, -EINVAL, "found garbage after section name %.*s: \"%.*s\"",
                                 (int)MIN(n, (size_t)80), name, (int)MIN(size, (size_t)80),
                                 garbage);
        *ret_install = n == strlen("Install") && strncmp(name, "Install", n) == 0;
        return 0;
}

static int option(struct cursor *c)
{
        size_t n = strcspn(c->at, "=\r\n");

        if (c->at[n] == '\0')
                return error_set(c->err, -EINVAL, "option without '=' at the end");
        if (c->at[n] != '=')
                return error_set(c->err, -EINVAL,
                                 "unexpected newline encountered while parsing option name");
        c->at += n + 1;
        skip_continued(c, false);
        return 0;
}

int unit_syntax_check(const char *text, bool *ret_install, struct error *err)
{
        struct cursor c = { text, err };
        bool in_section = false, in_install = false, install = false;

        int r = check_lengths(text, err);

        while (r >= 0 && *c.at) {
                if (*c.at == '[') {
                        c.at++;
                        in_section = true;
                        r = section(&c, &in_install);
                } else if (*c.at == '#' || *c.at == ';')
                        skip_continued(&c, true);
                else if (!in_section || space_length(c.at) > 0)
                        c.at += space_length(c.at) ?: 1;
                else {
                        install = install || in_install;
                        r = option(&c);
                }
        }
        if (r >= 0 && ret_install)
                *ret_install = install;
        return r;
}

bool unit_template(const char *name, char *ret, size_t size)
{
        const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

        if (!at || !dot || dot <= at + 1)
                return false;
        return (size_t)snprintf(ret, size, "%.*s@%s", (int)(at - name), name, dot) < size;
}
