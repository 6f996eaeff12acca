/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* slipway-bless: says to the boot loader that the release that runs is good. Run once a boot, when
 * the boot is complete; does nothing when the entry that was booted has no counter. The ESP is
 * mounted only for the moment of the rename and only for this process. */

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "bless.h"
#include "derive.h"
#include "io.h"
#include "strv.h"

#define MOUNT_POINT "/run/slipway-esp"

enum { VARIABLE_MAX = 4096 };

/* 1: there; 0: no such variable. */
static int read_variable(const char *name, char ret[LOADER_TEXT_MAX], struct error *err)
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

/* The device node of the ESP that the boot loader came from. */
static int esp_device(char **ret, struct error *err)
{
        char text[LOADER_TEXT_MAX], canonical[UUID_TEXT_SIZE];
        struct uuid uuid;
        int r;

        r = read_variable("LoaderDevicePartUUID", text, err);
        if (r == 0)
                r = error_set(err, -ENOENT, "the boot loader does not say where it came from");
        if (r < 0)
                return r;
        if (uuid_parse(text, &uuid) < 0)
                return error_set(err, -EINVAL, "LoaderDevicePartUUID: not a UUID");
        *ret = string_format("/dev/disk/by-partuuid/%s", uuid_text(&uuid, canonical));
        return *ret ? 0 : error_oom(err);
}

/* Mounts the ESP where nobody else sees it; it goes with the process. */
static int mount_esp(const char *device, struct error *err)
{
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return error_errno(err, "mount namespace");
        if (mkdir(MOUNT_POINT, 0700) < 0 && errno != EEXIST)
                return error_errno(err, MOUNT_POINT);
        if (mount(device, MOUNT_POINT, "vfat", MS_NOSUID | MS_NODEV | MS_NOEXEC, "umask=0077") < 0)
                return error_errno(err, "mount %s", device);
        return 0;
}

static int bless(struct error *err)
{
        char path[LOADER_TEXT_MAX], version[BOOT_VERSION_MAX + 1];
        _cleanup_free_ char *device = NULL;
        _cleanup_close_ int esp = -1;
        int r;

        r = read_variable("LoaderBootCountPath", path, err);
        if (r <= 0)
                return r;
        r = esp_device(&device, err);
        if (r >= 0)
                r = mount_esp(device, err);
        if (r < 0)
                return r;
        esp = open(MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = esp < 0 ? error_errno(err, MOUNT_POINT) : bless_entry(esp, path, version, err);
        if (r >= 0)
                printf("release %s is good\n", version);
        close_p(&esp);
        esp = -1;
        if (umount(MOUNT_POINT) < 0 && r >= 0)
                r = error_errno(err, "unmount the ESP");
        (void)!rmdir(MOUNT_POINT);
        return r;
}

int main(int argc, char *argv[])
{
        struct error err = {};

        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "--version"))) {
                puts(streq(argv[1], "--help")
                             ? "Usage: slipway-bless\nMarks the release that runs as good."
                             : "slipway-bless " SLIPWAY_VERSION);
                return 0;
        }
        if (argc != 1) {
                fputs("Usage: slipway-bless\n", stderr);
                return 2;
        }
        if (bless(&err) < 0) {
                fprintf(stderr, "slipway-bless: %s\n", err.message);
                return 1;
        }
        return 0;
}
