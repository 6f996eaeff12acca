/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the disks and mount stages would do. */

#include "plan.h"

void plan_disks(struct plan *p)
{
        struct error err = {};

        if (stage_disks.run(p->agent, &err) < 0)
                plan_refuse(p, &err);
}

void plan_mount(struct plan *p)
{
        CONFIG_FOREACH(struct filesystem, f, &p->agent->config.root.storage.filesystems)
        if (!string_is_empty(f->path) && !string_is_empty(f->format) && !streq(f->format, "none") &&
            !streq(f->format, "swap"))
                plan_add(p, "mount", f->path, "%s on %s", f->format, f->device);
}
