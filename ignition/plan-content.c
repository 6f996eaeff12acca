/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See plan-content.h. A partition is found by the names that udev gives it; what the kernel has
 * under such a name now may be another one than the plan makes, so the planned tables come first.
 */

#include <strings.h>

#include "plan-content.h"
#include "strv.h"

/* ---- partitions ---- */

struct location {
        const struct disk_view *disk;
        const struct gpt_entry *entry;
        bool made; /* not what is there under that name now */
};

static bool is_number_behind(const char *text, unsigned number)
{
        const char *digits = startswith(text, "-part") ?: startswith(text, "p") ?: text;
        char *end;

        return *digits >= '1' && *digits <= '9' && strtoul(digits, &end, 10) == number && !*end;
}

static bool has_name(const struct disk *disk, const struct gpt_entry *e, const char *device)
{
        const char *label = startswith(device, "/dev/disk/by-partlabel/");
        const char *guid = startswith(device, "/dev/disk/by-partuuid/");
        const char *rest = startswith(device, disk->device);

        return (label && streq(label, e->label)) || (guid && strcasecmp(guid, e->guid) == 0) ||
               (rest && is_number_behind(rest, e->number));
}

static bool is_planned(const struct gpt_plan *plan, unsigned number)
{
        for (size_t i = 0; i < plan->count; i++)
                if (plan->operations[i].after.number == number)
                        return true;
        return false;
}

static bool find_in_plan(const struct disk_view *d, const char *device, struct location *ret)
{
        for (size_t i = 0; i < d->plan.count; i++) {
                const struct gpt_operation *o = &d->plan.operations[i];
                bool there = o->action != GPT_NOTHING && o->action != GPT_DELETE;

                if (!there || !has_name(d->disk, &o->after, device))
                        continue;
                *ret = (struct location){ d, &o->after, o->action != GPT_KEEP };
                return true;
        }
        return false;
}

/* Partitions that the configuration does not name stay. */
static bool find_in_table(const struct disk_view *d, const char *device, struct location *ret)
{
        for (size_t i = 0; !d->plan.wipe_table && i < d->table.count; i++) {
                const struct gpt_entry *e = &d->table.entries[i];

                if (is_planned(&d->plan, e->number) || !has_name(d->disk, e, device))
                        continue;
                *ret = (struct location){ d, e, false };
                return true;
        }
        return false;
}

static bool find_place(const struct disks_view *v, const char *device, struct location *ret)
{
        for (size_t i = 0; i < v->storage->disks.count; i++)
                if (find_in_plan(&v->disks[i], device, ret) ||
                    find_in_table(&v->disks[i], device, ret))
                        return true;
        return false;
}

static int read_place(const struct location *place, struct content *ret, struct error *err)
{
        const struct disk_view *d = place->disk;
        uint64_t sector = d->table.sector_size;

        if (!d->there) {
                ret->unknown = "the disk is not there";
                return 0;
        }
        return probe_region(d->disk->device, place->entry->start * sector,
                            place->entry->size * sector, &ret->there, err);
}

/* ---- arrays and volumes ---- */

static bool is_array(const struct disks_view *v, const char *device)
{
        const char *name = startswith(device, "/dev/md/");

        CONFIG_FOREACH(struct raid, r, &v->storage->raid)
        if (r->name && (streq(r->name, device) || (name && streq(r->name, name))))
                return true;
        return false;
}

/* Whether the device is one of the configuration's volumes. A new one holds nothing. */
static bool find_volume(const struct disks_view *v, const char *device, struct content *ret)
{
        const char *name = startswith(device, "/dev/mapper/")
                                   ?: startswith(device, "/dev/disk/by-id/dm-name-");
        size_t i = 0;

        CONFIG_FOREACH(struct luks, l, &v->storage->luks)
        {
                bool kept = v->luks_kept[i++];

                if (!name || !l->name || !streq(l->name, name))
                        continue;
                if (kept)
                        ret->unknown = "inside the encrypted volume";
                return !kept || access(device, F_OK) < 0;
        }
        return false;
}

/* ---- all of it ---- */

static int read_node(const char *device, struct content *ret, struct error *err)
{
        ret->missing = access(device, F_OK) < 0;
        ret->is_node = !ret->missing;
        if (!ret->missing)
                return probe_device(device, &ret->there, err);
        ret->unknown = "the device is not there";
        return 0;
}

int content_find(const struct disks_view *v, const char *device, struct content *ret,
                 struct error *err)
{
        struct location place = {};

        *ret = (struct content){};
        if (find_place(v, device, &place) && (place.made || access(device, F_OK) < 0))
                return read_place(&place, ret, err);
        if (is_array(v, device)) {
                ret->unknown = "a new array";
                return 0;
        }
        if (find_volume(v, device, ret))
                return 0;
        *ret = (struct content){};
        return read_node(device, ret, err);
}
