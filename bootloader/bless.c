/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See bless.h. FAT renames in place: one directory entry gets another name, and a power cut leaves
 * the old one or the new one. */

#include <fcntl.h>

#include "bless.h"
#include "io.h"

enum { ATTRIBUTES_SIZE = 4 };

static const char entry_directory[] = "EFI/Linux";

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

static int rename_entry(int directory, const char *from, const char *to, struct error *err)
{
        struct stat st;

        if (renameat(directory, from, directory, to) < 0) {
                if (errno == ENOENT && fstatat(directory, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        return 0;
                return error_errno(err, "%s: rename", from);
        }
        if (fsync(directory) < 0 || syncfs(directory) < 0)
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

        if (!name || boot_entry_parse(name, &e) < 0)
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
