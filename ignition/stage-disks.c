/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disks stage: partitions, then arrays, then encrypted volumes, then file systems. Each step
 * finds what an earlier attempt left and leads to the same end. */

#include "disks.h"

int disks_release(struct agent *a, struct error *err)
{
        const struct storage *s = &a->config.root.storage;
        int r = 0;

        CONFIG_FOREACH(struct luks, luks, &s->luks)
        if (r >= 0)
                r = luks_release(a, luks, err);
        CONFIG_FOREACH(struct raid, raid, &s->raid)
        if (r >= 0)
                r = raid_release(a, raid, err);
        return r;
}

static int run(struct agent *a, struct error *err)
{
        static int (*const steps[])(struct agent * agent, struct error * err) = {
                disks_release, disks_partition, disks_raid, disks_luks, disks_format,
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++)
                r = steps[i](a, err);
        return r;
}

static bool is_needed(const struct config *c)
{
        const struct storage *s = &c->root.storage;

        return s->disks.count + s->raid.count + s->luks.count + s->filesystems.count > 0;
}

const struct stage stage_disks = { .name = "disks", .run = run, .is_needed = is_needed };
