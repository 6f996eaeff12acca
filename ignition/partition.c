/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first step of the disks stage. For each disk: refuse when it is in use, read, plan, refuse
 * when a partition that would change is in use, write, tell the kernel, check that it agrees.
 *
 * The kernel is brought in line with the table on the disk, not with the plan, and also when
 * nothing had to be written: an attempt that was cut off between the two is completed so. */

#include <fcntl.h>
#include <inttypes.h>

#include "block.h"
#include "disks.h"
#include "partition.h"

struct target {
        struct agent *agent;
        const struct disk *disk;
        struct block block;
        struct block_partition partitions[BLOCK_PARTITIONS_MAX]; /* the kernel's */
        size_t partition_count;
        struct gpt_table table;
};

static const struct block_partition *kernel_partition(const struct target *t, unsigned number)
{
        for (size_t i = 0; i < t->partition_count; i++)
                if (t->partitions[i].number == number)
                        return &t->partitions[i];
        return NULL;
}

static int load_partitions(struct target *t, struct error *err)
{
        return block_partitions(&t->block, t->partitions, &t->partition_count, err);
}

/* ---- in use? ---- */

static int check_disk_unused(struct target *t, struct error *err)
{
        char user[BLOCK_USER_MAX];

        if (block_user(t->block.number, user))
                return error_set(err, -EBUSY, "refusing to operate on directly active disk %s: %s",
                                 t->disk->device, user);
        for (size_t i = 0; config_is_true(&t->disk->wipe_table) && i < t->partition_count; i++)
                if (block_user(t->partitions[i].device, user))
                        return error_set(err, -EBUSY,
                                         "refusing to wipe active disk %s: partition %u is %s",
                                         t->disk->device, t->partitions[i].number, user);
        return 0;
}

static int check_operation_unused(struct target *t, struct gpt_plan *plan,
                                  const struct gpt_operation *o, struct error *err)
{
        const struct block_partition *p = kernel_partition(t, o->before.number);
        char user[BLOCK_USER_MAX];
        bool modifies =
                o->action == GPT_DELETE || o->action == GPT_REPLACE || o->action == GPT_RESIZE;

        if (!modifies || !p || !block_user(p->device, user))
                return 0;
        plan->culprit = o->wanted;
        return error_set(err, -EBUSY, "refusing to modify active partition %u on %s: %s",
                         o->before.number, t->disk->device, user);
}

static int check_plan_unused(struct target *t, struct gpt_plan *plan, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < plan->count; i++)
                r = check_operation_unused(t, plan, &plan->operations[i], err);
        return r;
}

/* ---- the kernel ---- */

static const struct gpt_entry *table_entry(const struct target *t, unsigned number)
{
        for (size_t i = 0; i < t->table.count; i++)
                if (t->table.entries[i].number == number)
                        return &t->table.entries[i];
        return NULL;
}

/* What cannot be changed (a partition in use, say) is found by the check that follows. */
static void change(struct target *t, enum block_change what, const struct block_partition *p)
{
        struct error err = {};

        if (block_partition_change(&t->block, what, p, &err) < 0)
                log_line(&t->agent->log, LOG_WARNING, "%s", err.message);
}

static struct block_partition expected(const struct target *t, const struct gpt_entry *e)
{
        return (struct block_partition){ .number = e->number,
                                         .start = e->start * t->block.sector_size,
                                         .size = e->size * t->block.sector_size };
}

static void delete_stale(struct target *t)
{
        for (size_t i = 0; i < t->partition_count; i++) {
                const struct block_partition *p = &t->partitions[i];
                const struct gpt_entry *e = table_entry(t, p->number);

                if (!e || expected(t, e).start != p->start)
                        change(t, BLOCK_DELETE, p);
        }
}

/* Shrinking makes room for others, so it comes first. */
static void resize_changed(struct target *t, bool shrink)
{
        for (size_t i = 0; i < t->table.count; i++) {
                struct block_partition want = expected(t, &t->table.entries[i]);
                const struct block_partition *p = kernel_partition(t, want.number);

                if (p && p->start == want.start && p->size != want.size &&
                    (want.size < p->size) == shrink)
                        change(t, BLOCK_RESIZE, &want);
        }
}

static void add_missing(struct target *t)
{
        for (size_t i = 0; i < t->table.count; i++) {
                struct block_partition want = expected(t, &t->table.entries[i]);
                const struct block_partition *p = kernel_partition(t, want.number);

                if (!p || p->start != want.start)
                        change(t, BLOCK_ADD, &want);
        }
}

static int verify_operation(struct target *t, struct gpt_plan *plan, const struct gpt_operation *o,
                            struct error *err)
{
        unsigned number = o->after.number;
        const struct block_partition *p = kernel_partition(t, number);
        const struct gpt_entry *e = table_entry(t, number);

        if ((!p && !e) ||
            (p && e && p->start == expected(t, e).start && p->size == expected(t, e).size))
                return 0;
        plan->culprit = o->wanted;
        return error_set(err, -EIO, "the kernel has %s partition %u than the table on %s",
                         !e   ? "still a"
                         : !p ? "no"
                              : "another",
                         number, t->disk->device);
}

