/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See verbs.h; `plan` is in plan.c. */

#include "report.h"
#include "verbs.h"

static const char by_label[] = "/dev/disk/by-partlabel/";

static bool makes_partition(const struct storage *s, const char *label)
{
        CONFIG_FOREACH(struct disk, disk, &s->disks)
        CONFIG_FOREACH(struct partition, p, &disk->partitions)
        if (p->label && streq(p->label, label) && !config_is_false(&p->should_exist))
                return true;
        return false;
}

static bool uses_device(const struct storage *s, const char *device)
{
        CONFIG_FOREACH(struct filesystem, f, &s->filesystems)
        if (f->device && streq(f->device, device))
                return true;
        CONFIG_FOREACH(struct luks, l, &s->luks)
        if (l->device && streq(l->device, device))
                return true;
        CONFIG_FOREACH(struct raid, raid, &s->raid)
        for (size_t i = 0; i < raid->devices.count; i++)
                if (streq(raid->devices.items[i], device))
                        return true;
        return false;
}

int verb_needs_device(struct agent *a, const char *argument, struct error *err)
{
        const struct storage *s = &a->config.root.storage;
        const char *label;
        int r;

        if (!argument)
                return error_set(err, -EINVAL, "needs-device: which one?");
        r = agent_load_config(a, err);
        if (r < 0)
                return r;
        label = startswith(argument, by_label);
        return uses_device(s, argument) && !(label && makes_partition(s, label)) ? 0 : 1;
}

int verb_report(struct agent *a, const char *argument, struct error *err)
{
        int r;

        if (argument)
                return error_set(err, -EINVAL, "report: takes no argument");
        r = root_open(&a->root, a->options.root, err);
        if (r >= 0)
                r = agent_load_state(a, err);
        return r < 0 ? r : report_complete(a, err);
}
