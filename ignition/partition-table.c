/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading and writing GPT through libfdisk. Only the plan's entries are touched: what it does not
 * name keeps its place, names and attributes. A disk that was enlarged gets its backup table moved
 * to the new end, so that the new room is usable. This is the only file here that includes
 * libfdisk. */

#include <inttypes.h>
#include <libfdisk.h>

#include "io.h"
#include "partition.h"

#define TYPE_LINUX "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

static void context_unref_p(struct fdisk_context **context)
{
        if (*context)
                fdisk_unref_context(*context);
}

static void row_unref_p(struct fdisk_partition **row)
{
        if (*row)
                fdisk_unref_partition(*row);
}

static void script_unref_p(struct fdisk_script **script)
{
        if (*script)
                fdisk_unref_script(*script);
}

static void table_unref_p(struct fdisk_table **table)
{
        if (*table)
                fdisk_unref_table(*table);
}

/* libfdisk returns negative errnos; it describes nothing. */
static int failed(struct error *err, int r, const char *what)
{
        return r < 0 ? error_code(err, r, "partition table: %s", what) : 0;
}

static int context_open(int fd, const char *path, uint64_t sector_size, bool read_only,
                        struct fdisk_context **ret, struct error *err)
{
        _cleanup_(context_unref_p) struct fdisk_context *context = fdisk_new_context();
        unsigned size = (unsigned)sector_size;
        int r;

        if (!context)
                return error_oom(err);
        r = fdisk_disable_dialogs(context, 1);
        if (r == 0)
                r = fdisk_save_user_sector_size(context, size, size);
        if (r == 0)
                r = fdisk_assign_device_by_fd(context, fd, path, read_only);
        if (r < 0)
                return failed(err, r, "open");
        *ret = TAKE_PTR(context);
        return 0;
}

static void copy(char *to, size_t size, const char *from)
{
        snprintf(to, size, "%s", from ?: "");
}

static int read_row(struct fdisk_partition *row, struct gpt_table *t, struct error *err)
{
        struct fdisk_parttype *type = fdisk_partition_get_type(row);
        struct gpt_entry *e = &t->entries[t->count];

        if (!fdisk_partition_has_start(row) || !fdisk_partition_has_size(row))
                return 0;
        if (t->count == GPT_ENTRIES_MAX || fdisk_partition_get_partno(row) >= GPT_ENTRIES_MAX)
                return error_set(err, -E2BIG, "partition table: more than %d entries",
                                 GPT_ENTRIES_MAX);
        e->number = (unsigned)fdisk_partition_get_partno(row) + 1;
        e->start = fdisk_partition_get_start(row);
        e->size = fdisk_partition_get_size(row);
        copy(e->guid, sizeof(e->guid), fdisk_partition_get_uuid(row));
        copy(e->type, sizeof(e->type), type ? fdisk_parttype_get_string(type) : NULL);
        copy(e->label, sizeof(e->label), fdisk_partition_get_name(row));
        t->count++;
        return 0;
}

static int read_rows(struct fdisk_context *context, struct gpt_table *t, struct error *err)
{
        _cleanup_(table_unref_p) struct fdisk_table *rows = NULL;
        int r;

        r = fdisk_get_partitions(context, &rows);
        if (r < 0)
                return failed(err, r, "read");
        for (size_t i = 0; r >= 0 && i < fdisk_table_get_nents(rows); i++)
                r = read_row(fdisk_table_get_partition(rows, i), t, err);
        return r;
}

/* Sectors of one table's entries. */
static uint64_t entry_sectors(uint64_t sector_size)
{
        return DIV_ROUND_UP(GPT_ENTRIES_MAX * 128, sector_size);
}

/* A new table's room begins and ends behind the entries at either side. */
static void describe_room(struct fdisk_context *context, struct gpt_table *t)
{
        uint64_t entries = entry_sectors(t->sector_size);
        uint64_t total = fdisk_get_nsectors(context);

        t->disk_sectors = total;
        t->first = t->new_first = 2 + entries;
        t->last = t->new_last = total > 2 * entries + 3 ? total - entries - 2 : t->first;
}

/* Sector of the backup header, as the table says; 0: not known. */
static uint64_t backup_sector(struct fdisk_context *context)
{
        struct fdisk_labelitem *item = fdisk_new_labelitem();
        uint64_t sector = 0;

        if (item && fdisk_get_disklabel_item(context, GPT_LABELITEM_ALTLBA, item) == 0)
                fdisk_labelitem_get_data_u64(item, &sector);
        fdisk_unref_labelitem(item);
        return sector;
}

/* An existing table says itself what is usable. When the disk has grown, writing moves the backup
 * to the new end, and all before it is usable. */
static void read_room(struct fdisk_context *context, struct gpt_table *t)
{
        uint64_t backup = backup_sector(context), last = fdisk_get_last_lba(context);

        t->first = fdisk_get_first_lba(context);
        if (backup > 0 && backup < t->disk_sectors - 1)
                t->old_last = last;
        else
                t->last = MIN(last, t->new_last);
}

static int read_table(struct fdisk_context *context, struct gpt_table *t, struct error *err)
{
        read_room(context, t);
        return read_rows(context, t, err);
}

