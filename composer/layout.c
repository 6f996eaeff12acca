/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See layout.h. Partitions stand in the order of the table below, each at the next multiple of
 * 1 MiB, the first one at 1 MiB; the last MiB of the disk belongs to the backup GPT:
 *
 *   1 MiB   esp | usr A | verity A | signature A | usr B | verity B | signature B | … 4 GiB … | 1
 * MiB
 *
 * UUIDs are no choice: slot A's data and tree carry the halves of the root hash, which is how the
 * boot finds them; the others are derived from the root hash by the name of their role. */

#include <assert.h>
#include <inttypes.h>

#include "layout.h"

enum {
        UKI_COPIES = 3 /* two and one being written */,
        BOOT_COPIES = 2 /* as BOOTX64.EFI and under its own name */
};

#define EDGE         ((uint64_t)MIB) /* before the first partition and behind the last */
#define ESP_DEFAULT  (512 * MIB)
#define ESP_MIN      (64 * MIB) /* FAT32 needs 65525 clusters of 512 bytes, and we some room */
#define USR_DEFAULT  GIB
#define TREE_SHARE   64 /* of the data's size; 128 hashes a block need a little over a 128th */
#define SIG_DEFAULT  MIB
#define ROOT_RESERVE (4 * GIB)
#define DISK_MAX     (64 * 1024 * GIB)

#define ATTRIBUTE_READ_ONLY (1ULL << GPT_ATTRIBUTE_READ_ONLY)

static const struct {
        enum partition_role role;
        char slot;
        const char *label; /* before the version; slot B is empty */
        const char *seed;  /* what its UUID is derived from */
        uint64_t attributes;
} rows[] = {
        { PARTITION_ESP, 0, "esp", "esp", 0 },
        { PARTITION_USR, 'A', "usr_", "usr-A", ATTRIBUTE_READ_ONLY },
        { PARTITION_USR_VERITY, 'A', "usr-verity_", "usr-verity-A", ATTRIBUTE_READ_ONLY },
        { PARTITION_USR_VERITY_SIG, 'A', "usr-verity-sig_", "usr-verity-sig-A",
          ATTRIBUTE_READ_ONLY },
        { PARTITION_USR, 'B', NULL, "usr-B", ATTRIBUTE_READ_ONLY },
        { PARTITION_USR_VERITY, 'B', NULL, "usr-verity-B", ATTRIBUTE_READ_ONLY },
        { PARTITION_USR_VERITY_SIG, 'B', NULL, "usr-verity-sig-B", ATTRIBUTE_READ_ONLY },
};

static uint64_t partition_size(const struct manifest *m, enum partition_role role)
{
        const struct partitions_config *c = &m->partitions;
        uint64_t usr = c->usr ?: USR_DEFAULT;
        const uint64_t sizes[_PARTITION_ROLE_MAX] = {
                [PARTITION_ESP] = c->esp ?: ESP_DEFAULT,
                [PARTITION_USR] = usr,
                [PARTITION_USR_VERITY] = c->usr_verity ?: usr / TREE_SHARE,
                [PARTITION_USR_VERITY_SIG] = c->usr_verity_sig ?: SIG_DEFAULT,
        };

        return ROUND_UP(sizes[role], MIB);
}

/* What FAT32 itself takes: two tables of 4 bytes a cluster, at worst 512 bytes each, directories,
 * loader.conf and reserved sectors. */
static uint64_t fat_overhead(uint64_t size)
{
        return size / 64 + MIB;
}

/* The smallest ESP for so many bytes of files. */
static uint64_t esp_size(uint64_t files)
{
        uint64_t size = ROUND_UP(DIV_ROUND_UP((files + MIB) * 64, 63), MIB);

        assert(files + fat_overhead(size) <= size);
        return MAX(size, ESP_MIN);
}

static uint64_t content_size(const struct layout_contents *c, enum partition_role role)
{
        const uint64_t sizes[_PARTITION_ROLE_MAX] = {
                [PARTITION_ESP] = c->uki_size + BOOT_COPIES * c->boot_size + c->other_size,
                [PARTITION_USR] = c->usr_size,
                [PARTITION_USR_VERITY] = c->tree_size,
        };

        return sizes[role];
}

static int check_space(const struct partition *p, uint64_t need, const char *what,
                       struct error *err)
{
        if (need <= p->size)
                return 0;
        return error_set(err, -ENOSPC,
                         "Partition %s (%" PRIu64 " bytes) is too small for %s (%" PRIu64
                         " bytes): %" PRIu64 " bytes are missing",
                         partition_role_name(p->role), p->size, what, need, need - p->size);
}

