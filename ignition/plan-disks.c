/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the disks and mount stages would do. Each step decides with the stage's own functions, on
 * what can be read: a device that is not there (this may not be the machine) is a row, no refusal,
 * and whether a key opens a volume is not tried. */

#include <fcntl.h>
#include <inttypes.h>
#include <strings.h>

#include "block.h"
#include "disks.h"
#include "plan-content.h"
#include "strv.h"

/* ---- partitions ---- */

enum { PLACE_MAX = 64 };

static const struct {
        uint64_t bytes;
        const char *name;
} units[] = { { MIB, "MiB" }, { KIB, "KiB" }, { 1, "bytes" } };

/* "512 MiB", in the largest unit that is exact. */
static const char *size_text(uint64_t sectors, uint64_t sector_size, char ret[PLACE_MAX])
{
        uint64_t bytes = sectors * sector_size;
        size_t i = 0;

        while (bytes % units[i].bytes != 0)
                i++;
        snprintf(ret, PLACE_MAX, "%" PRIu64 " %s", bytes / units[i].bytes, units[i].name);
        return ret;
}

static void describe_entry(const struct disk_view *d, const struct gpt_entry *e, bool rest,
                           struct buffer *b)
{
        uint64_t sector = d->table.sector_size;
        char start[PLACE_MAX], size[PLACE_MAX];

        if (*e->label)
                buffer_printf(b, "\"%s\", ", e->label);
        buffer_printf(b, "start %s, size %s", size_text(e->start, sector, start),
                      rest ? "all that is free" : size_text(e->size, sector, size));
        if (*e->type)
                buffer_printf(b, ", type %s", e->type);
        if (*e->guid)
                buffer_printf(b, ", GUID %s", e->guid);
}

static void add_entry(struct plan *p, const struct disk_view *d, const char *action,
                      unsigned number, const char *detail)
{
        _cleanup_free_ char *object = string_format("%s partition %u", d->disk->device, number);

        plan_add(p, action, object ?: "", "%s", detail);
}

static void add_operation(struct plan *p, const struct disk_view *d, const struct gpt_operation *o)
{
        bool gone = o->action == GPT_DELETE, rest = !d->there && o->wanted->size_mib.value == 0;
        _cleanup_buffer_ struct buffer b = {};
        char size[PLACE_MAX];

        if (o->action != GPT_NOTHING)
                describe_entry(d, gone ? &o->before : &o->after, rest, &b);
        if (o->action == GPT_RESIZE)
                buffer_printf(&b, ", instead of %s",
                              size_text(o->before.size, d->table.sector_size, size));
        add_entry(p, d, gpt_action_name(o->action), o->after.number, b.data ?: "");
}

/* A new table takes all that is in the old one with it. */
static void add_table(struct plan *p, const struct disk_view *d)
{
        const struct gpt_table *t = &d->table;

        if (!d->plan.wipe_table)
                return;
        plan_add(p, t->exists ? "replace" : "create", d->disk->device, "partition table%s%s%s",
                 *t->foreign ? " (" : "", t->foreign, *t->foreign ? ")" : "");
        for (size_t i = 0; i < t->count; i++) {
                _cleanup_buffer_ struct buffer b = {};

                describe_entry(d, &t->entries[i], false, &b);
                add_entry(p, d, gpt_action_name(GPT_DELETE), t->entries[i].number, b.data ?: "");
        }
}

static void plan_disk(struct plan *p, const struct disk *disk, struct disk_view *d)
{
        struct error err = {};
        int r = disk_preview(disk, d, &err);

        if (!d->there && *d->absent)
                plan_add(p, "absent", disk->device, "%s: planned as if it were empty", d->absent);
        if (r < 0) {
                agent_setting(p->agent, d->plan.culprit ? d->plan.culprit->at : disk->at, NULL, r);
                error_prefix(&err, r, "%s", disk->device);
                plan_refuse(p, &err);
                return;
        }
        add_table(p, d);
        for (size_t i = 0; i < d->plan.count; i++)
                add_operation(p, d, &d->plan.operations[i]);
}

/* ---- arrays ---- */

