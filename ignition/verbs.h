/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the program does besides stages. argument may be NULL. Result: the exit status, or < 0. */

#include "agent.h"

/* Does the cached configuration use a device without making it? 0: yes, 1: no. */
int verb_needs_device(struct agent *a, const char *argument, struct error *err);
/* What each stage would do with this configuration. */
int verb_plan(struct agent *a, const char *argument, struct error *err);
/* Provisioning is complete: tells whoever wants to know. */
int verb_report(struct agent *a, const char *argument, struct error *err);
/* Where each setting of this configuration, merged with all it refers to, was written. */
int verb_explain(struct agent *a, const char *argument, struct error *err);
/* JSON Schema of a version; NULL: the newest stable one. */
int verb_schema(struct agent *a, const char *argument, struct error *err);
