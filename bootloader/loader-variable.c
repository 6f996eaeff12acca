/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See loader-variable.h. */

#include <fcntl.h>

#include "io.h"
#include "loader-variable.h"
#include "strv.h"

enum { ATTRIBUTES_SIZE = 4, VARIABLE_MAX = 4096 };

int loader_variable_decode(const void *data, size_t size, char ret[LOADER_TEXT_MAX])
{
        const uint8_t *units = (const uint8_t *)data + ATTRIBUTES_SIZE;
        size_t count, n;

        if (size < ATTRIBUTES_SIZE || size % 2 != 0)
                return -EINVAL;
        count = (size - ATTRIBUTES_SIZE) / 2;
        if (count > 0 && units[2 * count - 2] == 0 && units[2 * count - 1] == 0)
                count--;
        if (count == 0 || count >= LOADER_TEXT_MAX)
                return -EINVAL;
        for (n = 0; n < count; n++) {
                if (units[2 * n + 1] != 0 || units[2 * n] < ' ' || units[2 * n] > '~')
                        return -EINVAL;
                ret[n] = (char)units[2 * n];
        }
        ret[n] = '\0';
        return 0;
}

int loader_variable_read(const char *name, char ret[LOADER_TEXT_MAX], struct error *err)
{
        _cleanup_free_ char *path =
                string_format("/sys/firmware/efi/efivars/%s-" LOADER_VENDOR, name);
        uint8_t data[VARIABLE_MAX];
        _cleanup_close_ int fd = -1;
        size_t size;
        int r;

        if (!path)
                return error_oom(err);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : error_errno(err, "%s", path);
        r = io_read(fd, data, sizeof(data), &size, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        if (loader_variable_decode(data, size, ret) < 0)
                return error_set(err, -EINVAL, "%s: not a text of the boot loader", path);
        return 1;
}
