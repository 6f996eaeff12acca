/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* System extensions across an update: those that the new release would not take get a version from
 * the site that it does, or the update is refused. The old versions stay: the running release goes
 * on with them, and so does whoever falls back. Merging passes over what does not fit. */

#include "config.h"
#include "extension-index.h"
#include "fetch.h"
#include "keyring.h"
#include "sysext.h"

#define EXTENSIONS_DIRECTORY "/var/lib/extensions"
#define EXTENSIONS_NOTE      STATE_DIRECTORY "/extensions.json" /* of what was fetched */

struct extension_plan {
        struct sysext_problems problems;
        struct extension_index index;          /* of the channel; empty: there are no problems */
        struct extension_entry **replacements; /* of each problem, in the index; NULL: none */
        uint64_t fetch_bytes;                  /* of those that are not here yet */
};

/* The index is asked for when there are problems. -EKEYREJECTED: it is signed by none of the keys.
 */
int extensions_plan(const struct update_config *config, const struct keyring *keys,
                    const struct host *h, const struct release *release, struct extension_plan *ret,
                    struct error *err) _must_check_;
void extension_plan_done(struct extension_plan *p);
/* -ENOPKG: one has no replacement; the message says which, and why it wants one. */
int extensions_refuse(const struct extension_plan *p, struct error *err) _must_check_;
/* Fetches what the plan wants, to the place where merging looks for it. */
int extensions_fetch(const struct extension_plan *p, const char *site, const struct host *h,
                     struct fetcher *fetcher, struct error *err) _must_check_;
/* Removes what an earlier update has fetched and neither the running release nor the new one takes.
 */
int extensions_sweep(const struct host *h, const struct release *release,
                     struct error *err) _must_check_;
