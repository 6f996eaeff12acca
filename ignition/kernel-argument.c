/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kernel command line says. */

#include <fcntl.h>

#include "agent.h"
#include "strv.h"

enum { COMMAND_LINE_MAX = 64 * 1024 };

char *kernel_argument(const char *key)
{
        const char *path = getenv("IGNITION_KERNEL_CMDLINE_PATH") ?: "/proc/cmdline";
        _cleanup_free_ char *line = NULL;
        _cleanup_strv_ char **words = NULL;
        struct error ignored;
        const char *found = NULL;

        if (file_read(AT_FDCWD, path, COMMAND_LINE_MAX, &line, NULL, &ignored) < 0 ||
            strv_split(line, " \t\n", &words) < 0)
                return NULL;
        STRV_FOREACH (word, words) {
                const char *rest = startswith(*word, key);

                if (rest && (*rest == '=' || !*rest))
                        found = rest + (*rest == '=');
        }
        return found ? strdup(found) : NULL;
}
