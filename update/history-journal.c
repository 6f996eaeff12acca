/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The last lines of a boot's journal, for its history. By journalctl, which a damaged journal may
 * stop or crash, but not us; and with a time limit, for somebody is about to reboot. */

#include "history.h"
#include "process.h"
#include "strv.h"

#define TIME_LIMIT "15" /* seconds */

int history_journal(const char *boot_id, char ***ret, struct error *err)
{
        _cleanup_free_ char *boot = string_format("--boot=%s", boot_id ?: "0"), *output = NULL,
                            *count = string_format("--lines=%d", HISTORY_JOURNAL_LINES);
        const char *const argv[] = {
                "timeout",    TIME_LIMIT,      "journalctl",
                boot,         count,           "--quiet",
                "--no-pager", "--no-hostname", "--output=short-monotonic",
                NULL,
        };
        int r;

        if (!boot || !count)
                return error_oom(err);
        r = spawn(argv, NULL, &output, err);
        if (r < 0)
                return error_prefix(err, r, "journal");
        return strv_split(output, "\n", ret) < 0 ? error_oom(err) : 0;
}
