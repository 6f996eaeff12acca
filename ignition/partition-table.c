/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading and writing GPT through libfdisk. Only the plan's entries are touched: what it does not
 * name keeps its place, names and attributes. A disk that was enlarged gets its backup table moved
 * to the new end, so that the new room is usable. This is the only file here that includes
 * libfdisk. */

#include <inttypes.h>
#include <libfdisk.h>

#include "io.h"
#include "library.h"
#include "partition.h"

#define TYPE_LINUX "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

/* What is used of libfdisk, which brings two other libraries along. */
#define FDISK_LIBRARY "libfdisk.so.1"

struct fdisk {
        __typeof__(fdisk_unref_context) *unref_context;
        __typeof__(fdisk_unref_partition) *unref_partition;
        __typeof__(fdisk_unref_script) *unref_script;
        __typeof__(fdisk_unref_table) *unref_table;
        __typeof__(fdisk_new_context) *new_context;
        __typeof__(fdisk_disable_dialogs) *disable_dialogs;
        __typeof__(fdisk_save_user_sector_size) *save_user_sector_size;
        __typeof__(fdisk_assign_device_by_fd) *assign_device_by_fd;
        __typeof__(fdisk_partition_get_type) *partition_get_type;
        __typeof__(fdisk_partition_has_start) *partition_has_start;
        __typeof__(fdisk_partition_has_size) *partition_has_size;
        __typeof__(fdisk_partition_get_partno) *partition_get_partno;
        __typeof__(fdisk_partition_get_start) *partition_get_start;
        __typeof__(fdisk_partition_get_size) *partition_get_size;
        __typeof__(fdisk_partition_get_uuid) *partition_get_uuid;
        __typeof__(fdisk_parttype_get_string) *parttype_get_string;
        __typeof__(fdisk_partition_get_name) *partition_get_name;
        __typeof__(fdisk_get_partitions) *get_partitions;
        __typeof__(fdisk_table_get_nents) *table_get_nents;
        __typeof__(fdisk_table_get_partition) *table_get_partition;
        __typeof__(fdisk_get_nsectors) *get_nsectors;
        __typeof__(fdisk_new_labelitem) *new_labelitem;
        __typeof__(fdisk_get_disklabel_item) *get_disklabel_item;
        __typeof__(fdisk_labelitem_get_data_u64) *labelitem_get_data_u64;
        __typeof__(fdisk_unref_labelitem) *unref_labelitem;
        __typeof__(fdisk_get_last_lba) *get_last_lba;
        __typeof__(fdisk_get_first_lba) *get_first_lba;
        __typeof__(fdisk_has_label) *has_label;
        __typeof__(fdisk_is_labeltype) *is_labeltype;
        __typeof__(fdisk_label_get_name) *label_get_name;
        __typeof__(fdisk_get_label) *get_label;
        __typeof__(fdisk_label_parse_parttype) *label_parse_parttype;
        __typeof__(fdisk_partition_set_type) *partition_set_type;
        __typeof__(fdisk_unref_parttype) *unref_parttype;
        __typeof__(fdisk_partition_set_partno) *partition_set_partno;
        __typeof__(fdisk_partition_set_start) *partition_set_start;
        __typeof__(fdisk_partition_set_size) *partition_set_size;
        __typeof__(fdisk_partition_size_explicit) *partition_size_explicit;
        __typeof__(fdisk_partition_set_name) *partition_set_name;
        __typeof__(fdisk_partition_set_uuid) *partition_set_uuid;
        __typeof__(fdisk_new_partition) *new_partition;
        __typeof__(fdisk_add_partition) *add_partition;
        __typeof__(fdisk_set_partition) *set_partition;
        __typeof__(fdisk_delete_partition) *delete_partition;
        __typeof__(fdisk_new_script) *new_script;
        __typeof__(fdisk_script_set_header) *script_set_header;
        __typeof__(fdisk_set_script) *set_script;
        __typeof__(fdisk_create_disklabel) *create_disklabel;
        __typeof__(fdisk_write_disklabel) *write_disklabel;
};

