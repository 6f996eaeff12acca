/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What those of the site*.c files share that use libostree: only they include this header. */

#include <ostree.h>

#undef MIN /* ours evaluate their arguments once */
#undef MAX

#include "site-internal.h"

/* A GError becomes ours; returns the code: -ENOENT or -EREMOTEIO. */
int gerror_set(struct error *err, const GError *error);

/* A commit to be pulled. All borrowed. */
struct site_pull {
        const char *repo_path, *url, *commit;
        GBytes *summary, *signature; /* that were verified, so that libostree fetches no others */
};

/* The commit object and its detached metadata are in the repository then, which is made where there
 * is none, and anew where it does not open: it is a cache. Neither is believed yet. */
int site_pull(const struct site_pull *p, struct error *err) _must_check_;
