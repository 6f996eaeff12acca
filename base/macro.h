/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small things every file needs: scope-bound cleanup, ownership transfer, sizes, strings. */

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _must_check_   __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _packed_       __attribute__((packed))
#define _unused_       __attribute__((unused))

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                                                                                  \
        ({                                                                                         \
                __typeof__(a) _min_a = (a);                                                        \
                __typeof__(b) _min_b = (b);                                                        \
                _min_a < _min_b ? _min_a : _min_b;                                                 \
        })
#define MAX(a, b)                                                                                  \
        ({                                                                                         \
                __typeof__(a) _max_a = (a);                                                        \
                __typeof__(b) _max_b = (b);                                                        \
                _max_a > _max_b ? _max_a : _max_b;                                                 \
        })
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define ROUND_UP(n, d)     (DIV_ROUND_UP(n, d) * (d))

/* Hands the value over to the caller and leaves the empty value behind, so that cleanup skips it.
 */
#define TAKE(var, empty)                                                                           \
        ({                                                                                         \
                __typeof__(var) *_take_p = &(var);                                                 \
                __typeof__(var) _take_v = *_take_p;                                                \
                *_take_p = (empty);                                                                \
                _take_v;                                                                           \
        })
#define TAKE_PTR(p) TAKE(p, NULL)
#define TAKE_FD(fd) TAKE(fd, -1)
/* Moves a struct by value: the source is zeroed, so its _done() becomes a no-op. */
#define TAKE_STRUCT(s)                                                                             \
        ({                                                                                         \
                __typeof__(s) _take_s = (s);                                                       \
                memset(&(s), 0, sizeof(s));                                                        \
                _take_s;                                                                           \
        })

/* Defines the helper that _cleanup_() wants from a destructor taking the pointer itself. */
#define DEFINE_CLEANUP(type, func)                                                                 \
        static inline _unused_ void func##_p(type **p)                                             \
        {                                                                                          \
                func(*p);                                                                          \
        }

static inline void free_p(void *p)
{
        free(*(void **)p);
}

/* Closes it once, however often it is called. */
static inline void close_p(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static inline void fclose_p(FILE **f)
{
        if (*f)
                fclose(*f);
}

static inline void closedir_p(DIR **d)
{
        if (*d)
                closedir(*d);
}

#define _cleanup_free_     _cleanup_(free_p)
#define _cleanup_close_    _cleanup_(close_p)
#define _cleanup_fclose_   _cleanup_(fclose_p)
#define _cleanup_closedir_ _cleanup_(closedir_p)

static inline bool memory_is_zero(const void *data, size_t size)
{
        const char *bytes = data;

        return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

/* The part of s after prefix, or NULL. */
static inline const char *startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

static inline bool endswith(const char *s, const char *suffix)
{
        size_t n = strlen(s), k = strlen(suffix);

        return n >= k && streq(s + n - k, suffix);
}

/* Grows *array (elements of `size` bytes) so that `need` fit; doubles, so that appending is linear.
 * Returns 0 or -ENOMEM (also on overflow). */
int array_reserve(void *array, size_t *capacity, size_t need, size_t size) _must_check_;
