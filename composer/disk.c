/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See disk.h. The layout says where everything is; this file only carries it out: the partition
 * table through libfdisk (both copies, protective MBR, every id given by us). disk.c is the only
 * file that includes libfdisk. */

#include <fcntl.h>
#include <inttypes.h>
#include <libfdisk.h>
#include <strings.h>

#include "disk.h"
#include "io.h"

static void context_unref_p(struct fdisk_context **context)
{
        if (*context)
                fdisk_unref_context(*context);
}

static void partition_unref_p(struct fdisk_partition **partition)
{
        if (*partition)
                fdisk_unref_partition(*partition);
}

/* libfdisk returns negative errnos; it describes nothing. */
static int failed(struct error *err, int r, const char *what)
{
        return r < 0 ? error_code(err, r, "Partition table: %s", what) : 0;
}

static int set_type(struct fdisk_context *context, struct fdisk_partition *row,
                    const struct uuid *type, struct error *err)
{
        const struct fdisk_label *label = fdisk_get_label(context, NULL);
        char text[UUID_TEXT_SIZE];
        struct fdisk_parttype *t;
        int r;

        t = fdisk_label_parse_parttype(label, uuid_text(type, text));
        if (!t)
                return error_set(err, -EINVAL, "Partition table: type %s", text);
        r = fdisk_partition_set_type(row, t);
        fdisk_unref_parttype(t);
        return failed(err, r, "type");
}

/* The attribute bits as libfdisk wants them: "GUID:60,63". */
static char *attributes_text(uint64_t attributes, char *ret)
{
        char *end = ret;

        for (unsigned bit = 48; bit < 64; bit++)
                if (attributes & 1ULL << bit)
                        end += sprintf(end, "%s%u", end == ret ? "GUID:" : ",", bit);
        *end = '\0';
        return ret;
}

static int set_identity(struct fdisk_partition *row, const struct partition *p, struct error *err)
{
        char text[UUID_TEXT_SIZE], attributes[64];
        int r;

        r = fdisk_partition_set_name(row, p->label);
        if (r == 0)
                r = fdisk_partition_set_uuid(row, uuid_text(&p->uuid, text));
        if (r == 0 && p->attributes != 0)
                r = fdisk_partition_set_attrs(row, attributes_text(p->attributes, attributes));
        return failed(err, r, p->label);
}

static int set_place(struct fdisk_partition *row, const struct partition *p, size_t number,
                     struct error *err)
{
        int r;

        r = fdisk_partition_set_partno(row, number);
        if (r == 0)
                r = fdisk_partition_set_start(row, p->start / SECTOR_SIZE);
        if (r == 0)
                r = fdisk_partition_set_size(row, p->size / SECTOR_SIZE);
        if (r == 0)
                r = fdisk_partition_size_explicit(row, 1);
        return failed(err, r, p->label);
}

static int add_partition(struct fdisk_context *context, const struct partition *p, size_t number,
                         struct error *err)
{
        _cleanup_(partition_unref_p) struct fdisk_partition *row = fdisk_new_partition();
        int r;

        if (!row)
                return error_oom(err);
        r = set_place(row, p, number, err);
        if (r >= 0)
                r = set_type(context, row, &p->type, err);
        if (r >= 0)
                r = set_identity(row, p, err);
        if (r < 0)
                return r;
        return failed(err, fdisk_add_partition(context, row, NULL), p->label);
}

static int fill_table(struct fdisk_context *context, const struct layout *l, struct error *err)
{
        char text[UUID_TEXT_SIZE];
        int r;

        r = fdisk_create_disklabel(context, "gpt");
        if (r == 0)
                r = fdisk_set_disklabel_id_from_string(context, uuid_text(&l->disk_uuid, text));
        if (r < 0)
                return failed(err, r, "label");
        for (size_t i = 0; i < l->count; i++) {
                r = add_partition(context, &l->partitions[i], i, err);
                if (r < 0)
                        return r;
        }
        return failed(err, fdisk_write_disklabel(context), "write");
}