static int check_partition(const struct partition *p, const struct layout_contents *c,
                           struct error *err)
{
        if (p->role == PARTITION_ESP && p->size < ESP_MIN)
                return error_set(err, -EINVAL, "Partition esp must have at least %llu MiB",
                                 ESP_MIN / MIB);
        if (p->role == PARTITION_ESP)
                return check_space(p,
                                   p->used + (UKI_COPIES - 1) * c->uki_size + fat_overhead(p->size),
                                   "three kernel images and FAT", err);
        return check_space(p, content_size(c, p->role), "its content", err);
}

static int set_label(struct partition *p, const char *label, const char *version, struct error *err)
{
        int n = snprintf(p->label, sizeof(p->label), "%s%s", label, version);

        if (n >= (int)sizeof(p->label))
                return error_set(err, -EINVAL,
                                 "Version \"%s\" is too long: partition label \"%s…\" may have %d "
                                 "characters",
                                 version, label, GPT_LABEL_MAX);
        return 0;
}

/* Everything of row i but its place. */
static int plan_partition(const struct manifest *m, const struct layout_contents *c, size_t i,
                          struct partition *p, struct error *err)
{
        const char *type = gpt_type(rows[i].role, m->architecture);
        bool empty = !rows[i].label;
        int r;

        if (!type || uuid_parse(type, &p->type) < 0)
                return error_set(err, -EINVAL, "No partition types for architecture \"%s\"",
                                 m->architecture);
        p->role = rows[i].role;
        p->slot = rows[i].slot;
        p->attributes = rows[i].attributes;
        p->size = partition_size(m, p->role);
        r = set_label(p, empty ? "_empty" : rows[i].label, p->slot == 'A' ? m->version : "", err);
        if (r < 0)
                return r;
        if (!memory_is_zero(&c->root_hash, sizeof(c->root_hash)))
                derive_uuid(&c->root_hash, rows[i].seed, &p->uuid);
        if (empty)
                return 0;
        p->used = content_size(c, p->role);
        return check_partition(p, c, err);
}

static int plan_disk(const struct manifest *m, uint64_t end, struct layout *l, struct error *err)
{
        uint64_t size = m->partitions.disk;

        if (size == 0)
                size = ROUND_UP(end + ROOT_RESERVE + EDGE, GIB);
        size = ROUND_UP(size, MIB);
        if (size < end + EDGE)
                return error_set(err, -ENOSPC,
                                 "Disk (%" PRIu64
                                 " bytes) is too small for its partitions: %" PRIu64
                                 " bytes are missing",
                                 size, end + EDGE - size);
        if (size > DISK_MAX)
                return error_set(err, -EFBIG, "Disk (%" PRIu64 " bytes) is larger than %llu TiB",
                                 size, DISK_MAX / GIB / 1024);
        l->disk_size = size;
        return 0;
}

int layout_plan(const struct manifest *m, const struct layout_contents *contents,
                struct layout *ret, struct error *err)
{
        struct layout l = { .count = ARRAY_SIZE(rows) };
        uint64_t at = EDGE;
        int r;

        for (size_t i = 0; i < l.count; i++) {
                struct partition *p = &l.partitions[i];

                r = plan_partition(m, contents, i, p, err);
                if (r < 0)
                        return r;
                p->start = at;
                at += p->size;
        }
        r = plan_disk(m, at, &l, err);
        if (r < 0)
                return r;
        if (!memory_is_zero(&contents->root_hash, sizeof(contents->root_hash))) {
                derive_uuid(&contents->root_hash, "disk", &l.disk_uuid);
                gpt_uuids_from_root_hash(&contents->root_hash, &l.partitions[1].uuid,
                                         &l.partitions[2].uuid);
        }
        *ret = l;
        return 0;
}

void layout_minimum(const struct layout_contents *contents, struct release_layout *ret)
{
        *ret = (struct release_layout){
                .usr = ROUND_UP(contents->usr_size, MIB),
                .usr_verity = ROUND_UP(contents->tree_size, MIB),
                .esp = esp_size(content_size(contents, PARTITION_ESP) +
                                (UKI_COPIES - 1) * contents->uki_size),
        };
}

const struct partition *layout_find(const struct layout *layout, enum partition_role role,
                                    char slot)
{
        for (size_t i = 0; i < layout->count; i++)
                if (layout->partitions[i].role == role && layout->partitions[i].slot == slot)
                        return &layout->partitions[i];
        return NULL;
}