#define SYMBOL(name) LIBRARY_SYMBOL(fdisk, "fdisk_", name)
static const struct library_symbol symbols[] = {
        SYMBOL(unref_context),
        SYMBOL(unref_partition),
        SYMBOL(unref_script),
        SYMBOL(unref_table),
        SYMBOL(new_context),
        SYMBOL(disable_dialogs),
        SYMBOL(save_user_sector_size),
        SYMBOL(assign_device_by_fd),
        SYMBOL(partition_get_type),
        SYMBOL(partition_has_start),
        SYMBOL(partition_has_size),
        SYMBOL(partition_get_partno),
        SYMBOL(partition_get_start),
        SYMBOL(partition_get_size),
        SYMBOL(partition_get_uuid),
        SYMBOL(parttype_get_string),
        SYMBOL(partition_get_name),
        SYMBOL(get_partitions),
        SYMBOL(table_get_nents),
        SYMBOL(table_get_partition),
        SYMBOL(get_nsectors),
        SYMBOL(new_labelitem),
        SYMBOL(get_disklabel_item),
        SYMBOL(labelitem_get_data_u64),
        SYMBOL(unref_labelitem),
        SYMBOL(get_last_lba),
        SYMBOL(get_first_lba),
        SYMBOL(has_label),
        SYMBOL(is_labeltype),
        SYMBOL(label_get_name),
        SYMBOL(get_label),
        SYMBOL(label_parse_parttype),
        SYMBOL(partition_set_type),
        SYMBOL(unref_parttype),
        SYMBOL(partition_set_partno),
        SYMBOL(partition_set_start),
        SYMBOL(partition_set_size),
        SYMBOL(partition_size_explicit),
        SYMBOL(partition_set_name),
        SYMBOL(partition_set_uuid),
        SYMBOL(new_partition),
        SYMBOL(add_partition),
        SYMBOL(set_partition),
        SYMBOL(delete_partition),
        SYMBOL(new_script),
        SYMBOL(script_set_header),
        SYMBOL(set_script),
        SYMBOL(create_disklabel),
        SYMBOL(write_disklabel),
};
LIBRARY_NOTE("partitions", "Partition tables", FDISK_LIBRARY);

struct label {
        struct fdisk fdisk;
        struct fdisk_context *context;
};

static void label_done(struct label *l)
{
        if (l->context)
                l->fdisk.unref_context(l->context);
}

/* libfdisk returns negative errnos; it describes nothing. */
static int failed(struct error *err, int r, const char *what)
{
        return r < 0 ? error_code(err, r, "partition table: %s", what) : 0;
}

static int assign(struct label *l, int fd, const char *path, uint64_t sector_size, bool read_only)
{
        unsigned size = (unsigned)sector_size;
        int r;

        l->context = l->fdisk.new_context();
        if (!l->context)
                return -ENOMEM;
        r = l->fdisk.disable_dialogs(l->context, 1);
        if (r == 0)
                r = l->fdisk.save_user_sector_size(l->context, size, size);
        return r < 0 ? r : l->fdisk.assign_device_by_fd(l->context, fd, path, read_only);
}

static int label_open(int fd, const char *path, uint64_t sector_size, bool read_only,
                      struct label *ret, struct error *err)
{
        _cleanup_(label_done) struct label l = {};
        int r;

        r = library_load(FDISK_LIBRARY, symbols, ARRAY_SIZE(symbols), &l.fdisk, err);
        if (r < 0)
                return r;
        r = assign(&l, fd, path, sector_size, read_only);
        if (r < 0)
                return failed(err, r, "open");
        *ret = TAKE_STRUCT(l);
        return 0;
}

static void copy(char *to, size_t size, const char *from)
{
        snprintf(to, size, "%s", from ?: "");
}

static int read_row(const struct label *l, struct fdisk_partition *row, struct gpt_table *t,
                    struct error *err)
{
        struct fdisk_parttype *type = l->fdisk.partition_get_type(row);
        struct gpt_entry *e = &t->entries[t->count];

