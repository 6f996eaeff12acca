/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The stamp "this machine is provisioned": a file in ROOT. On Azure, where images are made from
 * disks of running machines, it holds the id of the virtual machine, so that a disk that wakes up
 * in another one is provisioned again. Everywhere else it is empty, and an empty stamp holds for
 * any machine: who wants a disk to stay as it is in the next one empties it.
 *
 * A disk of another machine brings along that one's identity. It is taken away before anything is
 * provisioned: systemd, sshd and the configuration then make one as on a new disk. */

#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>

#include "azure.h"
#include "boot.h"

enum { STAMP_MAX = 256 };

static const char stamp[] = ".etc/provisioned";

/* An id that cannot be read is no reason to provision a machine that was. */
enum boot_state boot_read_stamp(int root_fd, int system_fd)
{
        _cleanup_free_ char *text = NULL;
        char id[UUID_TEXT_SIZE];
        struct error ignored;
        size_t size;

        if (faccessat(root_fd, stamp, F_OK, 0) < 0)
                return BOOT_FIRST;
        if (file_read(root_fd, stamp, STAMP_MAX, &text, &size, &ignored) < 0 || size == 0)
                return BOOT_PROVISIONED;
        if (azure_identity(system_fd, id, &ignored) < 0)
                return BOOT_PROVISIONED;
        text[strcspn(text, "\n")] = '\0';
        return streq(text, id) ? BOOT_PROVISIONED : BOOT_CAPTURED;
}

int boot_write_stamp(int root_fd, int system_fd, struct error *err)
{
        char id[UUID_TEXT_SIZE + 1] = "";

        if (system_fd >= 0) {
                int r = azure_identity(system_fd, id, err);

                if (r < 0)
                        return r;
                strcat(id, "\n");
        }
        return file_write(root_fd, stamp, id, strlen(id), 0644, err);
}

/* ---- the machine's identity ---- */

static const struct {
        const char *directory, *pattern;
} identity[] = {
        { ".etc/upper", "machine-id" },      { ".etc/upper", "hostname" },
        { ".etc/upper/ssh", "ssh_host_*" },  { "var/lib/dbus", "machine-id" },
        { "var/lib/hyperv", ".kvp_pool_*" }, { "var/lib/systemd", "random-seed" },
};

static int forget_in(int root_fd, const char *directory, const char *pattern, struct error *err)
{
        int fd = openat(root_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;

        if (fd >= 0 && !dir)
                close(fd);
        while (dir && (entry = readdir(dir)))
                if (fnmatch(pattern, entry->d_name, 0) == 0 &&
                    unlinkat(dirfd(dir), entry->d_name, 0) < 0)
                        return error_errno(err, "%s/%s", directory, entry->d_name);
        return 0;
}

int boot_forget_machine(int root_fd, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(identity); i++)
                r = forget_in(root_fd, identity[i].directory, identity[i].pattern, err);
        return r;
}
