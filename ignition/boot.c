/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See boot.h. This runs in the initrd at every boot, so it is a small program of its own: the agent
 * itself stays in /usr. udev's links may not be there yet, so the kernel is asked: sysfs says on
 * which disk the parts of /usr's dm-verity device are, and what the partitions beside them are
 * called.
 *
 * The stamp "this machine is provisioned" is a file in ROOT, so ROOT has to be mounted before it
 * may be: read-only, and in a mount namespace of this process, which ends with it. A ROOT with
 * nothing on it (a provisioning that was cut off while it made the file system) counts as new. One
 * that cannot be mounted must not: fsck gets its turn first. */

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent.h"
#include "boot.h"
#include "process.h"
#include "root-volume.h"

static const char root_label[] = "PARTNAME=root\n";

static const struct root_format formats[] = {
        { "ext4", 1024 + 56, "\x53\xef", 0 },
        { "btrfs", 65536 + 64, "_BHRfS_M", 0 },
        { "xfs", 0, "XFSB", 126 },
};

/* ---- the partition ---- */

static bool is_partition_of_root(int dir, const char *name, char ret[static ROOT_NAME_MAX])
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        struct error ignored;
        const char *device;

        if (asprintf(&path, "%s/uevent", name) < 0) {
                path = NULL;
                return false;
        }
        if (file_read(dir, path, KIB, &text, NULL, &ignored) < 0 || !strstr(text, root_label))
                return false;
        device = strstr(text, "DEVNAME=");
        return device && sscanf(device, "DEVNAME=%63s", ret) == 1;
}

static bool search_disk(const char *disk, char ret[static ROOT_NAME_MAX])
{
        _cleanup_closedir_ DIR *dir = opendir(disk);
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                if (entry->d_name[0] != '.' && is_partition_of_root(dirfd(dir), entry->d_name, ret))
                        return true;
        return false;
}

/* A device's directory in sysfs becomes that of the disk below it. */
static bool find_disk(char path[static PATH_MAX])
{
        char below[PATH_MAX + 272];
        struct dirent *entry;

        for (;;) {
                _cleanup_closedir_ DIR *dir = NULL;

                snprintf(below, sizeof(below), "%s/slaves", path);
                dir = opendir(below);
                do
                        entry = dir ? readdir(dir) : NULL;
                while (entry && entry->d_name[0] == '.');
                if (!entry)
                        break;
                snprintf(below, sizeof(below), "%s/slaves/%s", path, entry->d_name);
                if (!realpath(below, path))
                        return false;
        }
        snprintf(below, sizeof(below), "%s/partition", path);
        if (access(below, F_OK) == 0)
                *strrchr(path, '/') = '\0';
        return true;
}

bool boot_find_root(const char *sysfs, dev_t usr, char ret[static ROOT_NAME_MAX])
{
        char link[PATH_MAX], path[PATH_MAX];

        snprintf(link, sizeof(link), "%s/dev/block/%u:%u", sysfs, major(usr), minor(usr));
        return realpath(link, path) && find_disk(path) && search_disk(path, ret);
}

/* ---- the file system ---- */

static bool has_format(int fd, const struct root_format *f)
{
        char found[16] = {}, unfinished = 0;
        size_t size = strlen(f->magic), n;
        struct error ignored;

        if (io_pread(fd, found, size, f->offset, &n, &ignored) < 0 || n != size ||
            memcmp(found, f->magic, size) != 0)
                return false;
        return f->unfinished == 0 ||
               (io_pread(fd, &unfinished, 1, f->unfinished, NULL, &ignored) == 0 && !unfinished);
}

const struct root_format *boot_root_format(int fd)
{
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
                if (has_format(fd, &formats[i]))
                        return &formats[i];
        return NULL;
}

/* The kernel loads what the initrd has; other modules are only in the image. */
static int mount_root(const char *device, const struct root_format *format, const char *usr,
                      const char *where, struct error *err)
{
        const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SILENT;
        int r;

        if (mount(device, where, format->name, flags, NULL) == 0)
                return 0;
        if (errno != ENODEV)
                return error_errno(err, "mount %s (%s)", device, format->name);
        if (mount(usr, "/usr", NULL, MS_BIND, NULL) < 0)
                return error_errno(err, "bind %s", usr);
        r = spawn((const char *const[]){ "modprobe", format->name, NULL }, NULL, NULL, err);
        if (r >= 0 && mount(device, where, format->name, flags, NULL) < 0)
                r = error_errno(err, "mount %s (%s)", device, format->name);
        return r;
}

/* Mounts of this process are seen by nobody else. */
static enum boot_state look_into(const char *device, const struct root_format *format,
                                 const char *usr, const char *where, struct error *err)
{
        _cleanup_close_ int fd = -1, system = open("/", O_PATH | O_CLOEXEC);

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                error_errno(err, "mount namespace");
                return BOOT_UNDECIDED;
        }
        if (mount_root(device, format, usr, where, err) < 0)
                return BOOT_UNDECIDED;
        fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 ? boot_read_stamp(fd, system) : BOOT_FIRST;
}

/* The volume, when it was opened; else the partition. */
static void find_device(const char *name, char ret[static ROOT_NAME_MAX + 8])
{
        if (access(ROOT_VOLUME, F_OK) == 0)
                strcpy(ret, ROOT_VOLUME);
        else
                snprintf(ret, ROOT_NAME_MAX + 8, "/dev/%s", name);
}

enum boot_state boot_find_state(const char *usr, const char *where, struct error *err)
{
        _cleanup_free_ char *asked = kernel_argument("ignition.firstboot");
        char name[ROOT_NAME_MAX], device[ROOT_NAME_MAX + 8];
        const struct root_format *format;
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (asked)
                return streq(asked, "0") ? BOOT_PROVISIONED : BOOT_FIRST;
        if (stat(usr, &st) < 0) {
                error_errno(err, "%s", usr);
                return BOOT_UNDECIDED;
        }
        if (!boot_find_root("/sys", st.st_dev, name))
                return BOOT_FIRST;
        find_device(name, device);
        fd = open(device, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                error_errno(err, "%s", device);
                return BOOT_UNDECIDED;
        }
        format = boot_root_format(fd);
        return format ? look_into(device, format, usr, where, err) : BOOT_FIRST;
}