        if (!l->fdisk.partition_has_start(row) || !l->fdisk.partition_has_size(row))
                return 0;
        if (t->count == GPT_ENTRIES_MAX || l->fdisk.partition_get_partno(row) >= GPT_ENTRIES_MAX)
                return error_set(err, -E2BIG, "partition table: more than %d entries",
                                 GPT_ENTRIES_MAX);
        e->number = (unsigned)l->fdisk.partition_get_partno(row) + 1;
        e->start = l->fdisk.partition_get_start(row);
        e->size = l->fdisk.partition_get_size(row);
        copy(e->guid, sizeof(e->guid), l->fdisk.partition_get_uuid(row));
        copy(e->type, sizeof(e->type), type ? l->fdisk.parttype_get_string(type) : NULL);
        copy(e->label, sizeof(e->label), l->fdisk.partition_get_name(row));
        t->count++;
        return 0;
}

static int read_rows(const struct label *l, struct gpt_table *t, struct error *err)
{
        struct fdisk_table *rows = NULL;
        int r;

        r = l->fdisk.get_partitions(l->context, &rows);
        if (r < 0)
                return failed(err, r, "read");
        for (size_t i = 0; r >= 0 && i < l->fdisk.table_get_nents(rows); i++)
                r = read_row(l, l->fdisk.table_get_partition(rows, i), t, err);
        l->fdisk.unref_table(rows);
        return r;
}

/* Sectors of one table's entries. */
static uint64_t entry_sectors(uint64_t sector_size)
{
        return DIV_ROUND_UP(GPT_ENTRIES_MAX * 128, sector_size);
}

/* A new table's room begins and ends behind the entries at either side. */
static void describe_room(const struct label *l, struct gpt_table *t)
{
        uint64_t entries = entry_sectors(t->sector_size);
        uint64_t total = l->fdisk.get_nsectors(l->context);

        t->disk_sectors = total;
        t->first = t->new_first = 2 + entries;
        t->last = t->new_last = total > 2 * entries + 3 ? total - entries - 2 : t->first;
}

/* Sector of the backup header, as the table says; 0: not known. */
static uint64_t backup_sector(const struct label *l)
{
        struct fdisk_labelitem *item = l->fdisk.new_labelitem();
        uint64_t sector = 0;

        if (item && l->fdisk.get_disklabel_item(l->context, GPT_LABELITEM_ALTLBA, item) == 0)
                l->fdisk.labelitem_get_data_u64(item, &sector);
        l->fdisk.unref_labelitem(item);
        return sector;
}

/* An existing table says itself what is usable. When the disk has grown, writing moves the backup
 * to the new end, and all before it is usable. */
static void read_room(const struct label *l, struct gpt_table *t)
{
        uint64_t backup = backup_sector(l), last = l->fdisk.get_last_lba(l->context);

        t->first = l->fdisk.get_first_lba(l->context);
        if (backup > 0 && backup < t->disk_sectors - 1)
                t->old_last = last;
        else
                t->last = MIN(last, t->new_last);
}

static int read_table(const struct label *l, struct gpt_table *t, struct error *err)
{
        read_room(l, t);
        return read_rows(l, t, err);
}

int gpt_read(int fd, const char *path, uint64_t sector_size, struct gpt_table *ret,
             struct error *err)
{
        _cleanup_(label_done) struct label label = {};
        const struct label *l = &label;
        int r;

        r = label_open(fd, path, sector_size, true, &label, err);
        if (r < 0)
                return r;
        *ret = (struct gpt_table){ .sector_size = sector_size };
        describe_room(l, ret);
        ret->exists = l->fdisk.has_label(l->context);
        if (!ret->exists || l->fdisk.is_labeltype(l->context, FDISK_DISKLABEL_GPT))
                return ret->exists ? read_table(l, ret, err) : 0;
        copy(ret->foreign, sizeof(ret->foreign),
             l->fdisk.label_get_name(l->fdisk.get_label(l->context, NULL)));
        return 0;
}

static int set_type(const struct label *l, struct fdisk_partition *row, const char *type,
                    struct error *err)
{
        struct fdisk_parttype *t;
        int r;

        t = l->fdisk.label_parse_parttype(l->fdisk.get_label(l->context, NULL),
                                          *type ? type : TYPE_LINUX);
        if (!t)
                return error_set(err, -EINVAL, "partition table: type %s", type);
        r = l->fdisk.partition_set_type(row, t);
        l->fdisk.unref_parttype(t);
        return failed(err, r, "type");
}

