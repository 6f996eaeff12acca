/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See strv.h. */

#include <errno.h>
#include <stdarg.h>

#include "strv.h"

int array_reserve(void *array, size_t *capacity, size_t need, size_t size)
{
        size_t want = MAX(*capacity * 2, (size_t)16), bytes;
        void *grown;

        if (need <= *capacity)
                return 0;
        want = MAX(want, need);
        if (__builtin_mul_overflow(want, size, &bytes))
                return -ENOMEM;
        grown = realloc(*(void **)array, bytes);
        if (!grown)
                return -ENOMEM;
        *(void **)array = grown;
        *capacity = want;
        return 0;
}

void strv_free(char **strv)
{
        STRV_FOREACH (s, strv)
                free(*s);
        free(strv);
}

size_t strv_length(char *const *strv)
{
        size_t n = 0;

        while (strv && strv[n])
                n++;
        return n;
}

bool strv_contains(char *const *strv, const char *s)
{
        for (; strv && *strv; strv++)
                if (streq(*strv, s))
                        return true;
        return false;
}

static int strv_extend_owned(char ***strv, char *s)
{
        size_t n = strv_length(*strv);
        char **grown;

        if (!s)
                return -ENOMEM;
        grown = reallocarray(*strv, n + 2, sizeof(char *));
        if (!grown) {
                free(s);
                return -ENOMEM;
        }
        grown[n] = s;
        grown[n + 1] = NULL;
        *strv = grown;
        return 0;
}

int strv_extend(char ***strv, const char *s)
{
        return strv_extend_owned(strv, strdup(s));
}

int strv_split(const char *s, const char *separators, char ***ret)
{
        _cleanup_strv_ char **parts = calloc(1, sizeof(char *));

        if (!parts)
                return -ENOMEM;
        for (;;) {
                size_t n;

                s += strspn(s, separators);
                n = strcspn(s, separators);
                if (n == 0)
                        break;
                if (strv_extend_owned(&parts, strndup(s, n)) < 0)
                        return -ENOMEM;
                s += n;
        }
        *ret = TAKE_PTR(parts);
        return 0;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **strv)
{
        if (strv)
                qsort(strv, strv_length(strv), sizeof(char *), compare_strings);
}

char *string_format(const char *format, ...)
{
        va_list ap;
        char *text;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        return n < 0 ? NULL : text;
}

void buffer_done(struct buffer *b)
{
        free(b->data);
        memset(b, 0, sizeof(*b));
}

void buffer_append(struct buffer *b, const void *data, size_t size)
{
        if (b->failed)
                return;
        if (size > SIZE_MAX - b->size - 1 ||
            array_reserve(&b->data, &b->capacity, b->size + size + 1, 1) < 0) {
                b->failed = true;
                return;
        }
        if (size > 0)
                memcpy(b->data + b->size, data, size);
        b->size += size;
        b->data[b->size] = '\0';
}

void buffer_puts(struct buffer *b, const char *s)
{
        buffer_append(b, s, strlen(s));
}

static bool is_octal_escape(const char *s)
{
        return s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
               s[3] >= '0' && s[3] <= '7';
}

void octal_unescape(char *text)
{
        char *to = text;

        for (const char *from = text; *from;) {
                if (is_octal_escape(from)) {
                        *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
                                       (from[3] - '0'));
                        from += 4;
                } else {
                        *to++ = *from++;
                }
        }
        *to = '\0';
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                b->failed = true;
                return;
        }
        buffer_append(b, text, (size_t)n);
}

int buffer_take(struct buffer *b, char **ret, size_t *size)
{
        buffer_append(b, "", 0);
        if (b->failed)
                return -ENOMEM;
        if (size)
                *size = b->size;
        *ret = TAKE_PTR(b->data);
        b->size = b->capacity = 0;
        return 0;
}

int bytes_grow(char **bytes, size_t *capacity, size_t limit, struct error *err)
{
        size_t larger = MIN(2 * *capacity, limit);
        char *moved;

        if (*capacity >= limit)
                return error_set(err, -EFBIG, "larger than %zu bytes", limit);
        moved = realloc(*bytes, larger + 1);
        if (!moved)
                return error_oom(err);
        *bytes = moved;
        *capacity = larger;
        return 0;
}
