/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kconfig.h. A line is an option, a comment or empty; nothing continues on the next one. The
 * copy of the text is cut into strings where it lies: the comment lines above an option move
 * together to one, which never needs more room than they had. */

#include <fcntl.h>

#include "io.h"
#include "kconfig.h"
#include "strv.h"

#define PREFIX   "CONFIG_"
#define OFF_TEXT " is not set"

struct parser {
        struct kconfig *config;
        size_t capacity;
        char *reason, *reason_end; /* the comment that stands for the next option; NULL: none */
        bool in_comment;           /* the line before was one, too */
        unsigned line;
};

static int fail(const struct parser *p, struct error *err, const char *what)
{
        return error_set(err, -EINVAL, "%s:%u: %s", p->config->name, p->line, what);
}

/* How many bytes of s are the name of an option; 0: none. */
static size_t name_length(const char *s)
{
        const char *rest = startswith(s, PREFIX);
        size_t n = rest ? strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789_")
                        : 0;

        return n > 0 ? strlen(PREFIX) + n : 0;
}

static bool is_number(const char *s)
{
        if (startswith(s, "0x") || startswith(s, "0X"))
                return s[2 + strspn(s + 2, "0123456789abcdefABCDEF")] == '\0' && s[2] != '\0';
        s += *s == '-';
        /* Kconfig writes nothing for a number that has no value. */
        return s[strspn(s, "0123456789")] == '\0';
}

/* "text", in which a backslash takes the next byte as it is. */
static bool is_text(const char *s)
{
        if (*s++ != '"')
                return false;
        for (; *s != '\0' && *s != '"'; s++)
                if (*s == '\\' && *++s == '\0')
                        return false;
        return s[0] == '"' && s[1] == '\0';
}

/* -1: not a value. */
static int value_kind(const char *value)
{
        static const struct {
                const char *value;
                enum kconfig_kind kind;
        } states[] = {
                { "y", KCONFIG_BUILT_IN },
                { "m", KCONFIG_MODULE },
                { "n", KCONFIG_OFF },
        };

        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
                if (streq(states[i].value, value))
                        return (int)states[i].kind;
        return is_number(value) || is_text(value) ? (int)KCONFIG_VALUE : -1;
}

static int add_option(struct parser *p, const char *name, const char *value, struct error *err)
{
        struct kconfig *c = p->config;
        int kind = value_kind(value);

        if (kind < 0)
                return fail(p, err, "the value is neither y, m or n, nor a number or quoted text");
        if (strlen(name) > KCONFIG_NAME_MAX)
                return fail(p, err, "the name is too long");
        if (c->count == KCONFIG_OPTIONS_MAX)
                return fail(p, err, "too many options");
        if (array_reserve(&c->options, &p->capacity, c->count + 1, sizeof(*c->options)) < 0)
                return error_oom(err);
        c->options[c->count++] = (struct kconfig_option){
                .name = name,
                .value = value,
                .reason = p->reason ?: "",
                .line = p->line,
                .kind = (enum kconfig_kind)kind,
        };
        p->in_comment = false;
        return 0;
}

/* "CONFIG_X=value". */
static int take_set(struct parser *p, char *line, struct error *err)
{
        size_t n = name_length(line);

        if (n == 0 || line[n] != '=')
                return fail(p, err, "neither an option nor a comment");
        line[n] = '\0';
        return add_option(p, line, line + n + 1, err);
}

/* The name in "# CONFIG_X is not set", or NULL. */
static char *off_name(char *line)
{
        char *name = (char *)startswith(line, "# ");
        size_t n = name ? name_length(name) : 0;

        if (n == 0 || !streq(name + n, OFF_TEXT))
                return NULL;
        name[n] = '\0';
        return name;
}