/* Why mdadm would not take a member; NULL: nothing is known against it. The array of an earlier
 * attempt is stopped by the stage. */
static const char *member_in_use(const char *device, char user[BLOCK_USER_MAX])
{
        _cleanup_block_ struct block b = BLOCK_NULL;
        char array[BLOCK_NODE_MAX];
        struct error absent;

        if (block_open(device, O_RDONLY, &b, &absent) < 0 || block_holder(b.number, "md", array) ||
            !block_user(b.number, user))
                return NULL;
        return user;
}

static void plan_array(struct plan *p, const struct disks_view *v, const struct raid *raid)
{
        _cleanup_buffer_ struct buffer b = {};
        char user[BLOCK_USER_MAX];
        struct error err = {};
        const char *used = NULL;

        buffer_printf(&b, "%s of", raid->level);
        for (size_t i = 0; i < raid->devices.count && !used; i++) {
                const char *device = raid->devices.items[i];
                struct content there;

                used = member_in_use(device, user);
                if (used)
                        error_set(&err, -EBUSY, "array \"%s\": %s is %s", raid->name, device, used);
                buffer_printf(&b, "%s %s", i > 0 ? "," : "", device);
                if (content_find(v, device, &there, &err) >= 0 && there.missing)
                        buffer_puts(&b, " (not there)");
        }
        if (!used) {
                plan_add(p, "create", raid->name, "%s; arrays are always made anew", b.data ?: "");
                return;
        }
        agent_setting(p->agent, raid->at, NULL, -EBUSY);
        plan_refuse(p, &err);
}

/* ---- encrypted volumes ---- */

static enum luks_found luks_of_probe(const struct probe *there)
{
        return !streq(there->type, "crypto_LUKS") ? LUKS_NONE
               : streq(there->version, "1")       ? LUKS_OLD
                                                  : LUKS_VOLUME;
}

static int check_names(const struct luks *l, const struct probe *there, struct error *err)
{
        if ((!l->label || streq(l->label, there->label)) &&
            (string_is_empty(l->uuid) || strcasecmp(l->uuid, there->uuid) == 0))
                return 0;
        return error_set(err, -EEXIST,
                         "%s has a LUKS volume of another label or UUID (found \"%s\", %s) and "
                         "wipeVolume is not set",
                         l->device, there->label, there->uuid);
}

static int decide_volume(struct plan *p, const struct disks_view *v, const struct luks *l,
                         struct content *c, enum verdict *ret, struct error *err)
{
        enum luks_found found;
        int r;

        r = luks_check(p->agent, l, err);
        if (r >= 0)
                r = content_find(v, l->device, c, err);
        if (r < 0 || c->unknown || config_is_true(&l->wipe))
                return r;
        found = luks_of_probe(&c->there);
        if (c->is_node)
                r = luks_inspect(l->device, &found, err);
        if (r >= 0)
                r = luks_decide(l, found, &c->there, ret, err);
        return r < 0 || *ret != VERDICT_KEEP ? r : check_names(l, &c->there, err);
}

/* ---- what volumes and file systems have in common ---- */

static const struct {
        const char *action, *detail;
} verdicts[] = {
        [VERDICT_MAKE] = { "create", "" },
        [VERDICT_REMAKE] = { "create", "; what is there was never finished" },
        [VERDICT_KEEP] = { "keep", "" },
};

static void add_verdict(struct plan *p, enum verdict verdict, const struct content *c, bool wiped,
                        const char *object, const char *what)
{
        const char *found = wiped && *c->there.type ? c->there.type : "";
        bool open = c->unknown && !wiped;

        plan_add(p, verdicts[verdict].action, object, "%s%s%s%s%s%s%s", what,
                 verdicts[verdict].detail, *found ? "; wiped: " : "", found, c->unknown ? "; " : "",
                 c->unknown ?: "", open ? ": what it holds may change this" : "");
}