int gpt_read(int fd, const char *path, uint64_t sector_size, struct gpt_table *ret,
             struct error *err)
{
        _cleanup_(context_unref_p) struct fdisk_context *context = NULL;
        int r;

        r = context_open(fd, path, sector_size, true, &context, err);
        if (r < 0)
                return r;
        *ret = (struct gpt_table){ .sector_size = sector_size };
        describe_room(context, ret);
        ret->exists = fdisk_has_label(context);
        if (!ret->exists || fdisk_is_labeltype(context, FDISK_DISKLABEL_GPT))
                return ret->exists ? read_table(context, ret, err) : 0;
        copy(ret->foreign, sizeof(ret->foreign),
             fdisk_label_get_name(fdisk_get_label(context, NULL)));
        return 0;
}

static int set_type(struct fdisk_context *context, struct fdisk_partition *row, const char *type,
                    struct error *err)
{
        struct fdisk_parttype *t;
        int r;

        t = fdisk_label_parse_parttype(fdisk_get_label(context, NULL), *type ? type : TYPE_LINUX);
        if (!t)
                return error_set(err, -EINVAL, "partition table: type %s", type);
        r = fdisk_partition_set_type(row, t);
        fdisk_unref_parttype(t);
        return failed(err, r, "type");
}

static int fill_row(struct fdisk_context *context, struct fdisk_partition *row,
                    const struct gpt_entry *e, struct error *err)
{
        int r;

        r = fdisk_partition_set_partno(row, e->number - 1);
        if (r == 0)
                r = fdisk_partition_set_start(row, e->start);
        if (r == 0)
                r = fdisk_partition_set_size(row, e->size);
        if (r == 0)
                r = fdisk_partition_size_explicit(row, 1);
        if (r == 0 && *e->label)
                r = fdisk_partition_set_name(row, e->label);
        if (r == 0 && *e->guid)
                r = fdisk_partition_set_uuid(row, e->guid);
        return r < 0 ? failed(err, r, "entry") : set_type(context, row, e->type, err);
}

static int create(struct fdisk_context *context, const struct gpt_entry *e, struct error *err)
{
        _cleanup_(row_unref_p) struct fdisk_partition *row = fdisk_new_partition();
        int r;

        if (!row)
                return error_oom(err);
        r = fill_row(context, row, e, err);
        return r < 0 ? r : failed(err, fdisk_add_partition(context, row, NULL), "add");
}

static int resize(struct fdisk_context *context, const struct gpt_entry *e, struct error *err)
{
        _cleanup_(row_unref_p) struct fdisk_partition *row = fdisk_new_partition();
        int r;

        if (!row)
                return error_oom(err);
        r = fdisk_partition_set_size(row, e->size);
        if (r == 0)
                r = fdisk_partition_size_explicit(row, 1);
        if (r == 0)
                r = fdisk_set_partition(context, e->number - 1, row);
        return failed(err, r, "resize");
}

/* Deletes first, so that the others have room; growing comes last for the same reason. */
static int change_rows(struct fdisk_context *context, const struct gpt_plan *plan,
                       struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < plan->count; i++) {
                const struct gpt_operation *o = &plan->operations[i];

                if (o->action == GPT_DELETE || o->action == GPT_REPLACE)
                        r = failed(err, fdisk_delete_partition(context, o->before.number - 1),
                                   "delete");
                else if (o->action == GPT_RESIZE && o->after.size < o->before.size)
                        r = resize(context, &o->after, err);
        }
        for (size_t i = 0; r >= 0 && i < plan->count; i++) {
                const struct gpt_operation *o = &plan->operations[i];

                if (o->action == GPT_CREATE || o->action == GPT_REPLACE)
                        r = create(context, &o->after, err);
                else if (o->action == GPT_RESIZE && o->after.size > o->before.size)
                        r = resize(context, &o->after, err);
                if (r < 0)
                        return error_prefix(err, r, "partition %u", o->after.number);
        }
        return r;
}

/* With the room that was planned, which libfdisk would begin at 1 MiB. */
static int create_table(struct fdisk_context *context, uint64_t sector_size, struct error *err)
{
        _cleanup_(script_unref_p) struct fdisk_script *script = fdisk_new_script(context);
        char first[24];
        int r;

        if (!script)
                return error_oom(err);
        snprintf(first, sizeof(first), "%" PRIu64, 2 + entry_sectors(sector_size));
        r = fdisk_script_set_header(script, "first-lba", first);
        if (r == 0)
                r = fdisk_set_script(context, script);
        if (r == 0)
                r = fdisk_create_disklabel(context, "gpt");
        fdisk_set_script(context, NULL);
        return failed(err, r, "new table");
}

int gpt_apply(int fd, const char *path, uint64_t sector_size, const struct gpt_plan *plan,
              struct error *err)
{
        _cleanup_(context_unref_p) struct fdisk_context *context = NULL;
        int r;

        r = context_open(fd, path, sector_size, false, &context, err);
        if (r >= 0 && plan->wipe_table)
                r = create_table(context, sector_size, err);
        if (r >= 0)
                r = change_rows(context, plan, err);
        if (r >= 0)
                r = failed(err, fdisk_write_disklabel(context), "write");
        if (r >= 0 && fsync(fd) < 0)
                r = error_errno(err, "partition table: fsync");
        return r;
}
