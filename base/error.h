/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One error convention: functions return 0 or a negative errno and describe the failure in a
 * caller-owned `struct error`, which lives on main()'s stack: nothing is allocated or freed, so it
 * works out of memory too. Callers prefix what they were doing, once per function, so a message
 * reads like a path: `image 'edge': layer 'podman': files/etc/x: Permission denied`. */

#include <errno.h>

#include "macro.h"

enum { ERROR_MESSAGE_MAX = 1024 };

struct error {
        int code; /* negative errno, 0 while nothing went wrong */
        char message[ERROR_MESSAGE_MAX];
};

/* Sets code and message; returns code, so `return error_set(err, -EINVAL, "…")` works. err may be
 * NULL. */
int error_set(struct error *err, int code, const char *format, ...) _printf_(3, 4);

/* Like error_set() with code -errno, and ": <strerror>" appended. */
int error_errno(struct error *err, const char *format, ...) _printf_(2, 3);

/* Like error_errno() for a negative errno that a callee returned without describing it. */
int error_code(struct error *err, int code, const char *format, ...) _printf_(3, 4);

/* Puts "<prefix>: " before the message that is there; returns code. A no-op when code is 0. */
int error_prefix(struct error *err, int code, const char *format, ...) _printf_(3, 4);

static inline int error_oom(struct error *err)
{
        return error_set(err, -ENOMEM, "Out of memory");
}
