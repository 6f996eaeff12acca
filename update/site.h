/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the channel of an update site offers, believed only after its signature: the summary (which
 * commit the channel's ref names, and until when that may be believed), then the commit, which
 * carries the release. libostree pulls both into a repository of its own (commit objects only);
 * site.c is the only file of the agent that includes <ostree.h>. */

#include "config.h"
#include "keyring.h"
#include "release.h"

/* What this machine knows from before: an attacker must not bring it back to older states. */
struct site_state {
        uint64_t summary_timestamp; /* of the newest summary that was believed; 0: none */
        uint64_t running_timestamp; /* of the running release */
        const char *running_version;
        uint64_t now; /* seconds since the epoch */
        bool allow_downgrade;
};

struct site_offer {
        struct sha256 commit;
        uint64_t summary_timestamp;
        struct release release;
};

/* -EKEYREJECTED: unsigned, or by none of the keys; -EKEYEXPIRED: the summary is past its date;
 * -ESTALE: older than a summary seen before, or the release older than the running one; -ENOENT: no
 * such channel. The message says which. */
int site_check(const struct update_config *config, const struct keyring *keys, const char *image,
               const char *architecture, const char *repo_path, const struct site_state *state,
               struct site_offer *ret, struct error *err) _must_check_;
void site_offer_done(struct site_offer *o);

/* Paths below /etc that are not as the running release has them in /usr/etc, and of which the
 * offered one has another version too: each may want a look. Directories of the release's tree are
 * fetched, no contents. Returned sorted, NULL-terminated; caller frees. */
int site_etc_conflicts(const char *site, const char *repo_path, const struct sha256 *commit,
                       const char *root, char ***ret, struct error *err) _must_check_;
