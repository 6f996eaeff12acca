/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See error.h. Everything formats into fixed buffers; a message that does not fit is cut, with the
 * beginning kept, because the beginning says where. */

#include <stdarg.h>

#include "error.h"

_printf_(4, 0) static int error_setv(struct error *err, int code, const char *suffix,
                                     const char *format, va_list ap)
{
        int n;

        if (!err)
                return code;
        err->code = code;
        n = vsnprintf(err->message, sizeof(err->message), format, ap);
        if (suffix && n >= 0 && (size_t)n < sizeof(err->message))
                snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %s", suffix);
        return code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        error_setv(err, code, NULL, format, ap);
        va_end(ap);
        return code;
}

int error_errno(struct error *err, const char *format, ...)
{
        int code = errno > 0 ? -errno : -EIO;
        va_list ap;

        va_start(ap, format);
        error_setv(err, code, strerror(-code), format, ap);
        va_end(ap);
        return code;
}

int error_code(struct error *err, int code, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        error_setv(err, code, strerror(-code), format, ap);
        va_end(ap);
        return code;
}

int error_prefix(struct error *err, int code, const char *format, ...)
{
        char prefix[ERROR_MESSAGE_MAX / 2], rest[ERROR_MESSAGE_MAX];
        va_list ap;

        if (!err || code == 0)
                return code;
        va_start(ap, format);
        vsnprintf(prefix, sizeof(prefix), format, ap);
        va_end(ap);
        memcpy(rest, err->message, sizeof(rest));
        snprintf(err->message, sizeof(err->message), "%s: %.*s", prefix,
                 (int)(sizeof(rest) - sizeof(prefix) - 3), rest);
        err->code = code;
        return code;
}