int disk_write_table(const struct layout *l, const char *path, int fd, struct error *err)
{
        _cleanup_(context_unref_p) struct fdisk_context *context = fdisk_new_context();
        int r;

        if (!context)
                return error_oom(err);
        r = fdisk_disable_dialogs(context, 1);
        if (r == 0)
                r = fdisk_save_user_sector_size(context, SECTOR_SIZE, SECTOR_SIZE);
        if (r == 0)
                r = fdisk_assign_device_by_fd(context, fd, path, 0);
        if (r < 0)
                return failed(err, r, path);
        r = fill_table(context, l, err);
        /* Durability is the business of whoever publishes the file. */
        fdisk_deassign_device(context, 1);
        return r;
}

/* ---- reading ---- */

static int read_uuid(const char *text, struct uuid *ret, struct error *err)
{
        if (!text || uuid_parse(text, ret) < 0)
                return error_set(err, -EINVAL, "Partition table: bad UUID '%s'", text ?: "");
        return 0;
}

static bool find_role(const char *type, enum partition_role *ret)
{
        static const char *const architectures[] = { "amd64", "arm64" };

        for (int role = 0; role < _PARTITION_ROLE_MAX; role++)
                for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
                        if (strcasecmp(gpt_type((enum partition_role)role, architectures[i]),
                                       type) == 0) {
                                *ret = (enum partition_role)role;
                                return true;
                        }
        return false;
}

static int read_type(struct fdisk_partition *row, struct partition *p, struct error *err)
{
        struct fdisk_parttype *type = fdisk_partition_get_type(row);
        const char *text = type ? fdisk_parttype_get_string(type) : NULL;

        if (!text || !find_role(text, &p->role))
                return error_set(err, -EINVAL, "Partition table: unknown type '%s'", text ?: "");
        return read_uuid(text, &p->type, err);
}

static int read_partition(struct fdisk_context *context, struct fdisk_partition *row,
                          struct layout *l, struct error *err)
{
        struct partition *p = &l->partitions[l->count];
        const char *name = fdisk_partition_get_name(row);
        int r;

        if (l->count == LAYOUT_PARTITIONS_MAX)
                return error_set(err, -EINVAL, "Partition table: more than %d partitions",
                                 LAYOUT_PARTITIONS_MAX);
        r = read_type(row, p, err);
        if (r >= 0)
                r = read_uuid(fdisk_partition_get_uuid(row), &p->uuid, err);
        if (r < 0)
                return r;
        snprintf(p->label, sizeof(p->label), "%s", name ?: "");
        p->start = fdisk_partition_get_start(row) * SECTOR_SIZE;
        p->size = fdisk_partition_get_size(row) * SECTOR_SIZE;
        if (p->role != PARTITION_ESP && p->role != PARTITION_ROOT)
                p->slot = layout_find(l, p->role, 'A') ? 'B' : 'A';
        l->count++;
        return failed(err,
                      fdisk_gpt_get_partition_attrs(context, fdisk_partition_get_partno(row),
                                                    &p->attributes),
                      p->label);
}

static int read_table(struct fdisk_context *context, struct layout *l, struct error *err)
{
        if (!fdisk_is_labeltype(context, FDISK_DISKLABEL_GPT))
                return error_set(err, -EINVAL, "No GPT partition table");
        if (fdisk_verify_disklabel(context) != 0)
                return error_set(err, -EINVAL, "The partition table has defects");
        l->disk_size = fdisk_get_nsectors(context) * SECTOR_SIZE;
        for (size_t i = 0; i < fdisk_get_npartitions(context); i++) {
                _cleanup_(partition_unref_p) struct fdisk_partition *row = NULL;
                int r;

                if (!fdisk_is_partition_used(context, i))
                        continue;
                r = failed(err, fdisk_get_partition(context, i, &row), "read");
                if (r >= 0)
                        r = read_partition(context, row, l, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int disk_read(const char *path, struct layout *ret, struct error *err)
{
        _cleanup_(context_unref_p) struct fdisk_context *context = fdisk_new_context();
        struct layout l = {};
        int r;

        if (!context)
                return error_oom(err);
        r = fdisk_disable_dialogs(context, 1);
        if (r == 0)
                r = fdisk_assign_device(context, path, 1);
        if (r < 0)
                return failed(err, r, path);
        r = read_table(context, &l, err);
        fdisk_deassign_device(context, 1);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        *ret = l;
        return 0;
}
