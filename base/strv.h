/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NULL-terminated arrays of owned strings, and a string builder that remembers failure. */

#include "error.h"

/* Iterates over a strv that may be NULL. */
#define STRV_FOREACH(s, strv) for (char **s = (strv); s && *s; s++)

void strv_free(char **strv);
DEFINE_CLEANUP(char *, strv_free)
#define _cleanup_strv_ _cleanup_(strv_free_p)

size_t strv_length(char *const *strv);
bool strv_contains(char *const *strv, const char *s);

/* Appends a copy of s; 0 or -ENOMEM, the array stays valid either way. */
int strv_extend(char ***strv, const char *s) _must_check_;

/* Splits at any of the separator bytes; empty parts are dropped. 0 or -ENOMEM. */
int strv_split(const char *s, const char *separators, char ***ret) _must_check_;

void strv_sort(char **strv);

/* "\040" → " ", in place: how the kernel writes blanks and backslashes in /proc's lists of mounts
 * and swaps. */
void octal_unescape(char *text);

/* asprintf() that returns NULL when out of memory. */
char *string_format(const char *format, ...) _printf_(1, 2) _must_check_;

/* A growable byte buffer. Appending after a failed allocation does nothing; buffer_take() then
 * reports -ENOMEM, so a whole text can be built with one check at its end. The content is always
 * followed by a NUL byte that `size` does not count. */
struct buffer {
        char *data;
        size_t size, capacity;
        bool failed;
};

void buffer_done(struct buffer *b);
#define _cleanup_buffer_ _cleanup_(buffer_done)
void buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_puts(struct buffer *b, const char *s);
void buffer_printf(struct buffer *b, const char *format, ...) _printf_(2, 3);
/* Moves the content out (never NULL on success; size may be NULL). 0 or -ENOMEM. */
int buffer_take(struct buffer *b, char **ret, size_t *size) _must_check_;

/* Twice the memory for bytes of which nobody knows how many will come, with one more behind the
 * capacity; -EFBIG when that is the limit already. */
int bytes_grow(char **bytes, size_t *capacity, size_t limit, struct error *err) _must_check_;
