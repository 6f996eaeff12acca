/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* report.json: what was built from what, deterministic like every artifact (so no times in it). */

#include "compose.h"

int report_text(const struct manifest *m, const struct composition *c, char **ret,
                struct error *err) _must_check_;

/* What other verbs need of a report. */
struct report_summary {
        char *image, *version, *architecture;
        struct sha256 commit, root_hash;
        uint64_t usr_size, tree_size;
        struct {
                struct artifact *items;
                size_t count;
        } artifacts;
};
void report_summary_done(struct report_summary *s);
#define _cleanup_report_summary_ _cleanup_(report_summary_done)

/* Reads the only "*.report.json" of a build's output directory. */
int report_load(const char *directory, struct report_summary *ret, struct error *err) _must_check_;
