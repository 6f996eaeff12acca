/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The formats of a site, read as the agent reads them: the first byte of an input says as what.
 * Shared by the fuzz target and the test of its corpus. */

#include "../../update/site-internal.h"

static inline int site_formats_try(const uint8_t *data, size_t size, struct error *err)
{
        struct site_signatures signatures;
        struct release release = {};
        struct site_summary summary;
        struct sha256 digest;
        int r = -EINVAL;

        if (size == 0)
                return error_set(err, r, "as what?");
        switch (data[0]) {
        case 'g': r = site_signatures_parse(data + 1, size - 1, &signatures, err); break;
        case 's':
                r = site_summary_parse(data + 1, size - 1, "tiny/amd64/stable", &summary, err);
                break;
        case 'c':
                r = site_commit_parse(data + 1, size - 1, "tiny", "amd64", &release, err);
                if (r >= 0)
                        r = site_commit_tree(data + 1, size - 1, &digest, err);
                release_done(&release);
                break;
        case 'd':
                r = site_directory_find(data + 1, size - 1, "hosts", false, &digest, err);
                if (r == 0)
                        r = site_directory_find(data + 1, size - 1, "slipway", true, &digest, err);
                break;
        default: return error_set(err, r, "as what?");
        }
        return r;
}