static int update_kernel(struct target *t, struct gpt_plan *plan, struct error *err)
{
        int r;

        r = gpt_read(t->block.fd, t->block.node, t->block.sector_size, &t->table, err);
        if (r < 0)
                return r;
        delete_stale(t);
        resize_changed(t, true);
        resize_changed(t, false);
        add_missing(t);
        r = load_partitions(t, err);
        for (size_t i = 0; r >= 0 && i < plan->count; i++)
                r = verify_operation(t, plan, &plan->operations[i], err);
        return r;
}

/* ---- a disk ---- */

static void log_plan(struct target *t, const struct gpt_plan *plan)
{
        struct log *log = &t->agent->log;

        if (plan->wipe_table)
                log_line(log, LOG_INFO, "%s: new partition table", t->disk->device);
        for (size_t i = 0; i < plan->count; i++) {
                const struct gpt_operation *o = &plan->operations[i];

                log_line(log, LOG_INFO,
                         "%s: %s partition %u (start %" PRIu64 ", size %" PRIu64 " sectors)",
                         t->disk->device, gpt_action_name(o->action), o->after.number,
                         o->after.start, o->after.size);
        }
}

static int inspect(struct target *t, struct error *err)
{
        int r;

        r = load_partitions(t, err);
        if (r >= 0)
                r = check_disk_unused(t, err);
        return r < 0 ? r
                     : gpt_read(t->block.fd, t->block.node, t->block.sector_size, &t->table, err);
}

static int decide(struct target *t, struct gpt_plan *plan, struct error *err)
{
        int r = gpt_plan(t->disk, &t->table, plan, err);

        return r < 0 ? r : check_plan_unused(t, plan, err);
}

static int apply(struct target *t, struct gpt_plan *plan, struct error *err)
{
        int r;

        r = decide(t, plan, err);
        if (r < 0)
                return r;
        log_plan(t, plan);
        if (gpt_plan_changes(plan))
                r = gpt_apply(t->block.fd, t->block.node, t->block.sector_size, plan, err);
        return r < 0 ? r : update_kernel(t, plan, err);
}

static int process(struct target *t, struct error *err)
{
        _cleanup_gpt_plan_ struct gpt_plan plan = {};
        int r;

        r = block_open(t->disk->device, O_RDWR, &t->block, err);
        if (r >= 0)
                r = block_lock(&t->block, err);
        if (r >= 0)
                r = inspect(t, err);
        if (r >= 0)
                r = apply(t, &plan, err);
        return agent_setting(t->agent, plan.culprit ? plan.culprit->at : t->disk->at, NULL, r);
}

static int partition_disk(struct agent *a, const struct disk *disk, struct error *err)
{
        struct target *t = calloc(1, sizeof(*t));
        unsigned operation;
        int r;

        if (!t)
                return error_oom(err);
        *t = (struct target){ .agent = a, .disk = disk, .block = BLOCK_NULL };
        operation = log_start(&a->log, "partitioning \"%s\"", disk->device);
        r = process(t, err);
        block_done(&t->block); /* and with it the lock: udev may look now */
        if (r >= 0)
                r = devices_settle(a, t->block.node, err);
        log_end(&a->log, operation, r < 0 ? err : NULL, "partitioning \"%s\"", disk->device);
        free(t);
        return r;
}

/* ---- for a plan ---- */

static const struct gpt_table blank = { .sector_size = 512,
                                        .first = 34,
                                        .last = UINT64_C(1) << 40,
                                        .new_first = 34,
                                        .new_last = UINT64_C(1) << 40 };

/* The kernel knows nothing of an image, and nobody uses it. */
static int inspect_view(struct target *t, struct error *err)
{
        if (t->block.number != 0)
                return inspect(t, err);
        return gpt_read(t->block.fd, t->block.node, t->block.sector_size, &t->table, err);
}

static int view(struct target *t, struct disk_view *v, struct error *err)
{
        struct error absent = {};
        int r = block_open_image(v->disk->device, &t->block, &absent);

        if (r == -ENOTBLK)
                return error_set(err, r, "%s", absent.message);
        v->there = r >= 0;
        if (v->there) {
                r = inspect_view(t, err);
        } else {
                snprintf(v->absent, sizeof(v->absent), "%s", strerror(-r));
                t->table = blank;
                r = 0;
        }
        v->table = t->table;
        return r < 0 ? r : decide(t, &v->plan, err);
}

int disk_preview(const struct disk *disk, struct disk_view *ret, struct error *err)
{
        struct target *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return error_oom(err);
        *t = (struct target){ .disk = disk, .block = BLOCK_NULL };
        ret->disk = disk;
        r = view(t, ret, err);
        if (r < 0)
                gpt_plan_done(&ret->plan);
        block_done(&t->block);
        free(t);
        return r;
}

/* ---- all of them ---- */

static int wait_for_disks(struct agent *a, const struct config_list *disks, struct error *err)
{
        _cleanup_free_ const char **paths = calloc(disks->count + 1, sizeof(*paths));
        size_t n = 0;

        if (!paths)
                return error_oom(err);
        CONFIG_FOREACH(struct disk, disk, disks)
        paths[n++] = disk->device;
        return devices_wait(a, paths, n, err);
}

int disks_partition(struct agent *a, struct error *err)
{
        const struct config_list *disks = &a->config.root.storage.disks;
        int r;

        r = wait_for_disks(a, disks, err);
        CONFIG_FOREACH(struct disk, disk, disks)
        if (r >= 0)
                r = partition_disk(a, disk, err);
        return r;
}
