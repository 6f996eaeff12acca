/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See console.h. */

#include <fcntl.h>

#include "console.h"
#include "io.h"
#include "strv.h"

enum { CONSOLE_LIST_MAX = 4096 };

static bool write_one(int dir, const char *name, const char *text, size_t size)
{
        _cleanup_close_ int fd = -1;

        fd = openat(dir, name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        while (fd >= 0 && size > 0) {
                ssize_t n = write(fd, text, size);

                if (n <= 0)
                        return false;
                text += n;
                size -= (size_t)n;
        }
        return fd >= 0;
}

unsigned console_write(const char *active, const char *devices, const char *text, size_t size)
{
        _cleanup_close_ int dir = open(devices, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *list = NULL;
        struct error ignored;
        unsigned n = 0;

        if (dir < 0 || file_read(AT_FDCWD, active, CONSOLE_LIST_MAX, &list, NULL, &ignored) < 0 ||
            strv_split(list, " \n", &names) < 0)
                return 0;
        STRV_FOREACH (name, names)
                n += write_one(dir, *name, text, size);
        return n;
}
