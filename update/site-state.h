/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /var/lib/slipway/site.json: what this machine saw of its update site. Written only after what is
 * in it was verified, so that a hostile site cannot bring it forward, nor an old one back. */

#include "record.h"
#include "digest.h"

#define SITE_STATE_PATH "/var/lib/slipway/site.json"

struct site_memory {
        uint64_t summary_timestamp; /* of the newest summary that was believed */
        uint64_t checked;           /* when that was */
        char *site, *channel;       /* where; the times of another site say nothing */
        char *version;              /* of the release that was offered */
        struct sha256 root_hash;
};

/* All zero when there is no such file. One that is damaged is an error: whoever removes it accepts
 * older summaries. */
int site_memory_load(const char *path, struct site_memory *ret, struct error *err) _must_check_;
int site_memory_save(const char *path, const struct site_memory *m, struct error *err) _must_check_;
void site_memory_done(struct site_memory *m);
