/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See entries.h. What systemd-boot does, in the order in which it asks (v257, src/boot/boot.c):
 *
 *   1. entries with no tries left go behind all others
 *   2. sort-key (IMAGE_ID) and machine-id: the same for all of ours
 *   3. the version (IMAGE_VERSION, of which the file name is made), newest first
 *   4. of two that count: more tries left, then fewer spent
 *
 * The first whose name matches `default` of loader.conf ("slipway_*") is started, also when it has
 * no tries left. So a release that failed comes back when all others are bad, and older. */

#include <fcntl.h>
#include <sys/stat.h>

#include "entries.h"
#include "version.h"

int entries_load(int dir_fd, struct entries *ret, struct error *err)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        struct entries e = {};
        struct dirent *d;

        if (!directory) {
                close_p(&fd);
                return error_errno(err, "Boot entries");
        }
        for (errno = 0; (d = readdir(directory)); errno = 0) {
                struct boot_entry entry;
                struct stat st;

                if (boot_entry_parse(d->d_name, &entry) < 0 ||
                    fstatat(dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0)
                        continue;
                if (e.count == ENTRIES_MAX)
                        return error_set(err, -E2BIG, "Boot entries: more than %d", ENTRIES_MAX);
                e.items[e.count++] = entry;
        }
        if (errno != 0)
                return error_errno(err, "Boot entries");
        *ret = e;
        return 0;
}

static int compare_counts(unsigned a, unsigned b)
{
        return (a > b) - (a < b);
}

/* Below 0: a comes first. */
static int compare(const struct boot_entry *a, const struct boot_entry *b)
{
        int r = boot_entry_bootable(b) - boot_entry_bootable(a)
                        ?: version_compare(b->version, a->version);

        if (r != 0 || !a->counted || !b->counted)
                return r;
        return compare_counts(b->tries_left, a->tries_left)
                       ?: compare_counts(a->tries_done, b->tries_done);
}

/* The first of those with the version; NULL: of all. */
static const struct boot_entry *first(const struct entries *e, const char *version)
{
        const struct boot_entry *found = NULL;

        for (size_t i = 0; i < e->count; i++)
                if ((!version || streq(e->items[i].version, version)) &&
                    (!found || compare(&e->items[i], found) < 0))
                        found = &e->items[i];
        return found;
}

const struct boot_entry *entries_next(const struct entries *e)
{
        return first(e, NULL);
}

const struct boot_entry *entries_find(const struct entries *e, const char *version)
{
        return first(e, version);
}
