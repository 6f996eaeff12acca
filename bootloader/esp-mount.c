/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See esp-mount.h. A file system can be opened without being mounted anywhere: fsopen(), fsmount().
 * What was asked of it and refused, the kernel tells through the file system's descriptor. */

#include <fcntl.h>
#include <sys/mount.h>

#include "esp-mount.h"
#include "loader-variable.h"
#include "strv.h"
#include "uuid.h"

enum { COMPLAINT_MAX = 256, LEVEL_SIZE = 2 /* "e " */ };

static int esp_device(char **ret, struct error *err)
{
        char text[LOADER_TEXT_MAX], canonical[UUID_TEXT_SIZE];
        struct uuid uuid;
        int r;

        r = loader_variable_read("LoaderDevicePartUUID", text, err);
        if (r == 0)
                r = error_set(err, -ENOENT, "the boot loader does not say where it came from");
        if (r < 0)
                return r;
        if (uuid_parse(text, &uuid) < 0)
                return error_set(err, -EINVAL, "LoaderDevicePartUUID: not a UUID");
        *ret = string_format("/dev/disk/by-partuuid/%s", uuid_text(&uuid, canonical));
        return *ret ? 0 : error_oom(err);
}

/* error_errno(), and what the file system itself says. */
static int refused(int fs, struct error *err)
{
        int code = -errno;
        char complaint[COMPLAINT_MAX];
        ssize_t n = read(fs, complaint, sizeof(complaint) - 1);

        while (n > 0 && complaint[n - 1] == '\n')
                n--;
        if (n <= LEVEL_SIZE)
                return error_code(err, code, "vfat");
        complaint[n] = '\0';
        return error_code(err, code, "%s", complaint + LEVEL_SIZE);
}

/* With dirsync a rename has written its new name before the old one goes. */
static int open_detached(const char *device, struct error *err)
{
        _cleanup_close_ int fs = fsopen("vfat", FSOPEN_CLOEXEC);
        int fd;

        if (fs < 0)
                return error_errno(err, "vfat");
        if (fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
            fsconfig(fs, FSCONFIG_SET_STRING, "umask", "0077", 0) < 0 ||
            fsconfig(fs, FSCONFIG_SET_FLAG, "dirsync", NULL, 0) < 0 ||
            fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return refused(fs, err);
        fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        return fd < 0 ? refused(fs, err) : fd;
}

int esp_mount(int *ret_fd, struct error *err)
{
        _cleanup_free_ char *device = NULL;
        int r;

        r = esp_device(&device, err);
        if (r < 0)
                return r;
        r = open_detached(device, err);
        if (r < 0)
                return error_prefix(err, r, "mount %s", device);
        *ret_fd = r;
        return 0;
}
