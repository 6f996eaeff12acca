/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ignition-fetch PLATFORM URL: what the agent gets from a URL, on stdout, on a machine of that
 * platform. */

#include "fetch.h"

int main(int argc, char *argv[])
{
        struct agent a = { .options = { .platform = argc == 3 ? argv[1] : NULL,
                                        .fetch_timeout_ms = 30000 },
                           .root.fd = -1 };
        _cleanup_free_ char *text = NULL;
        struct error err = {};
        size_t size;
        int r;

        if (argc != 3)
                return 2;
        a.log.to_stdout = false;
        r = fetch_text(&a, &(struct fetch_request){ .url = argv[2] }, &text, &size, &err);
        if (r < 0)
                fprintf(stderr, "%s\n", err.message);
        else
                fwrite(text, 1, size, stdout);
        fetcher_free(a.fetcher);
        return r < 0 ? 1 : 0;
}