static int take_comment(struct parser *p, char *line, struct error *err)
{
        size_t n;

        line += strspn(line, "#");
        line += strspn(line, " \t");
        n = strlen(line);
        if (!p->in_comment || *p->reason == '\0') {
                p->reason = line;
                p->reason_end = line + n;
        } else if (n > 0) {
                *p->reason_end++ = ' ';
                memmove(p->reason_end, line, n + 1);
                p->reason_end += n;
        }
        p->in_comment = true;
        if (p->reason_end - p->reason > KCONFIG_REASON_MAX)
                return fail(p, err, "the comment is too long");
        return 0;
}

/* Nothing that is printed may move a terminal's cursor. */
static bool has_control(const char *line)
{
        for (; *line != '\0'; line++)
                if (((unsigned char)*line < ' ' && *line != '\t') || *line == '\177')
                        return true;
        return false;
}

static int take_line(struct parser *p, char *line, struct error *err)
{
        char *name;

        if (has_control(line))
                return fail(p, err, "a control character");
        name = off_name(line);
        if (name)
                return add_option(p, name, "n", err);
        if (*line == '#')
                return take_comment(p, line, err);
        if (line[strspn(line, " \t")] != '\0')
                return take_set(p, line, err);
        p->reason = NULL;
        p->in_comment = false;
        return 0;
}

static int take_lines(struct parser *p, struct error *err)
{
        char *line = p->config->text;
        int r;

        while (*line != '\0') {
                size_t n = strcspn(line, "\n");
                bool last = line[n] == '\0';

                p->line++;
                if (n > KCONFIG_LINE_MAX)
                        return fail(p, err, "the line is too long");
                line[n] = '\0';
                r = take_line(p, line, err);
                if (r < 0)
                        return r;
                line += n + !last;
        }
        return 0;
}

/* ---- by name ---- */

static int compare_names(const void *a, const void *b)
{
        const struct kconfig_option *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r != 0 ? r : (x->line > y->line) - (x->line < y->line);
}

static int sort_options(struct kconfig *c, struct error *err)
{
        if (c->count > 0)
                qsort(c->options, c->count, sizeof(*c->options), compare_names);
        for (size_t i = 1; i < c->count; i++) {
                const struct kconfig_option *a = &c->options[i - 1], *b = &c->options[i];

                if (streq(a->name, b->name))
                        return error_set(err, -EINVAL, "%s:%u: %s stands in line %u already",
                                         c->name, b->line, b->name, a->line);
        }
        return 0;
}

static int compare_key(const void *key, const void *option)
{
        return strcmp(key, ((const struct kconfig_option *)option)->name);
}

const struct kconfig_option *kconfig_find(const struct kconfig *c, const char *name)
{
        if (c->count == 0)
                return NULL;
        return bsearch(name, c->options, c->count, sizeof(*c->options), compare_key);
}

/* ---- whole texts ---- */

void kconfig_write(struct buffer *b, const struct kconfig_option *o)
{
        if (o->kind == KCONFIG_OFF)
                buffer_printf(b, "# %s" OFF_TEXT, o->name);
        else
                buffer_printf(b, "%s=%s", o->name, o->value);
}

int kconfig_parse(const char *name, const char *text, size_t size, struct kconfig *ret,
                  struct error *err)
{
        _cleanup_kconfig_ struct kconfig c = {};
        struct parser p = { .config = &c };
        int r;

        if (size > KCONFIG_TEXT_MAX)
                return error_set(err, -EFBIG, "%s: larger than a configuration can be", name);
        if (memchr(text, '\0', size))
                return error_set(err, -EINVAL, "%s: not a text", name);
        c.name = strdup(name);
        c.text = strndup(text, size);
        if (!c.name || !c.text)
                return error_oom(err);
        r = take_lines(&p, err);
        if (r >= 0)
                r = sort_options(&c, err);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(c);
        return 0;
}

int kconfig_load(const char *path, struct kconfig *ret, struct error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = file_read(AT_FDCWD, path, KCONFIG_TEXT_MAX, &text, &size, err);

        return r < 0 ? r : kconfig_parse(path, text, size, ret, err);
}

void kconfig_done(struct kconfig *c)
{
        free(c->name);
        free(c->text);
        free(c->options);
        *c = (struct kconfig){};
}
