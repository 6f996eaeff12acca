/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See packages-index.h. A stanza without a Package field is no package and is dropped, so that
 * stanzas and libsolv's packages are the same sequence. */

#include <ctype.h>
#include <strings.h>

#include "packages-index.h"

#define PACKAGES_TEXT_MAX (512 * MIB)

struct line {
        char *text;
        size_t capacity;
        ssize_t size;
};

struct stanza {
        size_t start; /* in the text */
        bool named;
        bool keep; /* the field that continuation lines would belong to */
        uint64_t size;
};

static bool wanted(const char *line, size_t name_size)
{
        static const char *const names[] = {
                "Package",     "Version",   "Architecture", "Multi-Arch", "Provides", "Depends",
                "Pre-Depends", "Conflicts", "Breaks",       "Replaces",   "Filename", "SHA256",
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strlen(names[i]) == name_size && strncasecmp(line, names[i], name_size) == 0)
                        return true;
        return false;
}

static int stanza_end(struct packages_index *p, struct stanza *s, struct error *err)
{
        if (s->named) {
                if (p->count == PACKAGES_MAX)
                        return error_set(err, -EFBIG, "more than %d packages", PACKAGES_MAX);
                if (array_reserve(&p->sizes, &p->capacity, p->count + 1, sizeof(*p->sizes)) < 0)
                        return error_oom(err);
                p->sizes[p->count++] = s->size;
                buffer_puts(&p->text, "\n");
        } else if (p->text.data) {
                p->text.size = s->start;
                p->text.data[s->start] = '\0';
        }
        *s = (struct stanza){ .start = p->text.size };
        return 0;
}

static void stanza_line(struct packages_index *p, struct stanza *s, const struct line *line)
{
        const char *colon = memchr(line->text, ':', (size_t)line->size);
        size_t name_size = colon ? (size_t)(colon - line->text) : 0;

        if (*line->text != ' ' && *line->text != '\t') {
                s->keep = colon && wanted(line->text, name_size);
                s->named |= s->keep && name_size == strlen("Package") &&
                            strncasecmp(line->text, "Package", name_size) == 0;
                if (name_size == strlen("Size") && strncasecmp(line->text, "Size", name_size) == 0)
                        s->size = strtoull(colon + 1, NULL, 10);
        }
        if (!s->keep)
                return;
        buffer_append(&p->text, line->text, (size_t)line->size);
        buffer_puts(&p->text, "\n");
}

static bool line_blank(const struct line *line)
{
        for (ssize_t i = 0; i < line->size; i++)
                if (!isspace((unsigned char)line->text[i]))
                        return false;
        return true;
}

static int add_line(struct packages_index *p, struct stanza *s, struct line *line,
                    struct error *err)
{
        if (line->size > PACKAGES_LINE_MAX)
                return error_set(err, -EFBIG, "a line longer than %d bytes", PACKAGES_LINE_MAX);
        if (line->size > 0 && line->text[line->size - 1] == '\n')
                line->size--;
        if (memchr(line->text, '\0', (size_t)line->size))
                return error_set(err, -EINVAL, "a zero byte in the text");
        if (line_blank(line))
                return stanza_end(p, s, err);
        stanza_line(p, s, line);
        if (p->text.size > PACKAGES_TEXT_MAX)
                return error_set(err, -EFBIG, "larger than %llu MiB", PACKAGES_TEXT_MAX / MIB);
        return p->text.failed ? error_oom(err) : 0;
}

int packages_index_read(FILE *in, struct packages_index *ret, struct error *err)
{
        _cleanup_packages_index_ struct packages_index p = {};
        struct line line = {};
        struct stanza s = {};
        int r = 0;

        while (r == 0 && (line.size = getline(&line.text, &line.capacity, in)) >= 0)
                r = add_line(&p, &s, &line, err);
        free(line.text);
        if (r == 0 && ferror(in))
                r = error_set(err, -EBADMSG, "cannot be decompressed");
        if (r == 0)
                r = stanza_end(&p, &s, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(p);
        return 0;
}

void packages_index_done(struct packages_index *p)
{
        buffer_done(&p->text);
        free(p->sizes);
        memset(p, 0, sizeof(*p));
}
