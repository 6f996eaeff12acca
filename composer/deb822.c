/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See deb822.h. Reading never fails: a text is a sequence of lines, an empty one ends a stanza, one
 * that starts with a blank continues the field above, and anything without a colon is no field. */

#include <ctype.h>
#include <strings.h>

#include "deb822.h"

void deb822_init(struct deb822 *d, const char *text, size_t size)
{
        *d = (struct deb822){ .next = text, .end = text + size };
}

static const char *line_end(const struct deb822 *d, const char *line)
{
        const char *newline = memchr(line, '\n', (size_t)(d->end - line));

        return newline ?: d->end;
}

static bool line_blank(const char *line, const char *end)
{
        while (line < end && isspace((unsigned char)*line))
                line++;
        return line == end;
}

static void trim(const char **start, const char **end)
{
        while (*start < *end && isspace((unsigned char)**start))
                (*start)++;
        while (*end > *start && isspace((unsigned char)(*end)[-1]))
                (*end)--;
}

/* Takes the continuation lines that follow; returns the end of the last one. A comment between them
 * belongs to the value then; no reader of ours minds. */
static const char *continuation(struct deb822 *d, const char *end)
{
        while (d->next < d->end && (*d->next == ' ' || *d->next == '\t')) {
                const char *stop = line_end(d, d->next);

                if (line_blank(d->next, stop))
                        break;
                end = stop;
                d->next = stop < d->end ? stop + 1 : stop;
        }
        return end;
}

static bool make_field(struct deb822 *d, const char *line, const char *colon, const char *end,
                       struct deb822_field *ret)
{
        const char *value = colon + 1;
        const char *name_end = colon;

        end = continuation(d, end);
        trim(&line, &name_end);
        trim(&value, &end);
        *ret = (struct deb822_field){ line, value, (size_t)(name_end - line), (size_t)(end - value),
                                      !d->inside };
        d->inside = true;
        return true;
}

bool deb822_next(struct deb822 *d, struct deb822_field *ret)
{
        while (d->next < d->end) {
                const char *line = d->next, *end = line_end(d, line);
                const char *colon = memchr(line, ':', (size_t)(end - line));

                d->next = end < d->end ? end + 1 : end;
                if (line_blank(line, end))
                        d->inside = false;
                else if (*line != '#' && *line != ' ' && *line != '\t' && colon)
                        return make_field(d, line, colon, end, ret);
        }
        return false;
}

bool deb822_is(const struct deb822_field *f, const char *name)
{
        return f->name_size == strlen(name) && strncasecmp(f->name, name, f->name_size) == 0;
}

char *deb822_value(const struct deb822_field *f)
{
        return strndup(f->value, f->value_size);
}

bool deb822_bool(const struct deb822_field *f, bool otherwise)
{
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "yes", true },  { "true", true },   { "with", true },     { "on", true },
                { "1", true },    { "enable", true }, { "no", false },      { "false", false },
                { "off", false }, { "0", false },     { "without", false }, { "disable", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (f->value_size == strlen(words[i].word) &&
                    strncasecmp(f->value, words[i].word, f->value_size) == 0)
                        return words[i].value;
        return otherwise;
}
