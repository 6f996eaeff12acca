/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What provisioning came to, for people and for programs: a file beside the state file, carried
 * from stage to stage,
 *
 *   { "status": "running" | "failed" | "complete", "version", "platform", "bootID", "date",
 *     "stages":  [{ "name", "result": "passed" | "failed", "milliseconds" }],
 *     "failure": { "stage", "setting", "line", "column", "reason", "advice" },
 *     "configs": [{ "kind", "source", "referenced" }] }
 *
 * At the end, good or bad, it is copied to ROOT (/var/lib/ignition/report.json) when that is
 * mounted, and sent by POST to the URL of the kernel argument ignition.report.url. A failure is
 * also left as the block of text that stands on the consoles ("failure", in the same place). */

#include "agent.h"

/* What to do about a failure. */
const char *report_advice(const char *stage, int code);

/* The stage is through: err NULL when it passed. A failure ends provisioning, so it is shown on
 * every console and sent. started: clock_ms(). */
void report_stage(struct agent *a, const char *stage, uint64_t started, const struct error *err);
/* Provisioning is complete: after the last stage. */
int report_complete(struct agent *a, struct error *err) _must_check_;
/* Somebody waits for a report on the network. */
bool report_needs_network(void);
