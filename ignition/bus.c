/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Announcing is a word written into the file `uevent` of a device (kernel:
 * Documentation/ABI/testing/sysfs-uevent), as udevadm trigger does it. */

#include "bus.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <unistd.h>

#include "io.h"

enum { ATTRIBUTE_MAX = 256 };

static bool meets(int device, const char *attribute, const char *pattern)
{
        _cleanup_free_ char *text = NULL;
        struct error ignored;

        if (!attribute)
                return true;
        if (file_read(device, attribute, ATTRIBUTE_MAX, &text, NULL, &ignored) < 0)
                return false;
        text[strcspn(text, "\n")] = '\0';
        return fnmatch(pattern, text, 0) == 0;
}

static bool announce(const char *path, const char *attribute, const char *pattern)
{
        _cleanup_close_ int device = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
        struct error ignored;

        if (device < 0 || !meets(device, attribute, pattern))
                return false;
        fd = openat(device, "uevent", O_WRONLY | O_CLOEXEC);
        return fd >= 0 && io_write(fd, "add", 3, &ignored) >= 0;
}

size_t bus_announce(const char *devices, const char *attribute, const char *pattern)
{
        glob_t found = {};
        size_t count = 0;

        if (glob(devices, GLOB_NOSORT, NULL, &found) == 0)
                for (size_t i = 0; i < found.gl_pathc; i++)
                        count += announce(found.gl_pathv[i], attribute, pattern);
        globfree(&found);
        return count;
}
