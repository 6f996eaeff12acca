/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A dry run: what each stage would do, as rows. The stages' own planning decides; what would refuse
 * is a row, too, and makes the plan as a whole fail. */

#include "resolve.h"

struct plan {
        struct agent *agent;
        const char *stage; /* of the rows being added */
        struct json_object *rows;
        struct reference_watch watch;
        bool refused, failed; /* failed: out of memory */
};

/* action: "create", "replace", "change", "keep", "remove", "enable", "fetch", "refuse", "absent",
 * …; detail may be "". */
void plan_add(struct plan *p, const char *action, const char *object, const char *format, ...)
        _printf_(4, 5);
/* The stage would fail. */
void plan_refuse(struct plan *p, const struct error *err);

/* One a stage. They read the machine and --root, and write nothing. */
void plan_fetch(struct plan *p);
void plan_kargs(struct plan *p);
void plan_disks(struct plan *p);
void plan_mount(struct plan *p);
void plan_files(struct plan *p);
