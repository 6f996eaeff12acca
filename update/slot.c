/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See slot.h. The only file of the agent that includes <blkid.h>. */

#include <blkid/blkid.h>
#include <limits.h>
#include <strings.h>
#include <sys/stat.h>

#include "slot.h"
#include "strv.h"

enum { SECTOR_SIZE = 512 }; /* libblkid's unit, whatever the disk's is */

/* Which partition types, on any architecture, make up a slot. */
static const struct {
        enum partition_role role;
        size_t offset;
} parts[] = {
        { PARTITION_USR, offsetof(struct slot, usr) },
        { PARTITION_USR_VERITY, offsetof(struct slot, tree) },
        { PARTITION_USR_VERITY_SIG, offsetof(struct slot, signature) },
};

static const char *const architectures[] = { "amd64", "arm64" };

static void probe_free_p(blkid_probe *probe)
{
        blkid_free_probe(*probe);
}

/* The part of a slot that a partition type stands for; -1: none. */
static int part_of(const char *type)
{
        for (size_t i = 0; type && i < ARRAY_SIZE(parts); i++) {
                for (size_t k = 0; k < ARRAY_SIZE(architectures); k++) {
                        const char *known = gpt_type(parts[i].role, architectures[k]);

                        if (known && strcasecmp(known, type) == 0)
                                return (int)i;
                }
        }
        return -1;
}

static int add_partition(struct slots *s, blkid_partition p, struct error *err)
{
        const char *uuid = blkid_partition_get_uuid(p), *label = blkid_partition_get_name(p);
        int part = part_of(blkid_partition_get_type_string(p)),
            number = blkid_partition_get_partno(p);
        struct slot_partition *target;

        if (part < 0)
                return 0;
        if (part == 0 && s->count == SLOTS_MAX)
                return error_set(err, -EBADMSG, "partition %d: more than %d slots", number,
                                 SLOTS_MAX);
        if (part == 0) {
                s->items[s->count].name = (char)('A' + s->count);
                s->count++;
        }
        if (s->count == 0)
                return error_set(err, -EBADMSG, "partition %d: belongs to no slot", number);
        target = (struct slot_partition *)((char *)&s->items[s->count - 1] + parts[part].offset);
        if (target->number != 0)
                return error_set(err, -EBADMSG, "partition %d: slot %c has such a one", number,
                                 s->items[s->count - 1].name);
        *target = (struct slot_partition){
                .number = (unsigned)number,
                .start = (uint64_t)blkid_partition_get_start(p) * SECTOR_SIZE,
                .size = (uint64_t)blkid_partition_get_size(p) * SECTOR_SIZE,
        };
        snprintf(target->label, sizeof(target->label), "%s", label ?: "");
        if (!uuid || uuid_parse(uuid, &target->uuid) < 0)
                return error_set(err, -EBADMSG, "partition %d: no UUID", number);
        return 0;
}

static int check(const struct slots *s, struct error *err)
{
        if (s->count == 0)
                return error_set(err, -ENODATA, "no slots");
        for (size_t i = 0; i < s->count; i++)
                if (s->items[i].tree.number == 0)
                        return error_set(err, -EBADMSG,
                                         "slot %c has no partition for its hash tree",
                                         s->items[i].name);
        return 0;
}

static int read_table(blkid_probe probe, struct slots *ret, struct error *err)
{
        blkid_partlist list;
        blkid_parttable table;
        struct slots s = {};
        int r = 0;

        blkid_probe_enable_partitions(probe, 1);
        blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS);
        list = blkid_probe_get_partitions(probe);
        table = list ? blkid_partlist_get_table(list) : NULL;
        if (!table || !streq(blkid_parttable_get_type(table), "gpt"))
                return error_set(err, -ENODATA, "no GPT");
        for (int i = 0; r >= 0 && i < blkid_partlist_numof_partitions(list); i++)
                r = add_partition(&s, blkid_partlist_get_partition(list, i), err);
        if (r >= 0)
                r = check(&s, err);
        if (r >= 0)
                *ret = s;
        return r;
}

int slots_load(const char *disk, struct slots *ret, struct error *err)
{
        _cleanup_(probe_free_p) blkid_probe probe = NULL;

        errno = 0;
        probe = blkid_new_probe_from_filename(disk);
        if (!probe)
                return errno ? error_errno(err, "%s", disk)
                             : error_set(err, -EIO, "%s: cannot be probed", disk);
        return error_prefix(err, read_table(probe, ret, err), "%s", disk);
}

bool slot_root_hash(const char *command_line, struct sha256 *ret)
{
        _cleanup_strv_ char **words = NULL;
        bool found = false;

        if (strv_split(command_line, " \t\n", &words) < 0)
                return false;
        STRV_FOREACH (word, words) {
                const char *hex = startswith(*word, "usrhash=");

                if (hex && hex_decode(hex, ret->bytes, SHA256_SIZE) == 0)
                        found = true;
        }
        return found;
}

const struct slot *slots_find(const struct slots *s, const struct sha256 *root_hash)
{
        struct uuid usr, tree;

        gpt_uuids_from_root_hash(root_hash, &usr, &tree);
        for (size_t i = 0; i < s->count; i++)
                if (memcmp(&s->items[i].usr.uuid, &usr, sizeof(usr)) == 0 &&
                    memcmp(&s->items[i].tree.uuid, &tree, sizeof(tree)) == 0)
                        return &s->items[i];
        return NULL;
}

const char *slot_version(const struct slot *s)
{
        return startswith(s->usr.label, "usr_") ?: "";
}

int slot_disk(const struct uuid *partition, char **ret, struct error *err)
{
        char text[UUID_TEXT_SIZE], link[sizeof("/dev/disk/by-partuuid/") + UUID_TEXT_SIZE];
        struct stat st;
        char *name;
        dev_t disk;

        snprintf(link, sizeof(link), "/dev/disk/by-partuuid/%s", uuid_text(partition, text));
        if (stat(link, &st) < 0)
                return error_errno(err, "%s", link);
        if (blkid_devno_to_wholedisk(st.st_rdev, NULL, 0, &disk) < 0)
                return error_set(err, -ENODEV, "%s: on no disk", link);
        name = blkid_devno_to_devname(disk);
        if (!name)
                return error_set(err, -ENODEV, "%s: its disk has no name", link);
        *ret = name;
        return 0;
}
