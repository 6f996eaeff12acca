/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kernel-log.h. systemd-pstore moves the files of /sys/fs/pstore (dmesg-<backend>-<id>) to
 * /var/lib/systemd/pstore/<id>/dmesg.txt; without it they stay. */

#include <fcntl.h>
#include <glob.h>

#include "io.h"
#include "kernel-log.h"
#include "strv.h"

enum { LOG_MAX = 1024 * 1024 };

static const char *const patterns[] = {
        "/var/lib/systemd/pstore/*/dmesg.txt",
        "/var/lib/systemd/pstore/*/*/dmesg.txt",
        "/sys/fs/pstore/dmesg-*",
};

static int find_newest(const char *root, const char *pattern, struct timespec *when, char **newest)
{
        _cleanup_free_ char *whole = string_format("%s%s", streq(root, "/") ? "" : root, pattern);
        glob_t found;
        int r = 0;

        if (!whole)
                return -ENOMEM;
        if (glob(whole, 0, NULL, &found) != 0)
                return 0;
        for (size_t i = 0; r >= 0 && i < found.gl_pathc; i++) {
                struct stat st;

                if (stat(found.gl_pathv[i], &st) < 0 || st.st_mtim.tv_sec < when->tv_sec)
                        continue;
                *when = st.st_mtim;
                free(*newest);
                *newest = strdup(found.gl_pathv[i]);
                r = *newest ? 0 : -ENOMEM;
        }
        globfree(&found);
        return r;
}

int kernel_log_tail(const char *root, size_t count, char ***ret)
{
        _cleanup_free_ char *newest = NULL, *text = NULL;
        _cleanup_strv_ char **lines = NULL, **tail = NULL;
        struct timespec when = {};
        size_t n;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(patterns); i++)
                r = find_newest(root, patterns[i], &when, &newest);
        if (r >= 0 && newest)
                r = file_read(AT_FDCWD, newest, LOG_MAX, &text, NULL, NULL);
        if (r >= 0 && text)
                r = strv_split(text, "\n", &lines);
        n = strv_length(lines);
        for (size_t i = n > count ? n - count : 0; r >= 0 && i < n; i++)
                r = strv_extend(&tail, lines[i]);
        if (r >= 0)
                *ret = TAKE_PTR(tail);
        return r;
}