static bool plan_volume(struct plan *p, const struct disks_view *v, const struct luks *l)
{
        _cleanup_free_ char *what = string_format("encrypted volume on %s", l->device);
        enum verdict verdict = VERDICT_MAKE;
        struct content c = {};
        struct error err = {};
        int r;

        r = decide_volume(p, v, l, &c, &verdict, &err);
        if (r < 0) {
                agent_setting(p->agent, l->at, NULL, r);
                plan_refuse(p, &err);
                return false;
        }
        if (verdict == VERDICT_KEEP)
                plan_add(p, "keep", l->name, "%s; if its key opens it, else the stage fails",
                         what ?: "");
        else
                add_verdict(p, verdict, &c, config_is_true(&l->wipe), l->name, what ?: "");
        return verdict == VERDICT_KEEP;
}

/* ---- file systems ---- */

/* Nobody may use what is made anew. */
static int check_unused(const struct filesystem *f, const struct content *c, struct error *err)
{
        _cleanup_block_ struct block b = BLOCK_NULL;
        char user[BLOCK_USER_MAX];
        struct error absent;

        if (!c->is_node || block_open(f->device, O_RDONLY, &b, &absent) < 0 ||
            !block_user(b.number, user))
                return 0;
        return error_set(err, -EBUSY, "%s is %s", f->device, user);
}

static int decide_filesystem(const struct disks_view *v, const struct filesystem *f,
                             struct content *c, enum verdict *ret, struct error *err)
{
        int r;

        r = content_find(v, f->device, c, err);
        if (r >= 0 && !c->unknown)
                r = filesystem_decide(f, &c->there, ret, err);
        return r < 0 || *ret == VERDICT_KEEP ? r : check_unused(f, c, err);
}

static void plan_filesystem(struct plan *p, const struct disks_view *v, const struct filesystem *f)
{
        _cleanup_buffer_ struct buffer what = {};
        enum verdict verdict = VERDICT_MAKE;
        struct content c = {};
        struct error err = {};
        int r;

        r = decide_filesystem(v, f, &c, &verdict, &err);
        if (r < 0) {
                agent_setting(p->agent, f->at, NULL, r);
                plan_refuse(p, &err);
                return;
        }
        buffer_puts(&what, streq(f->format, "none") ? "no file system" : f->format);
        if (!string_is_empty(f->label))
                buffer_printf(&what, " \"%s\"", f->label);
        if (!string_is_empty(f->uuid))
                buffer_printf(&what, ", UUID %s", f->uuid);
        add_verdict(p, verdict, &c, config_is_true(&f->wipe), f->device, what.data ?: "");
}

/* ---- all of it ---- */

static void plan_steps(struct plan *p, struct disks_view *v)
{
        struct disk_view *d = v->disks;
        bool *kept = v->luks_kept;

        CONFIG_FOREACH(struct disk, disk, &v->storage->disks)
        plan_disk(p, disk, d++);
        CONFIG_FOREACH(struct raid, raid, &v->storage->raid)
        plan_array(p, v, raid);
        CONFIG_FOREACH(struct luks, l, &v->storage->luks)
        *kept++ = plan_volume(p, v, l);
        CONFIG_FOREACH(struct filesystem, f, &v->storage->filesystems)
        if (!string_is_empty(f->format))
                plan_filesystem(p, v, f);
}

void plan_disks(struct plan *p)
{
        const struct storage *s = &p->agent->config.root.storage;
        struct disks_view v = { .storage = s,
                                .disks = calloc(s->disks.count + 1, sizeof(*v.disks)),
                                .luks_kept = calloc(s->luks.count + 1, sizeof(*v.luks_kept)) };

        if (v.disks && v.luks_kept)
                plan_steps(p, &v);
        else
                p->failed = true;
        for (size_t i = 0; v.disks && i < s->disks.count; i++)
                gpt_plan_done(&v.disks[i].plan);
        free(v.disks);
        free(v.luks_kept);
}

void plan_mount(struct plan *p)
{
        CONFIG_FOREACH(struct filesystem, f, &p->agent->config.root.storage.filesystems)
        if (!string_is_empty(f->path) && !string_is_empty(f->format) && !streq(f->format, "none") &&
            !streq(f->format, "swap"))
                plan_add(p, "mount", f->path, "%s on %s", f->format, f->device);
}