static int fill_row(const struct label *l, struct fdisk_partition *row, const struct gpt_entry *e,
                    struct error *err)
{
        int r;

        r = l->fdisk.partition_set_partno(row, e->number - 1);
        if (r == 0)
                r = l->fdisk.partition_set_start(row, e->start);
        if (r == 0)
                r = l->fdisk.partition_set_size(row, e->size);
        if (r == 0)
                r = l->fdisk.partition_size_explicit(row, 1);
        if (r == 0 && *e->label)
                r = l->fdisk.partition_set_name(row, e->label);
        if (r == 0 && *e->guid)
                r = l->fdisk.partition_set_uuid(row, e->guid);
        return r < 0 ? failed(err, r, "entry") : set_type(l, row, e->type, err);
}

static int create(const struct label *l, const struct gpt_entry *e, struct error *err)
{
        struct fdisk_partition *row = l->fdisk.new_partition();
        int r;

        if (!row)
                return error_oom(err);
        r = fill_row(l, row, e, err);
        if (r >= 0)
                r = failed(err, l->fdisk.add_partition(l->context, row, NULL), "add");
        l->fdisk.unref_partition(row);
        return r;
}

static int resize(const struct label *l, const struct gpt_entry *e, struct error *err)
{
        struct fdisk_partition *row = l->fdisk.new_partition();
        int r;

        if (!row)
                return error_oom(err);
        r = l->fdisk.partition_set_size(row, e->size);
        if (r == 0)
                r = l->fdisk.partition_size_explicit(row, 1);
        if (r == 0)
                r = l->fdisk.set_partition(l->context, e->number - 1, row);
        l->fdisk.unref_partition(row);
        return failed(err, r, "resize");
}

/* Deletes first, so that the others have room; growing comes last for the same reason. */
static int change_rows(const struct label *l, const struct gpt_plan *plan, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < plan->count; i++) {
                const struct gpt_operation *o = &plan->operations[i];

                if (o->action == GPT_DELETE || o->action == GPT_REPLACE)
                        r = failed(err, l->fdisk.delete_partition(l->context, o->before.number - 1),
                                   "delete");
                else if (o->action == GPT_RESIZE && o->after.size < o->before.size)
                        r = resize(l, &o->after, err);
        }
        for (size_t i = 0; r >= 0 && i < plan->count; i++) {
                const struct gpt_operation *o = &plan->operations[i];

                if (o->action == GPT_CREATE || o->action == GPT_REPLACE)
                        r = create(l, &o->after, err);
                else if (o->action == GPT_RESIZE && o->after.size > o->before.size)
                        r = resize(l, &o->after, err);
                if (r < 0)
                        return error_prefix(err, r, "partition %u", o->after.number);
        }
        return r;
}

/* With the room that was planned, which libfdisk would begin at 1 MiB. */
static int create_table(const struct label *l, uint64_t sector_size, struct error *err)
{
        struct fdisk_script *script = l->fdisk.new_script(l->context);
        char first[24];
        int r;

        if (!script)
                return error_oom(err);
        snprintf(first, sizeof(first), "%" PRIu64, 2 + entry_sectors(sector_size));
        r = l->fdisk.script_set_header(script, "first-lba", first);
        if (r == 0)
                r = l->fdisk.set_script(l->context, script);
        if (r == 0)
                r = l->fdisk.create_disklabel(l->context, "gpt");
        l->fdisk.set_script(l->context, NULL);
        l->fdisk.unref_script(script);
        return failed(err, r, "new table");
}

int gpt_apply(int fd, const char *path, uint64_t sector_size, const struct gpt_plan *plan,
              struct error *err)
{
        _cleanup_(label_done) struct label label = {};
        const struct label *l = &label;
        int r;

        r = label_open(fd, path, sector_size, false, &label, err);
        if (r >= 0 && plan->wipe_table)
                r = create_table(l, sector_size, err);
        if (r >= 0)
                r = change_rows(l, plan, err);
        if (r >= 0)
                r = failed(err, l->fdisk.write_disklabel(l->context), "write");
        if (r >= 0 && fsync(fd) < 0)
                r = error_errno(err, "partition table: fsync");
        return r;
}
