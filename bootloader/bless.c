/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See bless.h. FAT has no rename: Linux makes the new name, gives it the file, then removes the old
 * one. On an ESP mounted with "dirsync" they reach the disk in this order, so a power cut leaves
 * the old name, both, or the new one; all boot the same release. */

#include <fcntl.h>

#include "bless.h"
#include "io.h"

static const char entry_directory[] = "EFI/Linux";

/* The file name of an entry in \EFI\Linux, in any case and with any number of backslashes. */
static const char *entry_name(const char *path)
{
        for (const char *part = entry_directory; *part; part++) {
                if (part == entry_directory || *part == '/') {
                        size_t n = strspn(path, "\\/");

                        if (n == 0)
                                return NULL;
                        path += n;
                        part += *part == '/';
                }
                if ((*path | 0x20) != (*part | 0x20))
                        return NULL;
                path++;
        }
        return *path == '\\' || *path == '/' ? path + strspn(path, "\\/") : NULL;
}

int bless_parse(const char *path, struct boot_entry *ret)
{
        const char *name = entry_name(path);

        return name ? boot_entry_parse(name, ret) : -EINVAL;
}

static int rename_entry(int directory, const char *from, const char *to, struct error *err)
{
        struct stat st;

        if (renameat(directory, from, directory, to) < 0) {
                if (errno == ENOENT && fstatat(directory, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        return 0;
                return error_errno(err, "%s: rename", from);
        }
        /* Where the file's bytes are, vfat writes with its inode, not with the directory; and only
         * fsync() empties the disk's cache, so that comes last. */
        if (syncfs(directory) < 0 || fsync(directory) < 0)
                return error_errno(err, "%s: sync", to);
        return 0;
}

int bless_entry(int esp_fd, const char *path, char ret_version[BOOT_VERSION_MAX + 1],
                struct error *err)
{
        const char *name = entry_name(path);
        _cleanup_close_ int directory = -1;
        char blessed[BOOT_ENTRY_NAME_MAX];
        struct boot_entry e;
        int r;

        if (bless_parse(path, &e) < 0)
                return error_set(err, -EINVAL, "%s is no entry of this system", path);
        e.counted = false;
        boot_entry_format(&e, blessed);
        directory = openat(esp_fd, entry_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                return error_errno(err, "%s", entry_directory);
        r = rename_entry(directory, name, blessed, err);
        if (r >= 0)
                strcpy(ret_version, e.version);
        return r;
}
